// What exactness is measured against (benchmarks/exactness.py): plain float64 sums, and labels that float32 gives and
// nothing checks. Only in a build with -DMACQUEEN_UNCHECKED=ON, which is never installed; kChecked is true elsewhere.
#pragma once

#include "distances.hpp"
#include "kernels.hpp"
#include "simd.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

#if defined(MACQUEEN_UNCHECKED)
constexpr bool kChecked = false;
#else
constexpr bool kChecked = true;
#endif

// Adds the d values of a row to float64 sums, which lie in the cells of the first grid.
template <class T>
inline void add_row_unchecked(const T* row, size_t d, size_t cell, SumBuffer& s) {
  typedef double Sum __attribute__((may_alias));
  Sum* sums = reinterpret_cast<Sum*>(s.levels[0] + cell);
  for (size_t j = 0; j < d; ++j) sums[j] += static_cast<double>(row[j]);
}

inline double distance_unchecked(const double* x, const double* c, size_t d) { return squared_distance(x, c, d); }
inline double distance_unchecked(const float* x, const float* c, size_t d) {
  return static_cast<double>(sum_of(float_squares(x, c, d)));
}

// As `decide`.
template <class T>
int32_t decide_unchecked(const T* row, const T* centers, size_t d, const int32_t* candidates, size_t count) {
  int32_t nearest = 0;
  double lowest = __builtin_inf();
  for (size_t i = 0; i < count; ++i) {
    const int32_t c = candidates == nullptr ? static_cast<int32_t>(i) : candidates[i];
    const double distance = distance_unchecked(row, centers + static_cast<size_t>(c) * d, d);
    nearest = distance < lowest ? c : nearest;
    lowest = distance < lowest ? distance : lowest;
  }
  return nearest;
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
