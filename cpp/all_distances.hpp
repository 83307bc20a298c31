// Distances of all pairs of rows and centers, several side by side: each pair has the operations of `squared_distance`
// in their order, so that the bits are the same, but values are widened once for several pairs.
#pragma once

#include "short_screen.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

constexpr size_t kSideRows = kWidth == 16 ? 4 : 2, kSideCenters = kSideRows;  // as many as registers hold

#if defined(__AVX512F__) || defined(__AVX2__)
typedef double TwoDoubles __attribute__((vector_size(16)));
#if defined(__AVX512F__)
inline __m256d sum_of_halves(const Doubles& v) { return _mm512_castpd512_pd256(v) + _mm512_extractf64x4_pd(v, 1); }
#else
inline __m256d sum_of_halves(const Doubles& v) { return v.low + v.high; }
#endif
// `sum_lanes` of both.
inline TwoDoubles sum_lanes(const Doubles& a, const Doubles& b) {
  const __m256d x = sum_of_halves(a), y = sum_of_halves(b);
  const __m256d even = _mm256_unpacklo_pd(x, y), odd = _mm256_unpackhi_pd(x, y);
  return (_mm256_castpd256_pd128(even) + _mm256_extractf128_pd(even, 1)) +
         (_mm256_castpd256_pd128(odd) + _mm256_extractf128_pd(odd, 1));
}
#else
inline RegisterDoubles sum_lanes(const Doubles& a, const Doubles& b) {
  return RegisterDoubles{sum_lanes(a), sum_lanes(b)};
}
#endif

// kSideRows rows and kSideCenters centers; out (kSideRows, kSideCenters).
template <class T>
inline void pair_distances(const T* rows, const T* centers, size_t d, double* out) {
  Doubles sum[kSideRows][kSideCenters];
  each<0, kSideRows>([&](size_t r) __attribute__((always_inline)) {
    for (size_t c = 0; c < kSideCenters; ++c) sum[r][c] = Doubles{};
  });
  const auto add = [&](const auto& values) __attribute__((always_inline)) {
    Doubles center[kSideCenters];
    for (size_t c = 0; c < kSideCenters; ++c) center[c] = values(centers + c * d);
    each<0, kSideRows>([&](size_t r) __attribute__((always_inline)) {
      const Doubles x = values(rows + r * d);
      for (size_t c = 0; c < kSideCenters; ++c) {
        const Doubles difference = x - center[c];
        sum[r][c] += difference * difference;
      }
    });
  };
  size_t j = 0;
  for (; j + kDoubleLanes <= d; j += kDoubleLanes) {
    add([j](const T* p) __attribute__((always_inline)) { return load_doubles(p + j); });
  }
  if (j < d) {
    add([j, d](const T* p) __attribute__((always_inline)) { return load_doubles(p + j, d - j); });
  }
  each<0, kSideRows>([&](size_t r) __attribute__((always_inline)) {
    for (size_t c = 0; c < kSideCenters; c += 2) {
      const auto two = sum_lanes(sum[r][c], sum[r][c + 1]);
      memcpy(out + r * kSideCenters + c, &two, sizeof two);
    }
  });
}

template <class T>
void distances(const T* rows, const T* centers, size_t n, size_t k, size_t d, double factor, T* out) {
  const size_t whole_rows = n / kSideRows * kSideRows, whole_centers = k / kSideCenters * kSideCenters;
  // A part of the centers that stays in the nearest cache goes with all rows.
  size_t part = 16384 / (d * sizeof(T)) / kSideCenters * kSideCenters;
  part = part < kSideCenters ? kSideCenters : part;
  for (size_t begin = 0; begin < whole_centers; begin += part) {
    const size_t end = begin + part < whole_centers ? begin + part : whole_centers;
    for (size_t i = 0; i < whole_rows; i += kSideRows) {
      for (size_t c = begin; c < end; c += kSideCenters) {
        double found[kSideRows * kSideCenters];
        pair_distances(rows + i * d, centers + c * d, d, found);
        for (size_t r = 0; r < kSideRows; ++r) {
          for (size_t q = 0; q < kSideCenters; ++q) {
            out[(i + r) * k + c + q] = static_cast<T>(factor * found[r * kSideCenters + q]);
          }
        }
      }
    }
  }
  for (size_t i = 0; i < n; ++i) {
    for (size_t c = i < whole_rows ? whole_centers : 0; c < k; ++c) {
      out[i * k + c] = static_cast<T>(factor * squared_distance(rows + i * d, centers + c * d, d));
    }
  }
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
