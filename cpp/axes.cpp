#include "axes.hpp"

#include <cmath>

#include "update.hpp"

namespace macqueen {

namespace {

constexpr int kRounds = 4;
constexpr uint32_t kAxes = 7;  // purpose of the random numbers to begin with

// Of vectors (d,): eight sums side by side, which need not wait for each other.
double dot(const double* a, const double* b, size_t d) {
  constexpr size_t kSums = 8;
  double sums[kSums] = {};
  size_t j = 0;
  for (; j + kSums <= d; j += kSums) {
    for (size_t s = 0; s < kSums; ++s) sums[s] += a[j + s] * b[j + s];
  }
  for (; j < d; ++j) sums[0] += a[j] * b[j];
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

// Makes the rows of v (count, d) orthonormal, in order; each is cleared of the earlier ones twice (Kahan and Parlett:
// twice is enough). A row that vanishes becomes the next unit vector that does not.
void orthonormalize(std::vector<double>& v, size_t d, size_t count) {
  size_t unit = 0;
  for (size_t c = 0; c < count; ++c) {
    double* own = &v[c * d];
    while (true) {
      const double before = dot(own, own, d);
      for (int turn = 0; turn < 2; ++turn) {
        for (size_t e = 0; e < c; ++e) {
          const double* earlier = &v[e * d];
          const double part = dot(own, earlier, d);
          for (size_t j = 0; j < d; ++j) own[j] -= part * earlier[j];
        }
      }
      const double after = dot(own, own, d);
      if (after > 0x1p-60 * before && before > 0x1p-500) {
        const double length = std::sqrt(after);
        for (size_t j = 0; j < d; ++j) own[j] /= length;
        break;
      }
      for (size_t j = 0; j < d; ++j) own[j] = j == unit ? 1.0 : 0.0;
      ++unit;
    }
  }
}

}  // namespace

std::vector<double> principal_axes(const Kernels& kernels, const double* rows, size_t m, size_t d, size_t count) {
  const PinFloatingPoint pin;
  constexpr size_t kLanes = 8;  // products come in whole vectors; what is beyond `count` stays 0
  const size_t padded = (count + kLanes - 1) / kLanes * kLanes;
  std::vector<double> axes(count * d), columns(d * padded, 0.0), image(m * padded);
  for (size_t j = 0; j < d; ++j) {
    for (size_t c = 0; c < count; ++c) {
      axes[c * d + j] = static_cast<double>(static_cast<int64_t>(random_bits(0, kAxes, j * count + c))) * 0x1p-63;
    }
  }
  orthonormalize(axes, d, count);
  for (int round = 0; round < kRounds; ++round) {
    for (size_t j = 0; j < d; ++j) {
      for (size_t c = 0; c < count; ++c) columns[j * padded + c] = axes[c * d + j];
    }
    kernels.multiply(rows, columns.data(), m, d, padded, image.data());
    kernels.multiply_transposed(rows, image.data(), m, d, padded, columns.data());
    for (size_t c = 0; c < count; ++c) {
      for (size_t j = 0; j < d; ++j) axes[c * d + j] = columns[j * padded + c];
    }
    orthonormalize(axes, d, count);
  }
  return axes;
}

}  // namespace macqueen
