#include "exact.hpp"

#include <string.h>

#include <algorithm>
#include <cmath>

namespace macqueen::exact {

namespace {

constexpr int kMostDigits = 128;  // float64 values and their products span fewer
constexpr int64_t kDigitMask = (int64_t{1} << kDigitBits) - 1;

int bit_length(uint128 value) {
  const uint64_t high = static_cast<uint64_t>(value >> 64);
  const uint64_t low = static_cast<uint64_t>(value);
  if (high != 0) return 128 - __builtin_clzll(high);
  return low == 0 ? 0 : 64 - __builtin_clzll(low);
}

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

// Values on one grid of 2^lowest fit 60 bits: then |x - a|^2 - |x - b|^2 fits an int128 for d up to 64.
// Images, counts and short decimals land here: a true tie costs nanoseconds.
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

Scaled split(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  const int biased = static_cast<int>((bits >> 52) & 0x7ff);
  int64_t mantissa = static_cast<int64_t>(bits & ((uint64_t{1} << 52) - 1));
  if (biased == 0 && mantissa == 0) return {0, 0};
  if (biased != 0) mantissa |= int64_t{1} << 52;
  const int exponent = (biased == 0 ? 1 : biased) - 1075;
  return {(bits >> 63) != 0 ? -mantissa : mantissa, exponent};
}

void add_scaled(int64_t* digits, int first, int128 value, int exponent) {
  const int index = digit_of(exponent);
  const int shift = exponent - index * kDigitBits;  // 0..39
  const int64_t sign = value < 0 ? -1 : 1;
  uint128 magnitude = value < 0 ? -static_cast<uint128>(value) : static_cast<uint128>(value);
  // Chunks of 40 bits, each spread over two digits.
  for (int64_t* target = digits + (index - first); magnitude != 0; ++target, magnitude >>= kDigitBits) {
    const int64_t chunk = static_cast<int64_t>(magnitude) & kDigitMask;
    target[0] += sign * ((chunk & (kDigitMask >> shift)) << shift);
    target[1] += sign * (chunk >> (kDigitBits - shift));
  }
}

void carry(int64_t* digits, int count) {
  int64_t up = 0;
  for (int i = 0; i + 1 < count; ++i) {
    const int64_t digit = digits[i] + up;
    up = digit >> kDigitBits;
    digits[i] = digit & kDigitMask;
  }
  digits[count - 1] += up;
}

void round(const int64_t* digits, int count, int first, double* high, double* low) {
  *high = 0;
  *low = 0;
  int64_t settled[kMostDigits];
  int top = -1;
  for (int i = 0; i < count; ++i) settled[i] = digits[i];
  carry(settled, count);
  const bool negative = settled[count - 1] < 0;
  if (negative) {
    for (int i = 0; i < count; ++i) settled[i] = -settled[i];
    carry(settled, count);
  }
  for (int i = 0; i < count; ++i) {
    if (settled[i] != 0) top = i;
  }
  if (top < 0) return;

  // The leading 88 bits or more, and whether anything follows.
  uint128 leading = static_cast<uint128>(settled[top]);
  int at = top;
  while (at > 0 && bit_length(leading) <= 128 - kDigitBits) leading = (leading << kDigitBits) | settled[--at];
  bool more = false;
  for (int i = 0; i < at; ++i) more = more || settled[i] != 0;
  const int exponent = (first + at) * kDigitBits;

  // Round to 53 bits, fewer for denormals.
  const int last_place = std::max(exponent + bit_length(leading) - 53, -1074);
  const int shift = last_place - exponent;
  if (shift > 127) return;  // below half of the smallest float64
  uint128 kept = leading;
  int128 rest = 0;
  if (shift > 0) {
    kept = leading >> shift;
    rest = static_cast<int128>(leading & ((static_cast<uint128>(1) << shift) - 1));
    const int128 half = static_cast<int128>(static_cast<uint128>(1) << (shift - 1));
    if (rest > half || (rest == half && (more || (kept & 1) != 0))) {
      kept += 1;
      rest -= 2 * half;
    }
  }
  const int kept_exponent = shift > 0 ? last_place : exponent;
  *high = std::ldexp(static_cast<double>(kept), kept_exponent);
  // `leading` may hold as few as 89 bits: one more digit makes `low` good to 53 bits of its own.
  const double tail = at > 0 ? std::ldexp(static_cast<double>(settled[at - 1]), exponent - kDigitBits) : 0.0;
  *low = std::ldexp(static_cast<double>(rest), exponent) + tail;
  if (negative) {
    *high = -*high;
    *low = -*low;
  }
}

namespace {

// `round` for what is usual: a number that an int128 holds, far from the ends of float64's range.
bool round_short(const int64_t* digits, int count, int first, double* high, double* low) {
  while (count > 1 && digits[count - 1] == 0) --count;
  for (; count > 1 && digits[0] == 0; ++digits, ++first) --count;
  if (count < 1 || count > 3 || first < -24 || first > 20) return false;
  const int64_t bottom = digits[0], middle = count > 1 ? digits[1] : 0, top = count > 2 ? digits[2] : 0;
  const auto within = [](int64_t value, int bits) {
    return value < int64_t{1} << bits && value > -(int64_t{1} << bits);
  };
  double rest;
  if (top == 0 && within(middle, 21) && within(bottom, 61)) {  // without the library's conversions
    const int64_t value = middle * (int64_t{1} << kDigitBits) + bottom;
    *high = static_cast<double>(value);
    rest = static_cast<double>(value - static_cast<int64_t>(*high));
  } else if (within(top, 44)) {
    const int128 value = (((static_cast<int128>(top) << kDigitBits) + middle) << kDigitBits) + bottom;
    *high = static_cast<double>(value);
    rest = static_cast<double>(value - static_cast<int128>(*high));
  } else {
    return false;
  }
  const uint64_t bits = static_cast<uint64_t>(first * kDigitBits + 1023) << 52;
  double scale;
  memcpy(&scale, &bits, sizeof scale);
  *high *= scale;
  *low = rest * scale;
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

#if !defined(MACQUEEN_UNCHECKED)  // benchmarks/unchecked_sums.cpp has these instead
void Sums::reserve(int low, int high) {
  // One digit above the highest takes carries and the sign: 2^62 such values fit.
  const int bottom = digit_of(low);
  const int top = digit_of(high) + 1;
  if (width_ != 0 && bottom >= first_ && top < first_ + width_) return;
  const int new_first = width_ == 0 ? bottom : std::min(first_, bottom);
  const int new_width = std::max(top + 1, first_ + width_) - new_first;
  std::vector<int64_t> wider(cells_ * new_width, 0);
  if (width_ != 0) {
    canonical_carry();
    for (size_t cell = 0; cell < cells_; ++cell) {
      const int64_t* from = digits_.data() + cell * width_;
      int64_t* to = wider.data() + cell * new_width + (first_ - new_first);
      memcpy(to, from, width_ * sizeof(int64_t));
    }
  }
  first_ = new_first;
  width_ = new_width;
  digits_ = std::move(wider);
}

void Sums::add_reserved(size_t cell, int128 value, int exponent) {
  add_scaled(digits_.data() + cell * width_, first_, value, exponent);
}

void Sums::add_cells(size_t begin, const int64_t* values, size_t count, int exponent) {
  const int index = digit_of(exponent), shift = exponent - index * kDigitBits;
  int64_t* digits = digits_.data() + begin * width_ + (index - first_);
  for (size_t i = 0; i < count; ++i, digits += width_) {
    if (values[i] == 0) continue;
    const int128 value = static_cast<int128>(values[i]) * (int128{1} << shift);
    digits[0] += static_cast<int64_t>(value) & kDigitMask;
    digits[1] += static_cast<int64_t>(value >> kDigitBits) & kDigitMask;
    digits[2] += static_cast<int64_t>(value >> (2 * kDigitBits));
  }
}

void Sums::note_adds(int64_t adds) {
  adds_ += adds;
  if (adds_ >= kAddsBeforeCarry) canonical_carry();
}

void Sums::canonical_carry() {
  if (width_ == 0) return;
  for (size_t cell = 0; cell < cells_; ++cell) carry(digits_.data() + cell * width_, width_);
  adds_ = 0;
}

void Sums::add_locked(size_t cell, int128 value, int exponent) {
  if (value == 0) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  reserve(exponent, exponent + 107);
  add_reserved(cell, value, exponent);
  note_adds(1);
}

void Sums::add(size_t cell, double value) {
  const Scaled s = split(value);
  add_locked(cell, s.mantissa, s.exponent);
}

void Sums::add_square(size_t cell, double value) {
  const Scaled s = split(value);
  add_locked(cell, static_cast<int128>(s.mantissa) * s.mantissa, 2 * s.exponent);
}

void Sums::merge(const Sums& other) {
  if (other.width_ == 0) return;
  if (width_ == 0) {  // most often: a step's totals begin empty, and settling costs ten times a copy
    first_ = other.first_;
    width_ = other.width_;
    adds_ = other.adds_;
    digits_ = other.digits_;
    return;
  }
  Sums settled(other.cells_);
  settled.assign(other.first_, other.width_, other.digits_.data());
  settled.canonicalize();
  if (settled.width_ == 0) return;
  reserve(settled.first_ * kDigitBits, (settled.first_ + settled.width_) * kDigitBits);
  for (size_t cell = 0; cell < cells_; ++cell) {
    const int64_t* from = settled.digits_.data() + cell * settled.width_;
    int64_t* to = digits_.data() + cell * width_ + (settled.first_ - first_);
    for (int i = 0; i < settled.width_; ++i) to[i] += from[i];
  }
  note_adds(1);
}

void Sums::assign(int first, int width, const int64_t* digits) {
  first_ = first;
  width_ = width;
  adds_ = 0;
  digits_.assign(digits, digits + cells_ * width);
}

void Sums::canonicalize() {
  canonical_carry();
  for (size_t cell = 0; cell < cells_ && width_ != 0; ++cell) {
    const int64_t top = digits_[(cell + 1) * width_ - 1];
    if (top == 0 || top == -1) continue;
    reserve(first_ * kDigitBits, (first_ + width_) * kDigitBits);
    canonical_carry();
    break;
  }
  int lowest = width_, highest = 0;
  for (size_t cell = 0; cell < cells_; ++cell) {
    const int64_t* own = digits_.data() + cell * width_;
    const bool negative = width_ != 0 && own[width_ - 1] < 0;
    for (int i = 0; i < width_; ++i) {
      // A negative number ends in digits of all ones under the sign; those above its last other digit say nothing.
      const int64_t empty = !negative ? 0 : i + 1 < width_ ? kDigitMask : -1;
      if (own[i] != 0) lowest = std::min(lowest, i);
      if (own[i] != empty) highest = std::max(highest, i + 1);
    }
  }
  highest = std::min(highest + 1, width_);  // one digit for the sign
  if (lowest >= highest) {
    first_ = width_ = 0;
    digits_.clear();
    return;
  }
  std::vector<int64_t> trimmed(cells_ * (highest - lowest));
  for (size_t cell = 0; cell < cells_; ++cell) {
    int64_t* own = digits_.data() + cell * width_;
    int64_t* to = trimmed.data() + cell * (highest - lowest);
    memcpy(to, own + lowest, (highest - lowest) * sizeof(int64_t));
    if (highest < width_ && own[width_ - 1] < 0) to[highest - lowest - 1] -= int64_t{1} << kDigitBits;
  }
  first_ += lowest;
  width_ = highest - lowest;
  digits_ = std::move(trimmed);
}

void Sums::rounded(size_t cell, double* high, double* low) const {
  *high = *low = 0;
  const int64_t* digits = digits_.data() + cell * width_;
  if (width_ != 0 && !round_short(digits, width_, first_, high, low)) round(digits, width_, first_, high, low);
}

void Sums::total(Sums* out) const {
  if (width_ == 0) return;
  Sums settled(cells_);
  settled.assign(first_, width_, digits_.data());
  settled.canonical_carry();
  out->reserve(first_ * kDigitBits, (first_ + width_) * kDigitBits);
  for (size_t cell = 0; cell < cells_; ++cell) {
    const int64_t* from = settled.digits_.data() + cell * width_;
    int64_t* to = out->digits_.data() + (first_ - out->first_);
    for (int i = 0; i < width_; ++i) to[i] += from[i];
    out->note_adds(1);
  }
}

template <class T>
double cost(const Sums& squares, const Sums& sums, const int64_t* counts, const T* centers, size_t k, size_t d) {
  Wide sum;
  for (size_t cell = 0; cell < squares.cells(); ++cell) {
    for (int i = 0; i < squares.width(); ++i) {
      sum.add(squares.digits()[cell * squares.width() + i], (squares.first() + i) * kDigitBits);
    }
  }
  for (size_t c = 0; c < k; ++c) {
    if (counts[c] == 0) continue;
    for (size_t j = 0; j < d; ++j) {
      const Scaled center = split(centers[c * d + j]);
      const int64_t* digits = sums.digits().data() + (c * d + j) * sums.width();
      for (int i = 0; i < sums.width(); ++i) {
        sum.add(-static_cast<int128>(digits[i]) * center.mantissa,
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

void add_value(void* sums, size_t cell, double value) { static_cast<Sums*>(sums)->add(cell, value); }
void add_squared_value(void* sums, size_t cell, double value) { static_cast<Sums*>(sums)->add_square(cell, value); }

}  // namespace macqueen::exact
