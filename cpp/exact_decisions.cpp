// What sums of products decide: which of two distances is smaller, and what the cost is.
#include <algorithm>
#include <cmath>

#include "exact.hpp"

namespace macqueen::exact {

namespace {

// A fixed row of digits wide enough for every product of two float64 and sums of 2^40 of them:
// from 2^-2240 (below 2^-2148, the square of the smallest) to 2^1600.
class Wide {
 public:
  void add(int128 value, int exponent) {
    add_scaled(digits_, kFirst, value, exponent);
    low_ = std::min(low_, digit_of(exponent) - kFirst);
    if (++adds_ == kAddsBeforeCarry) settle();
  }

  int sign() {
    settle();
    if (digits_[kCount - 1] < 0) return -1;
    for (int i = low_; i < kCount; ++i) {
      if (digits_[i] != 0) return 1;
    }
    return 0;
  }

  double rounded() {
    settle();
    double high, low;
    round(digits_, kCount, kFirst, &high, &low);
    return high;
  }

 private:
  void settle() {
    if (low_ < kCount) carry(digits_ + low_, kCount - low_);
    adds_ = 0;
  }

  static constexpr int kFirst = -56;
  static constexpr int kCount = 96;
  int64_t digits_[kCount] = {};
  int low_ = kCount;
  int64_t adds_ = 0;
};

// Values on one grid of 2^lowest fit 58 bits: then |x - a|^2 - |x - b|^2 fits an int128 for d up to 64.
// Short decimals land here.
template <class T>
bool compare_on_grid(const T* x, const T* a, const T* b, size_t d, int* sign) {
  constexpr int kBits = 58;
  if (d > 64) return false;
  int lowest = 1 << 20;
  int highest = -(1 << 20);
  for (size_t j = 0; j < d; ++j) {
    if (a[j] == b[j]) continue;
    for (const T value : {x[j], a[j], b[j]}) {
      if (value == 0) continue;
      const Scaled s = split(value);
      lowest = std::min(lowest, s.exponent + __builtin_ctzll(static_cast<uint64_t>(s.mantissa)));
      highest = std::max(highest, s.exponent + 64 - __builtin_clzll(static_cast<uint64_t>(std::abs(s.mantissa))));
    }
  }
  if (highest - lowest > kBits) return false;
  const auto on_grid = [lowest](T value) -> int64_t {
    if (value == 0) return 0;
    const Scaled s = split(value);
    const int shift = s.exponent - lowest;
    // Bits below the grid are zeros by the choice of `lowest`.
    return shift >= 0 ? static_cast<int64_t>(static_cast<uint64_t>(s.mantissa) << shift) : s.mantissa >> -shift;
  };
  int128 difference = 0;
  for (size_t j = 0; j < d; ++j) {
    if (a[j] == b[j]) continue;
    const int64_t p = on_grid(x[j]) - on_grid(a[j]);
    const int64_t q = on_grid(x[j]) - on_grid(b[j]);
    difference += static_cast<int128>(p) * p - static_cast<int128>(q) * q;
  }
  *sign = difference < 0 ? -1 : difference > 0 ? 1 : 0;
  return true;
}

}  // namespace

template <class T>
int compare_distances(const T* x, const T* a, const T* b, size_t d) {
  int sign = 0;
  if (compare_on_grid(x, a, b, d, &sign)) return sign;
  Wide sum;
  for (size_t j = 0; j < d; ++j) {
    if (a[j] == b[j]) continue;
    const Scaled sx = split(x[j]), sa = split(a[j]), sb = split(b[j]);
    // (x - a)^2 - (x - b)^2 = a^2 - b^2 - 2 x a + 2 x b
    sum.add(static_cast<int128>(sa.mantissa) * sa.mantissa, 2 * sa.exponent);
    sum.add(-static_cast<int128>(sb.mantissa) * sb.mantissa, 2 * sb.exponent);
    sum.add(-static_cast<int128>(sx.mantissa) * sa.mantissa, sx.exponent + sa.exponent + 1);
    sum.add(static_cast<int128>(sx.mantissa) * sb.mantissa, sx.exponent + sb.exponent + 1);
  }
  return sum.sign();
}
template int compare_distances<float>(const float*, const float*, const float*, size_t);
template int compare_distances<double>(const double*, const double*, const double*, size_t);

#if !defined(MACQUEEN_UNCHECKED)  // benchmarks/unchecked_sums.cpp has this instead
template <class T>
double cost(const Sums& squares, const Sums& sums, const int64_t* counts, const T* centers, size_t k, size_t d) {
  Wide sum;
  for (size_t cell = 0; cell < squares.cells(); ++cell) {
    for (int i = 0; i < squares.width(); ++i) {
      sum.add(squares.plane(i)[cell], (squares.first() + i) * kDigitBits);
    }
  }
  for (size_t c = 0; c < k; ++c) {
    if (counts[c] == 0) continue;
    for (size_t j = 0; j < d; ++j) {
      const Scaled center = split(centers[c * d + j]);
      for (int i = 0; i < sums.width(); ++i) {
        sum.add(-static_cast<int128>(sums.plane(i)[c * d + j]) * center.mantissa,
                (sums.first() + i) * kDigitBits + center.exponent + 1);
      }
      // n c^2 in two parts, since n times a square of 106 bits may pass 127 bits.
      const int128 scaled = static_cast<int128>(counts[c]) * center.mantissa;
      const int64_t low = static_cast<int64_t>(scaled & ((int128{1} << 60) - 1));
      sum.add(static_cast<int128>(low) * center.mantissa, 2 * center.exponent);
      sum.add((scaled >> 60) * center.mantissa, 2 * center.exponent + 60);
    }
  }
  return std::max(sum.rounded(), 0.0);
}
template double cost<float>(const Sums&, const Sums&, const int64_t*, const float*, size_t, size_t);
template double cost<double>(const Sums&, const Sums&, const int64_t*, const double*, size_t, size_t);
#endif

}  // namespace macqueen::exact
