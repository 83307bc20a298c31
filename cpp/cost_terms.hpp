// sum_c (2 S_c.c - n_c |c|^2) as a double-double, eight lanes side by side. `finish` in finish.cpp checks that its
// error cannot change the rounded cost, and computes it exactly where it could.
#pragma once

#include "distances.hpp"
#include "kernels.hpp"
#include "simd.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

struct DoubleDoubles {
  Doubles high = {};
  Doubles low = {};

  // Adds a float64 (two-sum; Knuth, TAOCP 4.2.2), keeping its error in `low`.
  inline void add(const Doubles& value) {
    const Doubles sum = high + value;
    const Doubles part = sum - high;
    low += (high - (sum - part)) + (value - part);
    high = sum;
  }
};

// Adds 2 S c - n c^2 of eight cells; `size` collects the magnitudes.
inline void add_cells(const Doubles& high, const Doubles& low, const Doubles& c, double n, DoubleDoubles& sum,
                      Doubles& size) {
  const Doubles twice = 2 * c;
  const Doubles product = high * twice;
  const Doubles product_error = fused(high, twice, -product);
  // n < 2^53 times c in two parts, then each times c: n c^2 = square_a + square_b with their errors.
  const Doubles number = Doubles{} + n;
  const Doubles scaled = number * c;
  const Doubles scaled_error = fused(number, c, -scaled);
  const Doubles square = scaled * c;
  const Doubles square_error = fused(scaled, c, -square);
  sum.add(product);
  sum.add(-square);
  sum.low += (product_error - square_error) + (low * twice - scaled_error * c);
  size += absolute(product) + absolute(square);
}

template <class T>
void cost_terms(const double* high, const double* low, const int64_t* counts, const T* centers, size_t k, size_t d,
                double* result_high, double* result_low, double* magnitude) {
  DoubleDoubles sum;
  Doubles size = {};
  for (size_t c = 0; c < k; ++c) {
    if (counts[c] == 0) continue;
    const double n = static_cast<double>(counts[c]);
    const size_t row = c * d;
    size_t j = 0;
    for (; j + kDoubleLanes <= d; j += kDoubleLanes) {
      add_cells(load_doubles(high + row + j), load_doubles(low + row + j), load_doubles(centers + row + j), n, sum,
                size);
    }
    if (j < d) {
      add_cells(load_doubles(high + row + j, d - j), load_doubles(low + row + j, d - j),
                load_doubles(centers + row + j, d - j), n, sum, size);
    }
  }
  double total = 0, error = 0;
  for (size_t l = 0; l < kDoubleLanes; ++l) {
    const double next = total + sum.high[l];
    const double part = next - total;
    error += ((total - (next - part)) + (sum.high[l] - part)) + sum.low[l];
    total = next;
  }
  *result_high = total;
  *result_low = error;
  *magnitude = sum_lanes(size);
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
