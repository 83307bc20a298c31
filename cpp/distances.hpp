// Distances that are reported or compared as numbers: float64, difference form, eight lanes in a fixed
// order, multiply and add rounded separately. The same bits on every instruction set.
#pragma once

#include "eights.hpp"
#include "kernels.hpp"
#include "lanes.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

// x - c, of a whole vector or of `count` values and zeros, rounded to float32.
template <class T>
inline Floats difference(const T* x, const T* c, size_t count) {
  float v[kWidth] = {};
  for (size_t l = 0; l < count; ++l) v[l] = static_cast<float>(x[l] - c[l]);
  return load(v);
}

inline Floats difference(const float* x, const float* c, size_t count) {
  return load_first(x, count) - load_first(c, count);
}
#if defined(__AVX512F__)
inline Floats difference(const double* x, const double* c) {
  const __m256 low = _mm512_cvtpd_ps(_mm512_loadu_pd(x) - _mm512_loadu_pd(c));
  const __m256 high = _mm512_cvtpd_ps(_mm512_loadu_pd(x + 8) - _mm512_loadu_pd(c + 8));
  return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}
#else
inline Floats difference(const double* x, const double* c) { return difference(x, c, kWidth); }
#endif
inline Floats difference(const float* x, const float* c) { return load(x) - load(c); }

// sum_j (x_j - c_j)^2 in float32: chains of d / kWidth + kWidth + 4 roundings at most, each relative to what is summed,
// beside underflow; see `float_doubt`.
inline Floats float_squares(const float* x, const float* c, size_t d) {
  Floats one = broadcast(0), other = one;
  size_t j = 0;
  for (; j + 2 * kWidth <= d; j += 2 * kWidth) {
    const Floats a = load(x + j) - load(c + j), b = load(x + j + kWidth) - load(c + j + kWidth);
    one = multiply_add(a, a, one);
    other = multiply_add(b, b, other);
  }
  for (; j < d; j += kWidth) {
    const Floats a = d - j < kWidth ? difference(x + j, c + j, d - j) : difference(x + j, c + j);
    one = multiply_add(a, a, one);
  }
  return add(one, other);
}

// How far the sum of these lanes may be off, relative to it, and beside that.
inline double float_doubt(size_t d) { return static_cast<double>(d / kWidth + kWidth + 8) * 0x1p-23; }
inline double float_lost(size_t d) { return static_cast<double>(d) * 0x1p-140; }
constexpr double kMostFloatSquares = 0x1p126;  // above, they may have overflowed

// sum_j (x_j - c_j)^2; relative error at most (d + 8) 2^-53 beside underflow of float64 squares.
template <class T>
inline double squared_distance(const T* x, const T* c, size_t d) {
  Doubles sum = {};
  size_t j = 0;
  for (; j + kDoubleLanes <= d; j += kDoubleLanes) {
    const Doubles difference = load_doubles(x + j) - load_doubles(c + j);
    sum += difference * difference;
  }
  if (j < d) {
    const Doubles difference = load_doubles(x + j, d - j) - load_doubles(c + j, d - j);
    sum += difference * difference;
  }
  return sum_lanes(sum);
}

template <class T>
void own_distances(const T* rows, const int32_t* labels, const T* centers, size_t n, size_t d, double* out) {
  for (size_t i = 0; i < n; ++i) {
    out[i] = squared_distance(rows + i * d, centers + static_cast<size_t>(labels[i]) * d, d);
  }
}

template <class T>
void distances_to(const T* rows, const T* center, size_t n, size_t d, double* out) {
  for (size_t i = 0; i < n; ++i) out[i] = squared_distance(rows + i * d, center, d);
}

template <class T>
uint64_t largest(const T* values, size_t count);

template <>
inline uint64_t largest<float>(const float* values, size_t count) {
  int32_t result = 0;
  for (size_t i = 0; i < count; ++i) {
    int32_t bits;
    memcpy(&bits, values + i, sizeof bits);
    bits &= 0x7fffffff;
    result = bits > result ? bits : result;
  }
  return static_cast<uint64_t>(result);
}

template <>
inline uint64_t largest<double>(const double* values, size_t count) {
  int64_t result = 0;
  for (size_t i = 0; i < count; ++i) {
    int64_t bits;
    memcpy(&bits, values + i, sizeof bits);
    bits &= 0x7fffffffffffffff;
    result = bits > result ? bits : result;
  }
  return static_cast<uint64_t>(result);
}

template <class T>
inline T largest_value(const T* values, size_t count) {
  const uint64_t wide = largest(values, count);
  if constexpr (sizeof(T) == 4) {
    const uint32_t bits = static_cast<uint32_t>(wide);
    T value;
    memcpy(&value, &bits, sizeof value);
    return value;
  } else {
    T value;
    memcpy(&value, &wide, sizeof value);
    return value;
  }
}

// The power of two that brings `top` near 1; float32 squares are safe in float64 as they are.
inline double power_near_inverse(float) { return 1.0; }
inline double power_near_inverse(double top) {
  uint64_t bits;
  memcpy(&bits, &top, sizeof bits);
  uint64_t exponent = bits >> 52;
  if (exponent < 23) exponent = 23;  // 2^1000 at most: 2^1023 / 2^23
  const uint64_t inverse = (2046 - exponent) << 52;
  double power;
  memcpy(&power, &inverse, sizeof power);
  return power;
}

// x / |x|, |x| = sqrt(sum of squares) in float64. float64 rows are first divided by the power of two at their
// largest value, so that squares neither overflow nor vanish.
template <class T>
void normalize(const T* rows, size_t n, size_t d, T* out) {
  for (size_t i = 0; i < n; ++i) {
    const T* x = rows + i * d;
    T* y = out + i * d;
    const T top = largest_value(x, d);
    if (top == 0) {
      for (size_t j = 0; j < d; ++j) y[j] = 0;
      continue;
    }
    const double scale = power_near_inverse(top);
    Doubles sum = {};
    size_t j = 0;
    for (; j + kDoubleLanes <= d; j += kDoubleLanes) {
      const Doubles v = load_doubles(x + j) * scale;
      sum += v * v;
    }
    if (j < d) {
      const Doubles v = load_doubles(x + j, d - j) * scale;
      sum += v * v;
    }
    const double length = __builtin_sqrt(sum_lanes(sum));
    for (j = 0; j < d; ++j) y[j] = static_cast<T>(static_cast<double>(x[j]) * scale / length);
  }
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
