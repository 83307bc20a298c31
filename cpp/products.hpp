// Products of a few small float64 matrices, for the principal axes of a sample (cpp/axes.cpp).
#pragma once

#include "kernels.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

// out (m, p) = a (m, d) times b (d, p)
void multiply(const double* a, const double* b, size_t m, size_t d, size_t p, double* out) {
  for (size_t i = 0; i < m; ++i) {
    double* row = out + i * p;
    for (size_t c = 0; c < p; ++c) row[c] = 0;
    for (size_t j = 0; j < d; ++j) {
      const double x = a[i * d + j];
      for (size_t c = 0; c < p; ++c) row[c] += x * b[j * p + c];
    }
  }
}

// out (d, p) = a (m, d) transposed times b (m, p)
void multiply_transposed(const double* a, const double* b, size_t m, size_t d, size_t p, double* out) {
  for (size_t j = 0; j < d * p; ++j) out[j] = 0;
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < d; ++j) {
      const double x = a[i * d + j];
      for (size_t c = 0; c < p; ++c) out[j * p + c] += x * b[i * p + c];
    }
  }
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
