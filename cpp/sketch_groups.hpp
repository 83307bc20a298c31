// What is done with the bounds that sketches give (cpp/sketch.hpp): candidates of rows, groups to open, bounds to
// store.
#pragma once

#include "sketch.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

// The least of the kGroup values of kRows rows, kSketchTile or half of it, into `out` (kSketchTile,); returns which of
// them do not pass the limit of their row.
#if defined(__AVX512F__)
template <size_t kRows>
inline uint32_t row_minima(const Floats (*t)[kGroupVectors], const float* limits, const uint8_t* rows, float* out) {
  const auto halves = [](Floats a, Floats b) {
    return minimum(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  };
  const auto quarters = [](Floats a, Floats b) {
    return minimum(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
  };
  const Floats low = quarters(halves(t[0][0], t[1][0]), halves(t[2][0], t[3][0]));
  Floats high = low;
  if constexpr (kRows == kSketchTile) high = quarters(halves(t[4][0], t[5][0]), halves(t[6][0], t[7][0]));
  const Floats pairs = minimum(_mm512_unpacklo_ps(low, high), _mm512_unpackhi_ps(low, high));
  const Floats least = minimum(pairs, _mm512_shuffle_ps(pairs, pairs, 0x4e));
  const Ints order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m256 in_order = _mm512_castps512_ps256(_mm512_permutexvar_ps(order, least));
  _mm256_storeu_ps(out, in_order);
  const __m256i places = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(rows)));
  return _mm256_cmp_ps_mask(in_order, _mm256_i32gather_ps(limits, places, sizeof(float)), _CMP_LE_OQ);
}

// The least lane of t, stored as `lanes`, whose bit in `without` is not set.
inline float least_but(Floats t, const float*, uint32_t without) {
  return _mm512_reduce_min_ps(_mm512_mask_mov_ps(broadcast(kHuge), static_cast<__mmask16>(~without), t));
}
#else
template <size_t kRows>
inline uint32_t row_minima(const Floats (*t)[kGroupVectors], const float* limits, const uint8_t* rows, float* out) {
  uint32_t near = 0;
  for (size_t r = 0; r < kRows; ++r) {
    Floats least = t[r][0];
    for (size_t v = 1; v < kGroupVectors; ++v) least = minimum(least, t[r][v]);
    float lanes[kWidth];
    store(lanes, least);
    out[r] = lanes[0];
    for (size_t l = 1; l < kWidth; ++l) out[r] = lanes[l] < out[r] ? lanes[l] : out[r];
    near |= out[r] <= limits[rows[r]] ? 1u << r : 0u;
  }
  return near;
}

inline float least_but(Floats, const float* lanes, uint32_t without) {
  float least = kHuge;
  for (size_t l = 0; l < kWidth; ++l) least = (without >> l & 1) == 0 && lanes[l] < least ? lanes[l] : least;
  return least;
}
#endif

#if defined(__AVX512F__)
inline Floats without_lane(Floats t, uint32_t lane) {
  return _mm512_mask_mov_ps(t, static_cast<__mmask16>(1u << lane), broadcast(kHuge));
}
inline float least_of(const Floats* t) { return _mm512_reduce_min_ps(t[0]); }
#else
inline Floats without_lane(Floats t, uint32_t lane) {
  float lanes[kWidth];
  store(lanes, t);
  lanes[lane] = kHuge;
  return load(lanes);
}
inline float least_of(const Floats* t) {
  float least = kHuge;
  for (size_t v = 0; v < kGroupVectors; ++v) {
    float lanes[kWidth];
    store(lanes, t[v]);
    for (const float lane : lanes) least = lane < least ? lane : least;
  }
  return least;
}
#endif

// Keeps those candidates of a row that its limit still allows; the others count for their group.
inline void drop_candidates(const SketchBlock& b, size_t row) {
  Candidate* list = b.candidates + row * static_cast<size_t>(b.most);
  int32_t kept = 0;
  for (int32_t i = 0; i < b.counts[row]; ++i) {
    if (list[i].bound <= b.limit[row]) {
      list[kept++] = list[i];
      continue;
    }
    float& found = b.found[static_cast<size_t>(list[i].place) / kGroup * kSketchRows + row];
    found = list[i].bound < found ? list[i].bound : found;
  }
  b.counts[row] = kept;
}

// A row one of whose bounds t (kGroup,) does not pass its limit: notes the candidates; the others are the group's.
inline void note_candidates(const SketchBlock& b, float upper, size_t group, size_t row, const Floats* t, float least) {
  b.limit[row] = upper < b.limit[row] ? upper : b.limit[row];
  float rest = kHuge;
  if (b.counts[row] > b.most) {
    b.found[group * kSketchRows + row] = least;
    return;
  }
  if (b.counts[row] + static_cast<int32_t>(kGroup) > b.most) drop_candidates(b, row);
  Candidate* list = b.candidates + row * static_cast<size_t>(b.most);
  const Floats limit = broadcast(b.limit[row]);
  for (size_t v = 0; v < kGroupVectors; ++v) {
    float lanes[kWidth];
    store(lanes, t[v]);
    const uint32_t near = at_most_mask(t[v], limit);
    for (uint32_t mask = near; mask != 0; mask &= mask - 1) {
      const auto lane = static_cast<uint32_t>(__builtin_ctz(mask));
      if (b.counts[row] >= b.most) {
        b.counts[row] = b.most + 1;  // too many
        rest = lanes[lane] < rest ? lanes[lane] : rest;
        continue;
      }
      list[b.counts[row]++] = {static_cast<int32_t>(group * kGroup + v * kWidth + lane), lanes[lane]};
    }
    const float left = least_but(t[v], lanes, near);
    rest = left < rest ? left : rest;
  }
  float& found = b.found[group * kSketchRows + row];
  found = rest < found ? rest : found;
}

// At least S of the center whose sum is `least`, plus the slack of the row, to which sums are compared.
inline float upper_bound(const SketchNumbers& numbers, size_t row, const float* most, float least) {
  const double upper = static_cast<double>(least) +
                       static_cast<double>(numbers.tail[row]) * static_cast<double>(most[1]) +
                       static_cast<double>(numbers.error[row]) * static_cast<double>(most[0]) +
                       2 * static_cast<double>(numbers.slack[row]);
  return next_up(upper + static_cast<double>(most[2]));
}

// kSketchTile rows of a list, beginning with the i-th; what is beyond its end repeats the i-th. Returns a bit for each
// that is not.
inline uint32_t listed_rows(const uint8_t* list, size_t i, size_t count, uint8_t* rows) {
  for (size_t r = 0; r < kSketchTile; ++r) rows[r] = list[i + r < count ? i + r : i];
  return count - i < kSketchTile ? (1u << (count - i)) - 1 : (1u << kSketchTile) - 1;
}

// kRows rows of a list from the i-th on, or those that are left.
template <bool kTails, size_t kRows>
inline __attribute__((always_inline)) void sketch_listed(const SketchForm& f, const SketchPanels& p, size_t group,
                                                         const uint8_t* list, size_t i, size_t count,
                                                         const SketchBlock& b) {
  float* found = b.found + group * kSketchRows;
  uint8_t rows[kSketchTile];
  const uint32_t listed = listed_rows(list, i, count, rows);
  Floats t[kRows][kGroupVectors];
  sketch_tile<kTails, kRows>(f, p, group, b.sketches, rows, t);
  float least[kSketchTile];
  uint32_t near = row_minima<kRows>(t, b.limit, rows, least) & listed;
  for (size_t r = 0; r < kRows; ++r) found[rows[r]] = least[r];
  for (; near != 0; near &= near - 1) {
    const auto r = static_cast<size_t>(__builtin_ctz(near));
    const auto own = static_cast<uint32_t>(b.own[rows[r]]) - static_cast<uint32_t>(group * kGroup);
    if (own < kGroup) {  // it is near itself; the bound is for the others
      t[r][own / kWidth] = without_lane(t[r][own / kWidth], own % kWidth);
      least[r] = least_of(t[r]);
      found[rows[r]] = least[r];
      if (!(least[r] <= b.limit[rows[r]])) continue;
    }
    found[rows[r]] = kHuge;
    const float upper = upper_bound(*b.sketches.numbers, rows[r], p.most + group * 3, least[r]);
    note_candidates(b, upper, group, rows[r], t[r], least[r]);
  }
}

template <bool kTails>
void sketch_group_of(const SketchForm& f, const SketchPanels& p, size_t group, const uint8_t* list, size_t count,
                     const SketchBlock& b) {
  size_t i = 0;
  for (; i + kSketchTile / 2 < count; i += kSketchTile) {
    sketch_listed<kTails, kSketchTile>(f, p, group, list, i, count, b);
  }
  if (i < count) sketch_listed<kTails, kSketchTile / 2>(f, p, group, list, i, count, b);
}

// As sketch_listed; keeps in the list, from `kept` on, the rows that heads do not rule out.
template <size_t kRows>
inline __attribute__((always_inline)) void screen_listed(const SketchForm& f, const SketchPanels& p, size_t group,
                                                         uint8_t* list, size_t i, size_t count, const SketchBlock& b,
                                                         size_t& kept) {
  float* found = b.found + group * kSketchRows;
  uint8_t rows[kSketchTile];
  const uint32_t listed = listed_rows(list, i, count, rows);
  Floats t[kRows][kGroupVectors];
  screen_tile<kRows>(f, p, group, b.sketches, rows, t);
  float least[kSketchTile];
  uint32_t near = row_minima<kRows>(t, b.limit, rows, least) & listed;
  for (size_t r = 0; r < kRows; ++r) found[rows[r]] = least[r];
  for (; near != 0; near &= near - 1) list[kept++] = rows[__builtin_ctz(near)];
}

size_t screen_group(const SketchForm& f, const SketchPanels& p, size_t group, uint8_t* list, size_t count,
                    const SketchBlock& b) {
  size_t i = 0, kept = 0;
  for (; i + kSketchTile / 2 < count; i += kSketchTile) {
    screen_listed<kSketchTile>(f, p, group, list, i, count, b, kept);
  }
  if (i < count) screen_listed<kSketchTile / 2>(f, p, group, list, i, count, b, kept);
  return kept;
}

inline void sketch_group(const SketchForm& f, const SketchPanels& panels, size_t group, const uint8_t* list,
                         size_t count, const SketchBlock& block) {
  if (f.tails > 0) {
    sketch_group_of<true>(f, panels, group, list, count, block);
  } else {
    sketch_group_of<false>(f, panels, group, list, count, block);
  }
}

// Appends first + the lanes of `mask` to a list.
inline void append_rows(uint32_t mask, size_t first, uint8_t* list, int32_t& count) {
#if defined(__AVX512F__)
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i rows = _mm512_add_epi32(lanes, _mm512_set1_epi32(static_cast<int32_t>(first)));
  const __m128i packed = _mm512_cvtepi32_epi8(_mm512_maskz_compress_epi32(static_cast<__mmask16>(mask), rows));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(list + count), packed);  // lists have room for a vector more
  count += __builtin_popcount(mask);
#else
  for (; mask != 0; mask &= mask - 1) list[count++] = static_cast<uint8_t>(first + __builtin_ctz(mask));
#endif
}

void open_groups(const uint16_t* stored, const float* units, const float* upper, const float* path, size_t groups,
                 float* least, uint8_t* lists, int32_t* counts) {
  constexpr size_t kVectors = 4;  // whose numbers stay in registers: lines of the nearest cache are read whole
  for (size_t g = 0; g < groups; ++g) counts[g] = 0;
  for (size_t i = 0; i < kSketchRows; i += kVectors * kWidth) {
    Floats unit[kVectors], limit[kVectors], low[kVectors];
    for (size_t v = 0; v < kVectors; ++v) {
      unit[v] = load(units + i + v * kWidth);
      limit[v] = load(upper + i + v * kWidth);
      low[v] = broadcast(kHuge);
    }
    for (size_t g = 0; g < groups; ++g) {
      const Floats gone = broadcast(-path[g] * (1 + kOutward));
      const uint16_t* ahead = stored + (g + 8) * kSketchRows + i;
      for (size_t v = 0; v < kVectors; v += 64 / (2 * kWidth)) __builtin_prefetch(ahead + v * kWidth);
      int32_t count = counts[g];
      for (size_t v = 0; v < kVectors; ++v) {
        const Floats bound = multiply_add(load_shorts(stored + g * kSketchRows + i + v * kWidth), unit[v], gone);
        low[v] = minimum(low[v], choose_below(limit[v], bound, bound, broadcast(kHuge)));
        append_rows(at_most_mask(bound, limit[v]), i + v * kWidth, lists + g * kListStride, count);
      }
      counts[g] = count;
    }
    for (size_t v = 0; v < kVectors; ++v) store(least + i + v * kWidth, low[v]);
  }
}

void limit_rows(const SketchPanels& p, const SketchBlock& b, size_t groups) {
  const SketchNumbers& own = *b.sketches.numbers;
  const Floats two = broadcast(2), up = broadcast(1 + kOutward), outward = broadcast(kOutward);
  for (size_t i = 0; i < kSketchRows; i += kWidth) {
    const Floats tail = load(own.tail + i), error = load(own.error + i), slack = load(own.slack + i);
    Floats limit = broadcast(kHuge);
    for (size_t g = 0; g < groups; ++g) {  // as upper_bound, in float32
      const float* most = p.most + g * 3;
      const Floats beside = multiply_add(two, slack, broadcast(most[2]));
      const Floats width = multiply_add(tail, broadcast(most[1]), multiply_add(error, broadcast(most[0]), beside));
      const Floats least = load(b.found + g * kSketchRows + i);
      const Floats size = maximum(maximum(least, broadcast(0) - least), width);
      limit = minimum(limit, multiply_add(size, outward, multiply_add(width, up, least)));
    }
    store(b.limit + i, limit);
  }
}

void nearest_groups(const SketchPanels& p, const SketchBlock& b, size_t rows, size_t groups, uint8_t* lists,
                    int32_t* counts) {
  for (size_t g = 0; g < groups; ++g) counts[g] = 0;
  for (size_t i = 0; i < rows; i += kWidth) {
    Floats least = broadcast(kHuge);
    Ints nearest = broadcast_int(0);
    for (size_t g = 0; g < groups; ++g) {
      if (p.most[g * 3 + 2] == __builtin_inff()) continue;  // a center too far to be sketched: it says nothing
      const Floats found = load(b.found + g * kSketchRows + i);
      nearest = select_below(found, least, broadcast_int(static_cast<int32_t>(g)), nearest);
      least = minimum(found, least);
    }
    int32_t names[kWidth];
    memcpy(names, &nearest, sizeof names);
    for (size_t l = 0; l < kWidth && i + l < rows; ++l) {
      lists[static_cast<size_t>(names[l]) * kListStride + static_cast<size_t>(counts[names[l]]++)] =
          static_cast<uint8_t>(i + l);
    }
  }
}

void near_groups(const SketchBlock& b, size_t rows, size_t groups, uint8_t* lists, int32_t* counts) {
  for (size_t i = rows; i < kSketchRows; ++i) b.limit[i] = -__builtin_inff();  // below all that can be found
  const float *const limit = b.limit, *const found = b.found;  // a byte that is stored could be one of the pointers
  for (size_t g = 0; g < groups; ++g) {
    int32_t count = 0;
    for (size_t i = 0; i < rows; i += kWidth) {
      append_rows(at_most_mask(load(found + g * kSketchRows + i), load(limit + i)), i, lists + g * kListStride, count);
    }
    counts[g] = count;
  }
}

// Upper bounds of the distances from listed rows to their own centers, times scale: by squares in float32; in float64
// where those overflow.
template <class T>
void own_bounds(const T* rows, const uint8_t* list, size_t count, const int32_t* labels, const T* centers, size_t d,
                double scale, float* out) {
  for (size_t i = 0; i < count; ++i) {
    const T* x = rows + list[i] * d;
    const T* c = centers + static_cast<size_t>(labels[list[i]]) * d;
    double squares = kMostFloatSquares;
    if constexpr (sizeof(T) == 4) {
      squares = static_cast<double>(sum_of(float_squares(x, c, d))) * (1 + float_doubt(d)) + float_lost(d);
    }
    if (!(squares < kMostFloatSquares)) squares = squared_distance(x, c, d) * (1 + 0x1p-30);
    out[list[i]] = next_up(__builtin_sqrt(squares) * scale * (1 + 0x1p-30) + 0x1p-60);
  }
}

inline Floats distance_of(Floats square) {
  const Floats zero = broadcast(0);
  return multiply_add(square_root(maximum(square, zero)), broadcast(1 - kOutward), zero);
}

void longest_found(const float* found, const float* squares, size_t groups, float* longest) {
  for (size_t i = 0; i < kSketchRows; i += kWidth) {
    const Floats own = load(squares + i);
    Floats most = broadcast(0);
    for (size_t g = 0; g < groups; ++g) {
      const Floats square = add(load(found + g * kSketchRows + i), own);
      most = maximum(most, choose_below(square, broadcast(kNobody * kNobody), square, broadcast(0)));
    }
    store(longest + i, distance_of(most));
  }
}

void store_groups(float* found, const float* squares, const float* units, const float* path, size_t groups,
                  const int32_t* counts, float* least, uint16_t* stored) {
  float inverse[kSketchRows];
  for (size_t i = 0; i < kSketchRows; ++i) inverse[i] = (1 - 2 * kOutward) / units[i];
  const Floats untouched = broadcast(kUntouched), full = broadcast(65535);
  for (size_t g = 0; g < groups; ++g) {
    if (counts[g] == 0) continue;
    for (size_t i = 0; i < kSketchRows; i += kWidth) {
      float* own = found + g * kSketchRows + i;
      const Floats value = load(own);
      if (at_most_mask(untouched, value) == (1u << kWidth) - 1) continue;
      const Floats distance = distance_of(add(value, load(squares + i)));
      const Floats bound = choose_below(value, untouched, distance, broadcast(kHuge));
      store(least + i, minimum(load(least + i), bound));
      const Floats zero = broadcast(0);
      const Floats count = minimum(multiply_add(add(distance, broadcast(path[g])), load(inverse + i), zero), full);
      uint16_t* kept = stored + g * kSketchRows + i;
      store_shorts(kept, choose_below(value, untouched, count, load_shorts(kept)));
      store(own, untouched);
    }
  }
}

void take_off_paths(uint16_t* stored, const float* units, const float* path, size_t groups) {
  const Floats zero = broadcast(0), less = broadcast(1 - 2 * kOutward);
  for (size_t g = 0; g < groups; ++g) {
    const Floats gone = broadcast(-path[g] * (1 + kOutward));
    for (size_t i = 0; i < kSketchRows; i += kWidth) {
      float inverse[kWidth];
      for (size_t l = 0; l < kWidth; ++l) inverse[l] = 1 / units[i + l];
      uint16_t* kept = stored + g * kSketchRows + i;
      const Floats bound = maximum(multiply_add(load_shorts(kept), load(units + i), gone), zero);
      store_shorts(kept, multiply_add(multiply_add(bound, less, zero), load(inverse), zero));
    }
  }
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
