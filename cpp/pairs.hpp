// Distances of single pairs of a row and a center, and the bounds of all pairs that cpp/pair_bounds.cpp keeps.
//
// Squared distances are computed in float32 in difference form: each term has two or three roundings, and all terms
// are positive, so a sum of d of them has a relative error below (d + 24) 2^-24 in whatever order it is taken, beside
// underflow of at most d 2^-149 (PairGrid::relative and ::absolute hold a little more). Sums that overflow are
// infinite: then the distance is beyond 2^63, and so is every number that a bound can take.
//
// The bounds of a row i are bytes b[c] on a grid of one unit, counted from base[i] and stored beside the way p[c] that
// center c has come by then:
//
//   distance(i, c) + p[c] - base[i] >= unit * b[c],  b[c] <= 254.
//
// Later, when the center has come p'[c] >= p[c], its distance is at least base[i] + unit * b[c] - p'[c], by the
// triangle inequality. With an upper bound u of the distance to the row's own center, c can be nearest only if b[c] <=
// (u - base[i]) / unit + p'[c] / unit. Both terms are rounded up to bytes, what is stored is rounded down. At 254 the
// test says yes; the own center holds 255, where it says no.
#pragma once

#include "distances.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

constexpr size_t kTileCenters = kWidth == 1 ? 1 : 2;

// The lanes of each of kWidth vectors merged into one, side by side; merge(a, b) of vectors.
#if defined(__AVX512F__)
template <class Merge>
inline Floats merge_lanes(const Floats (&v)[kWidth], const Merge& merge) {
  const auto halves = [&](Floats a, Floats b) {
    return merge(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  };
  Floats quarters[4];  // of each of four vectors, a quarter
  for (size_t i = 0; i < 4; ++i) {
    const Floats a = halves(v[4 * i], v[4 * i + 1]), b = halves(v[4 * i + 2], v[4 * i + 3]);
    quarters[i] = merge(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
  }
  const auto pairs = [&](Floats a, Floats b) { return merge(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)); };
  const Floats low = pairs(quarters[0], quarters[1]), high = pairs(quarters[2], quarters[3]);
  const Floats merged = merge(_mm512_shuffle_ps(low, high, 0x44), _mm512_shuffle_ps(low, high, 0xee));
  const Ints order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_permutexvar_ps(order, merged);
}
#elif defined(__AVX2__)
template <class Merge>
inline Floats merge_lanes(const Floats (&v)[kWidth], const Merge& merge) {
  const auto pairs = [&](size_t i) {
    return merge(_mm256_unpacklo_ps(v[i], v[i + 1]), _mm256_unpackhi_ps(v[i], v[i + 1]));
  };
  const auto quarters = [&](size_t i) {  // of each of four vectors, in each half
    const Floats low = pairs(i), high = pairs(i + 2);
    return merge(_mm256_shuffle_ps(low, high, 0x44), _mm256_shuffle_ps(low, high, 0xee));
  };
  const Floats low = quarters(0), high = quarters(4);
  return merge(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
}
#else
template <class Merge>
inline Floats merge_lanes(const Floats (&v)[kWidth], const Merge& merge) {
  float lanes[kWidth][kWidth], column[kWidth];
  for (size_t i = 0; i < kWidth; ++i) store(lanes[i], v[i]);
  Floats merged;
  for (size_t l = 0; l < kWidth; ++l) {
    for (size_t i = 0; i < kWidth; ++i) column[i] = lanes[i][l];
    merged = l == 0 ? load(column) : merge(merged, load(column));
  }
  return merged;
}
#endif
inline Floats lane_sums(const Floats (&v)[kWidth]) {
  return merge_lanes(v, [](Floats a, Floats b) { return add(a, b); });
}

// Squared distances of kWidth pairs x[i], c[i] of d values.
template <class T>
inline Floats tile_squares(const T* const* x, const T* const* c, size_t d) {
  Floats sum[kWidth];
  for (size_t i = 0; i < kWidth; ++i) sum[i] = broadcast(0);
  size_t j = 0;
  for (; j + kWidth <= d; j += kWidth) {
    for (size_t i = 0; i < kWidth; ++i) {
      const Floats gap = difference(x[i] + j, c[i] + j);
      sum[i] = multiply_add(gap, gap, sum[i]);
    }
  }
  if (j < d) {
    for (size_t i = 0; i < kWidth; ++i) {
      const Floats gap = difference(x[i] + j, c[i] + j, d - j);
      sum[i] = multiply_add(gap, gap, sum[i]);
    }
  }
  return lane_sums(sum);
}

template <class T>
void pair_squares(const T* rows, const uint8_t* places, const int32_t* names, size_t count, const T* centers, size_t d,
                  float* out) {
  for (size_t i = 0; i < count; i += kWidth) {
    const T *x[kWidth], *c[kWidth];
    for (size_t l = 0; l < kWidth; ++l) {
      const size_t at = i + l < count ? i + l : count - 1;
      x[l] = rows + places[at] * d;
      c[l] = centers + static_cast<size_t>(names[at]) * d;
    }
    store(out + i, tile_squares(x, c, d));
  }
}

// The squared distances of all pairs, vectors over the dimensions: a few rows and centers at a time.
template <class T>
void wide_squares(const T* rows, size_t n, const T* centers, const int32_t* names, size_t count, size_t d, float* out) {
  constexpr size_t kRows = kWidth / kTileCenters;
  for (size_t i = 0; i < n; i += kRows) {
    const T *x[kWidth], *c[kWidth];
    for (size_t l = 0; l < kWidth; ++l) x[l] = rows + (i + l % kRows < n ? i + l % kRows : n - 1) * d;
    for (size_t first = 0; first < count; first += kTileCenters) {
      const auto name = [&](size_t l) { return static_cast<size_t>(names[first + l < count ? first + l : count - 1]); };
      for (size_t l = 0; l < kWidth; ++l) c[l] = centers + name(l / kRows) * d;
      float squares[kWidth];
      store(squares, tile_squares(x, c, d));
      for (size_t l = 0; l < kTileCenters; ++l) {
        memcpy(out + name(l) * kPairRows + i, squares + l * kRows, kRows * sizeof(float));
      }
    }
  }
}

// The same with vectors over the rows, which needs no sums over lanes: for few dimensions.
inline void narrow_squares(const float* rows, size_t n, const float* centers, const int32_t* names, size_t count,
                           size_t d, float* out) {
  constexpr size_t kVectors = kWidth == 16 ? 4 : 2, kRows = kVectors * kWidth;
  float columns[kNarrowDims * kPairRows];
  for (size_t i = 0; i < kPairRows; ++i) {
    const float* x = rows + (i < n ? i : n - 1) * d;
    for (size_t j = 0; j < d; ++j) columns[j * kPairRows + i] = x[j];
  }
  for (size_t i = 0; i < n; i += kRows) {
    for (size_t c = 0; c < count; c += 2) {
      const size_t pair[2] = {static_cast<size_t>(names[c]), static_cast<size_t>(names[c + 1 < count ? c + 1 : c])};
      const float *one = centers + pair[0] * d, *other = centers + pair[1] * d;
      Floats sum[2][kVectors];
      for (auto& vectors : sum) {
        for (Floats& v : vectors) v = broadcast(0);
      }
      for (size_t j = 0; j < d; ++j) {
        const Floats a = broadcast(one[j]), b = broadcast(other[j]);
        for (size_t v = 0; v < kVectors; ++v) {
          const Floats x = load(columns + j * kPairRows + i + v * kWidth), to_a = x - a, to_b = x - b;
          sum[0][v] = multiply_add(to_a, to_a, sum[0][v]);
          sum[1][v] = multiply_add(to_b, to_b, sum[1][v]);
        }
      }
      for (size_t t = 0; t < 2; ++t) {
        for (size_t v = 0; v < kVectors; ++v) store(out + pair[t] * kPairRows + i + v * kWidth, sum[t][v]);
      }
    }
  }
}

template <class T>
void all_squares(const T* rows, size_t n, const T* centers, const int32_t* names, size_t count, size_t d, float* out) {
  if constexpr (sizeof(T) == 4) {
    if (d <= kNarrowDims) {
      narrow_squares(rows, n, centers, names, count, d, out);
      return;
    }
  }
  wide_squares(rows, n, centers, names, count, d, out);
}

void nearest_two(const float* squares, const int32_t* names, size_t count, float* lowest, float* second,
                 int32_t* nearest) {
  for (size_t i = 0; i < kPairRows; i += kWidth) {
    float bits[kWidth];
    memcpy(bits, nearest + i, sizeof bits);
    Floats low = load(lowest + i), next = load(second + i);
    Ints index = load_ints(bits);
    for (size_t c = 0; c < count; ++c) {
      const Floats value = load(squares + static_cast<size_t>(names[c]) * kPairRows + i);
      index = select_below(value, low, broadcast_int(names[c]), index);
      if constexpr (kChecked) next = minimum(next, maximum(low, value));
      low = minimum(low, value);
    }
    store(lowest + i, low);
    store(second + i, next);
    store_ints(bits, index);
    memcpy(nearest + i, bits, sizeof bits);
  }
}

// Values from 0 to below 256 as bytes, rounded down.
inline void store_bytes(uint8_t* p, Floats v) { store_low_bytes(p, truncated(v)); }

inline Floats in_bytes(Floats v) {
  return minimum(maximum(v, broadcast(0)), broadcast(static_cast<float>(kMostPairBound)));
}

// At most the root of x >= 0, by less than 2^-12 of it.
inline Floats lower_root(Floats x) {
#if defined(__AVX512F__)
  const Floats within = minimum(x, broadcast(0x1p126f));  // infinity would become 0
  return within * _mm512_rsqrt14_ps(maximum(within, broadcast(0x1p-100f))) * broadcast(1 - 0x1p-13f);
#else
  return square_root(x);
#endif
}

void pair_bounds(const float* squares, const float* bases, const float* paths, size_t count, const PairGrid& grid,
                 uint8_t* bounds) {
  const Floats less = broadcast(1 - grid.relative), absolute = broadcast(-grid.absolute);
  const Floats scale = broadcast(1 - kPairOutward), inverse = broadcast(grid.inverse_down);
  for (size_t i = 0; i < count; i += kWidth) {
    const Floats distance = lower_root(maximum(multiply_add(load(squares + i), less, absolute), broadcast(0)));
    const Floats bound = multiply_add(distance, scale, load(paths + i)) - load(bases + i);
    store_bytes(bounds + i, in_bytes(bound * inverse));
  }
}

void pair_uppers(const float* squares, const float* paths, size_t count, const PairGrid& grid, float* uppers) {
  const Floats more = broadcast(1 + 2 * grid.relative), absolute = broadcast(2 * grid.absolute);
  const Floats scale = broadcast(1 + kPairOutward), way = broadcast(-1 + kPairOutward);
  for (size_t i = 0; i < count; i += kWidth) {
    const Floats distance = square_root(multiply_add(load(squares + i), more, absolute));
    store(uppers + i, multiply_add(load(paths + i), way, distance * scale));
  }
}

void upper_bytes(const float* uppers, const int32_t* labels, const float* paths, const float* bases,
                 const PairGrid& grid, uint8_t* bytes) {
  const Floats scale = broadcast(1 + kPairOutward), inverse = broadcast(grid.inverse_up), one = broadcast(1);
  for (size_t i = 0; i < kPairRows; i += kWidth) {
    float way[kWidth];
    for (size_t l = 0; l < kWidth; ++l) way[l] = paths[labels[i + l]];
    const Floats upper = (load(uppers + i) + load(way)) * scale;
    store_bytes(bytes + i, in_bytes((upper - load(bases + i)) * inverse + one));
  }
}

// Which of the rows have a bound that does not pass the limit of their row.
#if defined(__AVX512F__)
inline uint64_t passing(const uint8_t* bounds, const uint8_t* uppers, uint8_t path) {
  const __m512i most = _mm512_set1_epi8(static_cast<char>(static_cast<uint8_t>(kMostPairBound)));
  const __m512i sum = _mm512_adds_epu8(_mm512_loadu_si512(uppers), _mm512_set1_epi8(static_cast<char>(path)));
  return _mm512_cmple_epu8_mask(_mm512_loadu_si512(bounds), _mm512_min_epu8(sum, most));
}
#elif defined(__AVX2__)
inline uint64_t passing(const uint8_t* bounds, const uint8_t* uppers, uint8_t path) {
  const Ints most = _mm256_set1_epi8(static_cast<char>(static_cast<uint8_t>(kMostPairBound)));
  const Ints way = _mm256_set1_epi8(static_cast<char>(path));
  uint64_t bits = 0;
  for (size_t i = 0; i < kPairRows; i += 32) {
    const Ints sum = _mm256_adds_epu8(_mm256_loadu_si256(reinterpret_cast<const Ints*>(uppers + i)), way);
    const Ints limit = _mm256_min_epu8(sum, most);
    const Ints bound = _mm256_loadu_si256(reinterpret_cast<const Ints*>(bounds + i));
    const Ints passed = _mm256_cmpeq_epi8(_mm256_min_epu8(bound, limit), bound);
    bits |= static_cast<uint64_t>(static_cast<uint32_t>(_mm256_movemask_epi8(passed))) << i;
  }
  return bits;
}
#else
inline uint64_t passing(const uint8_t* bounds, const uint8_t* uppers, uint8_t path) {
  uint8_t passed[kPairRows];
  for (size_t i = 0; i < kPairRows; ++i) {
    const int sum = uppers[i] + path, limit = sum < kMostPairBound ? sum : kMostPairBound;
    passed[i] = bounds[i] <= limit ? 1 : 0;
  }
  uint64_t bits = 0;
  for (size_t i = 0; i < kPairRows; ++i) bits |= static_cast<uint64_t>(passed[i]) << i;
  return bits;
}
#endif

size_t pair_needs(const uint8_t* bounds, const uint8_t* uppers, const uint8_t* paths, size_t k, uint64_t among,
                  uint64_t* needs, uint8_t* counts, uint64_t* any) {
  size_t pairs = 0;
  *any = 0;
  for (size_t c = 0; c < k; ++c) {
    needs[c] = among & passing(bounds + c * kPairRows, uppers, paths[c]);
    *any |= needs[c];
    counts[c] = static_cast<uint8_t>(__builtin_popcountll(needs[c]));
    pairs += counts[c];
  }
  return pairs;
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
