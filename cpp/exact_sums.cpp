// Sums that lose nothing: cells of digits that share one range.
#include <string.h>

#include <algorithm>

#include "exact.hpp"

namespace macqueen::exact {

#if !defined(MACQUEEN_UNCHECKED)  // benchmarks/unchecked_sums.cpp has these instead
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

#endif

void add_value(void* sums, size_t cell, double value) { static_cast<Sums*>(sums)->add(cell, value); }
void add_squared_value(void* sums, size_t cell, double value) { static_cast<Sums*>(sums)->add_square(cell, value); }

}  // namespace macqueen::exact
