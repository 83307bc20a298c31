// Products of a few small float64 matrices, for the principal axes of a sample (cpp/axes.cpp). Every sum is added up in
// order, one lane each: the same bits on every instruction set.
#pragma once

#include "kernels.hpp"
#include "simd.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

// A register of float64; kDoubleLanes are a whole number of them.
constexpr size_t kRegister = kWidth > 1 ? kWidth / 2 : 2;
typedef double Register __attribute__((vector_size(kRegister * sizeof(double))));
typedef double Loose __attribute__((vector_size(kRegister * sizeof(double)), aligned(sizeof(double)), may_alias));

// out (kRows, kVectors * kRegister), rows `p` apart: sums over `count` of a (kRows, count), whose values are `along`
// apart in a row and rows `across`, times b (count, p).
template <size_t kRows, size_t kVectors>
inline void multiply_tile(const double* a, size_t along, size_t across, const double* b, size_t count, size_t p,
                          double* out) {
  Register sums[kRows][kVectors] = {};
  for (size_t i = 0; i < count; ++i) {
    Register row[kVectors];
    for (size_t v = 0; v < kVectors; ++v) row[v] = *reinterpret_cast<const Loose*>(b + i * p + v * kRegister);
    for (size_t r = 0; r < kRows; ++r) {
      const double x = a[i * along + r * across];
      for (size_t v = 0; v < kVectors; ++v) sums[r][v] += x * row[v];
    }
  }
  for (size_t r = 0; r < kRows; ++r) memcpy(out + r * p, sums[r], sizeof sums[r]);
}

template <size_t kVectors>
inline void multiply_columns(const double* a, size_t along, size_t across, const double* b, size_t rows, size_t count,
                             size_t p, double* out) {
  constexpr size_t kRows = 4;
  size_t r = 0;
  for (; r + kRows <= rows; r += kRows) {
    multiply_tile<kRows, kVectors>(a + r * across, along, across, b, count, p, out + r * p);
  }
  for (; r < rows; ++r) multiply_tile<1, kVectors>(a + r * across, along, across, b, count, p, out + r * p);
}

inline void multiply_strided(const double* a, size_t along, size_t across, const double* b, size_t rows, size_t count,
                             size_t p, double* out) {
  size_t c = 0;
  for (; c + 2 * kRegister <= p; c += 2 * kRegister) {
    multiply_columns<2>(a, along, across, b + c, rows, count, p, out + c);
  }
  if (c < p) multiply_columns<1>(a, along, across, b + c, rows, count, p, out + c);
}

// out (m, p) = a (m, d) times b (d, p), p a multiple of kDoubleLanes
void multiply(const double* a, const double* b, size_t m, size_t d, size_t p, double* out) {
  multiply_strided(a, 1, d, b, m, d, p, out);
}

// out (d, p) = a (m, d) transposed times b (m, p), p a multiple of kDoubleLanes
void multiply_transposed(const double* a, const double* b, size_t m, size_t d, size_t p, double* out) {
  multiply_strided(a, d, 1, b, d, m, p, out);
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
