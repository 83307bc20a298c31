// Exponents of the grids that exact sums are taken on.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "grid_buffer.hpp"
#include "kernels.hpp"

namespace macqueen {

// The grids of a buffer reach up to 168 bits further down and must themselves be numbers.
constexpr int kLowestTop = -900;

// Smallest e with |value| < 2^e, from the bits of the largest magnitude of type T.
template <class T>
int top_exponent(uint64_t bits) {
  const int exponent = sizeof(T) == 4 ? static_cast<int>(bits >> 23) - 126 : static_cast<int>(bits >> 52) - 1022;
  return std::max(exponent, kLowestTop);
}

// The one of the exponents of rows, reordered, that all but a sixteenth of the rows do not pass, or that of the largest
// row where it is not far above: an outlier must not coarsen the grid for all, while a row that the grid does not hold
// costs as much as a hundred that it does.
inline int usual_of(std::vector<int>& tops) {
  constexpr int kNotFar =
      4;  // float32 loses nothing on a grid coarser by 2^4, unless it is 2^-12 of the largest, at worst
  const auto usual = tops.begin() + static_cast<std::ptrdiff_t>(tops.size() - 1 - tops.size() / 16);
  std::nth_element(tops.begin(), usual, tops.end());
  return std::min(*std::max_element(usual, tops.end()), *usual + kNotFar);
}

template <class T>
int usual_exponent(const RowKernels<T>& kernels, const T* rows, size_t n, size_t d) {
  std::vector<int> tops(n);
  for (size_t i = 0; i < n; ++i) tops[i] = top_exponent<T>(kernels.largest(rows + i * d, d));
  return usual_of(tops);
}

// The exponent to prepare a buffer of row sums with for rows (n, d) whose magnitudes are all below 2^all.
template <class T>
int next_exponent(const RowKernels<T>& kernels, const T* rows, size_t n, size_t d, int all, const GridBuffer& sums) {
  return !sums.ready() || all > sums.top() ? usual_exponent(kernels, rows, n, d) : all;
}

}  // namespace macqueen
