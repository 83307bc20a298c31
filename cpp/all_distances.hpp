// Distances of all pairs of rows and centers, those of a row to some centers side by side. Each has the operations of
// `squared_distance` in their order, lane by lane, so that the bits are the same; none has to be added up across lanes.
#pragma once

#include "short_screen.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

constexpr size_t kSideCenters = sizeof(RegisterDoubles) / sizeof(double);

// The centers (k, d) as float64, kSideCenters side by side: (k / kSideCenters, d, kSideCenters) out; zeros beyond k.
template <class T>
void widen_centers(const T* centers, size_t k, size_t d, double* out) {
  for (size_t first = 0; first < k; first += kSideCenters, out += d * kSideCenters) {
    for (size_t j = 0; j < d; ++j) {
      for (size_t c = 0; c < kSideCenters; ++c) {
        out[j * kSideCenters + c] = first + c < k ? static_cast<double>(centers[(first + c) * d + j]) : 0;
      }
    }
  }
}

// Squared distances of a row (d,) to the centers of `panel` (d, kSideCenters).
inline RegisterDoubles side_distances(const double* row, const double* panel, size_t d) {
  RegisterDoubles sum[kDoubleLanes] = {};
  const auto add = [&](size_t j, size_t lane) __attribute__((always_inline)) {
    RegisterDoubles centers;
    memcpy(&centers, panel + j * kSideCenters, sizeof centers);
    const RegisterDoubles difference = row[j] - centers;
    sum[lane] += difference * difference;
  };
  size_t j = 0;
  for (; j + kDoubleLanes <= d; j += kDoubleLanes) {
    each<0, kDoubleLanes>([&](size_t lane) __attribute__((always_inline)) { add(j + lane, lane); });
  }
  each<0, kDoubleLanes - 1>([&](size_t lane) __attribute__((always_inline)) {
    if (j + lane < d) add(j + lane, lane);
  });
  // As `sum_lanes`.
  return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

// A row (d,) as float64: where it is, or in `wide` (out).
inline const double* widened(const double* row, size_t, double*) { return row; }
inline const double* widened(const float* row, size_t d, double* wide) {
  for (size_t j = 0; j < d; ++j) wide[j] = static_cast<double>(row[j]);
  return wide;
}

template <class T>
void distances(const T* rows, const double* centers, size_t n, size_t k, size_t d, double factor, double* wide,
               T* out) {
  // A part of the centers that stays in the nearest cache goes with all rows.
  constexpr size_t kLeastPart = 16, kPartValues = 3072;
  const size_t fitting = kPartValues / d / kLeastPart * kLeastPart, part = fitting < kLeastPart ? kLeastPart : fitting;
  for (size_t begin = 0; begin < k; begin += part) {
    const size_t end = begin + part < k ? begin + part : k;
    for (size_t i = 0; i < n; ++i) {
      const double* const row = widened(rows + i * d, d, wide);
      for (size_t c = begin; c < end; c += kSideCenters) {
        const RegisterDoubles found = factor * side_distances(row, centers + c * d, d);
        T* const to = out + i * k + c;
        const size_t count = end - c;
        if (count >= kSideCenters) {
          each<0, kSideCenters>([&](size_t l) __attribute__((always_inline)) { to[l] = static_cast<T>(found[l]); });
        } else {
          for (size_t l = 0; l < count; ++l) to[l] = static_cast<T>(found[l]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
