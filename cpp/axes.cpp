#include "axes.hpp"

#include <cmath>

#include "update.hpp"

namespace macqueen {

namespace {

constexpr int kRounds = 4;
constexpr uint32_t kAxes = 7;  // purpose of the random numbers to begin with

// Makes the columns of v (d, count) orthonormal, in order; each is cleared of the earlier ones twice (Kahan and
// Parlett: twice is enough). A column that vanishes becomes the next unit vector that does not.
void orthonormalize(std::vector<double>& v, size_t d, size_t count) {
  size_t unit = 0;
  for (size_t c = 0; c < count; ++c) {
    while (true) {
      double before = 0, after = 0;
      for (size_t j = 0; j < d; ++j) before += v[j * count + c] * v[j * count + c];
      for (int turn = 0; turn < 2; ++turn) {
        for (size_t e = 0; e < c; ++e) {
          double dot = 0;
          for (size_t j = 0; j < d; ++j) dot += v[j * count + c] * v[j * count + e];
          for (size_t j = 0; j < d; ++j) v[j * count + c] -= dot * v[j * count + e];
        }
      }
      for (size_t j = 0; j < d; ++j) after += v[j * count + c] * v[j * count + c];
      if (after > 0x1p-60 * before && before > 0x1p-500) {
        for (size_t j = 0; j < d; ++j) v[j * count + c] /= std::sqrt(after);
        break;
      }
      for (size_t j = 0; j < d; ++j) v[j * count + c] = j == unit ? 1.0 : 0.0;
      ++unit;
    }
  }
}

}  // namespace

std::vector<double> principal_axes(const Kernels& kernels, const double* rows, size_t m, size_t d, size_t count) {
  const PinFloatingPoint pin;
  std::vector<double> guess(d * count), image(m * count), axes(count * d);
  for (size_t i = 0; i < guess.size(); ++i) {
    guess[i] = static_cast<double>(static_cast<int64_t>(random_bits(0, kAxes, i))) * 0x1p-63;
  }
  orthonormalize(guess, d, count);
  for (int round = 0; round < kRounds; ++round) {
    kernels.multiply(rows, guess.data(), m, d, count, image.data());
    kernels.multiply_transposed(rows, image.data(), m, d, count, guess.data());
    orthonormalize(guess, d, count);
  }
  for (size_t c = 0; c < count; ++c) {
    for (size_t j = 0; j < d; ++j) axes[c * d + j] = guess[j * count + c];
  }
  return axes;
}

}  // namespace macqueen
