// Sketches of rows and centers, and the lower bounds on distances that they give.
//
// X and C are a row and a center with the origin subtracted, times a power of two. With a basis W of orthonormal
// columns X = W y + t, where y are the heads and t is the tail; C = W z + s likewise. (Without a basis, only one of
// them is there.) The tails are stored as t^ = step * integers. Then
//
//   X.C = y.z + t^.s^ + e,   |e| <= |t^| |s - s^| + |t - t^| |s|,
//
// and S = |X - C|^2 - |X|^2 = |C|^2 - 2 X.C >= |C|^2 - 2 (y.z + t^.s^) - 2 |e|, and at most that + 4 |e|. All terms are
// products of a number of the row and one of the center.
//
// Rounding: the float32 sum has chains of at most kSketchChunk + heads / kSketchChunk + 12 operations, the columns of W
// are orthonormal up to 2^-18, and y, t are rounded; all this changes X.C by less than slack |X| |C| and the sum by as
// much again (SketchForm::slack). As 2 |X| |C| <= |X|^2 + |C|^2, `start` is |C|^2 less twice slack |C|^2, and the lower
// bound of S is the sum less slack |X|^2: the limits that sums are compared with are raised by that
// (RecordStart::slack). Underflow: all values are at most about 1, and 2^-90 is taken off each start.
//
// Numbers that are stored as bounds are rounded outward: lower ones down, upper ones up.
#pragma once

#include <stddef.h>

#include "assign.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

constexpr size_t kSketchChunk = 64;
constexpr size_t kGroupVectors = kGroup / kWidth;
constexpr size_t kSketchTile = kWidth == 16 ? 8 : kWidth == 8 ? 4 : 2;  // rows side by side
constexpr float kNobody = 1e18f;          // a bound beyond it means that a group has no other center
constexpr float kOutward = 0x1p-20f;      // beside sums of a few float32
constexpr double kMostSketched = 0x1p40;  // longer centers are always candidates

#if defined(__AVX512VNNI__)
constexpr bool kInt8Products = true;
#else
constexpr bool kInt8Products = false;
#endif

typedef int32_t Int32 __attribute__((may_alias, aligned(1)));

// v of `count` rows into out (count, d).
template <class T>
inline void center_rows(const T* rows, size_t count, const SketchForm& f, float* out) {
  for (size_t i = 0; i < count; ++i) {
    for (size_t j = 0; j < f.d; ++j) {
      out[i * f.d + j] = static_cast<float>((static_cast<double>(rows[i * f.d + j]) - f.origin[j]) * f.scale);
    }
  }
}

// Coordinates of `count` <= kSketchRows rows into out (count, coordinates); `centered` (count + kTileRows, d) out.
template <class T>
inline void coordinates(const T* rows, size_t count, const SketchForm& f, float* centered, float* out) {
  center_rows(rows, count, f, centered);
  const size_t width = f.coordinates();
  if (f.columns == 0) {
    memcpy(out, centered, count * f.d * sizeof(float));
    return;
  }
  const float zeros[kLanes] = {};
  memset(centered + count * f.d, 0, kTileRows * f.d * sizeof(float));
  for (size_t p = 0; p < f.columns / kLanes; ++p) {
    for (size_t i = 0; i < count; i += kTileRows) {
      tile(centered + i * f.d, f.d, f.basis + p * f.d * kLanes, zeros, [&](size_t r, const Floats* t) {
        if (i + r >= count) return;
        float y[kLanes];
        for (size_t v = 0; v < kTileVectors; ++v) store(y + v * kWidth, t[v]);
        for (size_t l = 0; l < kLanes && p * kLanes + l < f.heads; ++l) out[(i + r) * width + p * kLanes + l] = y[l];
      });
    }
  }
  for (size_t i = 0; i < count; ++i) {
    float* rest = out + i * width + f.heads;
    memcpy(rest, centered + i * f.d, f.d * sizeof(float));
    for (size_t c = 0; c < f.heads; ++c) {
      const float y = out[i * width + c];
      const float* axis = f.axes + c * f.d;
      for (size_t j = 0; j < f.d; ++j) rest[j] -= y * axis[j];
    }
  }
}

inline double squares_of(const float* v, size_t count) {
  Doubles sum = {};
  size_t j = 0;
  for (; j + kDoubleLanes <= count; j += kDoubleLanes) {
    const Doubles x = load_doubles(v + j);
    sum += x * x;
  }
  if (j < count) {
    const Doubles x = load_doubles(v + j, count - j);
    sum += x * x;
  }
  return sum_lanes(sum);
}

// Rounds a tail in place to the grid of its largest value: integers from -127 to 127. Returns the grid's step.
inline float to_grid(float* tail, size_t count, double* error) {
  const float top = largest_value(tail, count);
  const float step = top > 0x1p-100f ? top / 127 : 0;
  const float inverse = step > 0 ? 1 / step : 0;
  Doubles sum = {};
  for (size_t j = 0; j < count; j += kDoubleLanes) {
    const size_t lanes = count - j < kDoubleLanes ? count - j : kDoubleLanes;
    const Doubles exact = lanes == kDoubleLanes ? load_doubles(tail + j) : load_doubles(tail + j, lanes);
    for (size_t l = 0; l < lanes; ++l) tail[j + l] = __builtin_rintf(tail[j + l] * inverse);
    const Doubles rounded = lanes == kDoubleLanes ? load_doubles(tail + j) : load_doubles(tail + j, lanes);
    const Doubles gap = exact - static_cast<double>(step) * rounded;
    sum += gap * gap;
  }
  *error = __builtin_sqrt(sum_lanes(sum)) * (1 + 0x1p-30);
  return step;
}

template <class T>
void sketch(const T* rows, size_t n, const SketchForm& f, float* scratch, uint8_t* records) {
  float* centered = scratch;
  float* coordinate = scratch + (kSketchRows + kTileRows) * f.d;
  const size_t width = f.coordinates();
  coordinates(rows, n, f, centered, coordinate);
  for (size_t i = 0; i < n; ++i) {
    float* v = coordinate + i * width;
    const double squares = squares_of(centered + i * f.d, f.d);
    uint8_t* record = records + i * f.record();
    memcpy(record + sizeof(RecordStart), v, f.heads * sizeof(float));
    const double tail = __builtin_sqrt(squares_of(v + f.heads, f.tails));
    double error = 0;
    const float step = to_grid(v + f.heads, f.tails, &error);
    int8_t* tails = reinterpret_cast<int8_t*>(record + sizeof(RecordStart) + f.heads * sizeof(float));
    int32_t sum = 0;
    for (size_t j = 0; j < f.tails; ++j) {
      tails[j] = static_cast<int8_t>(v[f.heads + j]);
      sum += tails[j];
    }
    for (size_t j = f.tails; j < f.padded_tails(); ++j) tails[j] = 0;
    const RecordStart start{-2 * step,
                            next_up((tail + error) * (1 + 0x1p-20)),
                            next_up(error),
                            next_down(squares * (1 - 0x1p-20)),
                            next_up(squares * f.slack * (1 + 0x1p-20)),
                            -128 * sum};
    memcpy(record, &start, sizeof start);
  }
}

inline void empty_place(const SketchForm& f, size_t place, const SketchPanels& panels) {
  const size_t g = place / kGroup, lane = place % kGroup;
  for (size_t j = 0; j < f.heads; ++j) panels.heads[(g * f.heads + j) * kGroup + lane] = 0;
  for (size_t j = 0; j < f.padded_tails(); ++j) {
    panels.tails[(g * f.padded_tails() / 4 + j / 4) * kGroup * 4 + lane * 4 + j % 4] = 128;
  }
  panels.start[place] = kHuge;
  panels.step[place] = panels.tail[place] = panels.error[place] = 0;
}

inline void raise_to(float& most, double value) { most = next_up(value) > most ? next_up(value) : most; }

// One center in its place, from its centered values and coordinates v, which are overwritten.
inline void place_center(const float* centered, float* v, const SketchForm& f, size_t place,
                         const SketchPanels& panels) {
  const size_t g = place / kGroup, lane = place % kGroup;
  float* most = panels.most + g * 3;
  const double squares = squares_of(centered, f.d);
  if (!(squares < kMostSketched * kMostSketched)) {
    panels.start[place] = -kHuge;
    most[2] = __builtin_inff();
    return;
  }
  for (size_t j = 0; j < f.heads; ++j) panels.heads[(g * f.heads + j) * kGroup + lane] = -2 * v[j];
  const double tail = __builtin_sqrt(squares_of(v + f.heads, f.tails)) * (1 + 0x1p-20);
  double error = 0;
  panels.step[place] = to_grid(v + f.heads, f.tails, &error);
  for (size_t j = 0; j < f.tails; ++j) {
    panels.tails[(g * f.padded_tails() / 4 + j / 4) * kGroup * 4 + lane * 4 + j % 4] =
        static_cast<uint8_t>(static_cast<int>(v[f.heads + j]) + 128);
  }
  panels.start[place] = next_down(squares * (1 - 2 * f.slack - 0x1p-20) - 0x1p-90);
  panels.tail[place] = -2 * next_up(tail);
  panels.error[place] = -2 * next_up(error);
  raise_to(most[0], 4.001 * tail);
  raise_to(most[1], 4.001 * error);
  raise_to(most[2], squares * (4 * f.slack + 0x1p-18) + 0x1p-85);
}

template <class T>
void sketch_centers(const T* centers, const int32_t* places, size_t k, size_t groups, const SketchForm& f,
                    float* scratch, const SketchPanels& panels) {
  float* centered = scratch;
  float* coordinate = scratch + (kSketchRows + kTileRows) * f.d;
  for (size_t place = 0; place < groups * kGroup; ++place) empty_place(f, place, panels);
  for (size_t i = 0; i < groups * 3; ++i) panels.most[i] = 0;
  for (size_t first = 0; first < k; first += kSketchRows) {
    const size_t count = k - first < kSketchRows ? k - first : kSketchRows;
    coordinates(centers + first * f.d, count, f, centered, coordinate);
    for (size_t i = 0; i < count; ++i) {
      place_center(centered + i * f.d, coordinate + i * f.coordinates(), f, static_cast<size_t>(places[first + i]),
                   panels);
    }
  }
}

#if defined(__AVX512VNNI__)
// sum += the products of four unsigned bytes of each lane and the four signed bytes at x. In assembly, because g++ 12
// copies every accumulator around the intrinsic, which takes as long as the products.
inline void add_products(Ints& sum, Ints bytes, const uint8_t* x) {
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(bytes), "m"(*reinterpret_cast<const Int32*>(x)));
}
#endif

// Sums of the kSketchTile rows of these records and a group, into t.
template <bool kTails>
inline void sketch_tile(const SketchForm& f, const SketchPanels& p, size_t group, const uint8_t* const* records,
                        Floats (*t)[kGroupVectors]) {
  const float* start = p.start + group * kGroup;
  const float* panel_heads = p.heads + group * f.heads * kGroup;
  const auto number = [records](size_t r, size_t i) {
    float x;
    memcpy(&x, records[r] + i * sizeof x, sizeof x);
    return broadcast(x);
  };
  for (size_t v = 0; v < kGroupVectors; ++v) {
    for (size_t r = 0; r < kSketchTile; ++r) t[r][v] = load(start + v * kWidth);
  }
#if defined(__AVX512VNNI__)
  if constexpr (kTails) {
    const uint8_t* tails[kSketchTile];
    Ints sum[kSketchTile];
    for (size_t r = 0; r < kSketchTile; ++r) {
      sum[r] = _mm512_set1_epi32(*reinterpret_cast<const Int32*>(records[r] + offsetof(RecordStart, offset)));
      tails[r] = records[r] + sizeof(RecordStart) + f.heads * sizeof(float);
    }
    const size_t end = f.padded_tails();
    const uint8_t* panel_tails = p.tails + group * end * kGroup;
    for (size_t j = 0; j < end; j += 4) {
      const Ints c = _mm512_loadu_si512(panel_tails + j * kGroup);
      for (size_t r = 0; r < kSketchTile; ++r) {
        add_products(sum[r], c, tails[r] + j);
      }
    }
    const Floats step = load(p.step + group * kGroup), tail = load(p.tail + group * kGroup),
                 error = load(p.error + group * kGroup);
    for (size_t r = 0; r < kSketchTile; ++r) {
      const Floats bounds = multiply_add(number(r, 2), tail, multiply_add(number(r, 1), error, t[r][0]));
      t[r][0] = multiply_add(number(r, 0), _mm512_mul_ps(_mm512_cvtepi32_ps(sum[r]), step), bounds);
    }
  }
#endif
  for (size_t first = 0; first < f.heads; first += kSketchChunk) {
    const size_t end = first + kSketchChunk < f.heads ? first + kSketchChunk : f.heads;
    Floats sum[kSketchTile][kGroupVectors];
    for (size_t r = 0; r < kSketchTile; ++r) {
      for (size_t v = 0; v < kGroupVectors; ++v) sum[r][v] = broadcast(0);
    }
    for (size_t j = first; j < end; ++j) {
      for (size_t v = 0; v < kGroupVectors; ++v) {
        const Floats c = load(panel_heads + j * kGroup + v * kWidth);
        for (size_t r = 0; r < kSketchTile; ++r)
          sum[r][v] = multiply_add(number(r, SketchForm::kRecordStart + j), c, sum[r][v]);
      }
    }
    for (size_t r = 0; r < kSketchTile; ++r) {
      for (size_t v = 0; v < kGroupVectors; ++v) t[r][v] = add(t[r][v], sum[r][v]);
    }
  }
}

// The least of the kGroup values of each row into `out`; returns which of them do not pass the limit of their row.
#if defined(__AVX512F__)
inline uint32_t row_minima(const Floats (*t)[kGroupVectors], const float* limits, const uint8_t* rows, float* out) {
  const auto halves = [](Floats a, Floats b) {
    return minimum(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  };
  const auto quarters = [](Floats a, Floats b) {
    return minimum(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
  };
  const Floats low = quarters(halves(t[0][0], t[1][0]), halves(t[2][0], t[3][0]));
  const Floats high = quarters(halves(t[4][0], t[5][0]), halves(t[6][0], t[7][0]));
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
inline uint32_t row_minima(const Floats (*t)[kGroupVectors], const float* limits, const uint8_t* rows, float* out) {
  uint32_t near = 0;
  for (size_t r = 0; r < kSketchTile; ++r) {
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

// Keeps those candidates of a row that its limit still allows; the others count for their group.
inline void drop_candidates(const SketchBlock& b, size_t row) {
  Candidate* list = b.candidates + row * kMostCandidates;
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
  constexpr auto kMost = static_cast<int32_t>(kMostCandidates);
  if (b.counts[row] > kMost) {
    b.found[group * kSketchRows + row] = least;
    return;
  }
  if (b.counts[row] + static_cast<int32_t>(kGroup) > kMost) drop_candidates(b, row);
  Candidate* list = b.candidates + row * kMostCandidates;
  const Floats limit = broadcast(b.limit[row]);
  for (size_t v = 0; v < kGroupVectors; ++v) {
    float lanes[kWidth];
    store(lanes, t[v]);
    const uint32_t near = at_most_mask(t[v], limit);
    for (uint32_t mask = near; mask != 0; mask &= mask - 1) {
      const auto lane = static_cast<uint32_t>(__builtin_ctz(mask));
      if (b.counts[row] >= kMost) {
        b.counts[row] = kMost + 1;  // too many
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
inline float upper_bound(const uint8_t* record, const float* most, float least) {
  RecordStart start;
  memcpy(&start, record, sizeof start);
  const double upper = static_cast<double>(least) + static_cast<double>(start.tail) * static_cast<double>(most[1]) +
                       static_cast<double>(start.error) * static_cast<double>(most[0]) +
                       2 * static_cast<double>(start.slack);
  return next_up(upper + static_cast<double>(most[2]));
}

template <bool kTails>
void sketch_group_of(const SketchForm& f, const SketchPanels& p, size_t group, const uint8_t* list, size_t count,
                     const SketchBlock& b) {
  const size_t record = f.record();
  float* found = b.found + group * kSketchRows;
  for (size_t i = 0; i < count; i += kSketchTile) {
    const uint8_t* records[kSketchTile];
    uint8_t rows[kSketchTile];
    for (size_t r = 0; r < kSketchTile; ++r) {
      rows[r] = list[i + r < count ? i + r : i];
      records[r] = b.records + rows[r] * record;
    }
    Floats t[kSketchTile][kGroupVectors];
    sketch_tile<kTails>(f, p, group, records, t);
    float least[kSketchTile];
    uint32_t near = row_minima(t, b.limit, rows, least);
    if (count - i < kSketchTile) near &= (1u << (count - i)) - 1;
    for (size_t r = 0; r < kSketchTile; ++r) found[rows[r]] = least[r];
    for (; near != 0; near &= near - 1) {
      const auto r = static_cast<size_t>(__builtin_ctz(near));
      found[rows[r]] = kHuge;
      note_candidates(b, upper_bound(records[r], p.most + group * 3, least[r]), group, rows[r], t[r], least[r]);
    }
  }
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
  for (size_t i = 0; i < kSketchRows; i += kWidth) store(least + i, broadcast(kHuge));
  for (size_t g = 0; g < groups; ++g) {
    const Floats gone = broadcast(-path[g] * (1 + kOutward));
    counts[g] = 0;
    for (size_t i = 0; i < kSketchRows; i += kWidth) {
      const Floats bound = multiply_add(load_shorts(stored + g * kSketchRows + i), load(units + i), gone);
      const Floats limit = load(upper + i);
      const uint32_t mask = at_most_mask(bound, limit);
      store(least + i, minimum(load(least + i), choose_below(limit, bound, bound, broadcast(kHuge))));
      if (mask != 0) append_rows(mask, i, lists + g * kListStride, counts[g]);
    }
  }
}

void narrow_groups(const SketchForm& f, const SketchPanels& p, const SketchBlock& b, size_t rows, size_t groups,
                   uint8_t* lists, int32_t* counts) {
  for (size_t i = 0; i < rows; ++i) {
    for (size_t g = 0; g < groups; ++g) {
      const float least = b.found[g * kSketchRows + i];
      if (g != 0 && least >= b.limit[i]) continue;
      const float upper = upper_bound(b.records + i * f.record(), p.most + g * 3, least);
      b.limit[i] = g == 0 || upper < b.limit[i] ? upper : b.limit[i];
    }
  }
  for (size_t i = rows; i < kSketchRows; ++i) b.limit[i] = -kHuge;
  for (size_t g = 0; g < groups; ++g) {
    counts[g] = 0;
    for (size_t i = 0; i < rows; i += kWidth) {
      const uint32_t mask = at_most_mask(load(b.found + g * kSketchRows + i), load(b.limit + i));
      if (mask != 0) append_rows(mask, i, lists + g * kListStride, counts[g]);
    }
  }
}

// Upper bounds of the distances from listed rows to their own centers: float32 in difference form, whose squares have
// a relative error below (d / kWidth + 12) 2^-24 beside underflow; float64 where they overflow.
template <class T>
void own_bounds(const T* rows, const uint8_t* list, size_t count, const int32_t* labels, const T* centers, size_t d,
                double* out) {
  const double relative = sizeof(T) == 4 ? 1 + static_cast<double>(d / kWidth + 16) * 0x1p-23 : 1 + 0x1p-30;
  const double absolute = sizeof(T) == 4 ? static_cast<double>(d) * 0x1p-140 : 0;
  for (size_t i = 0; i < count; ++i) {
    const T* x = rows + list[i] * d;
    const T* c = centers + static_cast<size_t>(labels[list[i]]) * d;
    double squares = 0;
    if constexpr (sizeof(T) == 4) {
      Floats one = broadcast(0), other = one;
      size_t j = 0;
      for (; j + 2 * kWidth <= d; j += 2 * kWidth) {
        const Floats a = load(x + j) - load(c + j), b = load(x + j + kWidth) - load(c + j + kWidth);
        one = multiply_add(a, a, one);
        other = multiply_add(b, b, other);
      }
      for (; j < d; ++j) squares += (static_cast<double>(x[j]) - c[j]) * (static_cast<double>(x[j]) - c[j]);
      float lanes[kWidth];
      store(lanes, add(one, other));
      for (size_t l = 0; l < kWidth; ++l) squares += static_cast<double>(lanes[l]);
    }
    if (sizeof(T) == 8 || !(squares < 0x1p126)) squares = squared_distance(x, c, d);
    out[i] = __builtin_sqrt(squares * relative + absolute) * (1 + 0x1p-30);
  }
}

inline Floats found_distance(const float* found, const float* squares) {
  const Floats zero = broadcast(0);
  const Floats square = maximum(add(load(found), load(squares)), zero);
  return multiply_add(square_root(square), broadcast(1 - kOutward), zero);
}

void longest_found(const float* found, const float* squares, size_t groups, float* longest) {
  for (size_t i = 0; i < kSketchRows; i += kWidth) {
    Floats most = broadcast(0);
    for (size_t g = 0; g < groups; ++g) {
      const Floats distance = found_distance(found + g * kSketchRows + i, squares + i);
      most = maximum(most, choose_below(distance, broadcast(kNobody), distance, broadcast(0)));
    }
    store(longest + i, most);
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
      const Floats distance = found_distance(own, squares + i);
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
