// Sums that lose nothing: cells of digits that share one range.
#include <string.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

#include "exact.hpp"
#include "huge_memory.hpp"

namespace macqueen::exact {

namespace {

constexpr size_t kPart = 512;  // cells of a plane that stay in the cache from plane to plane

int64_t* new_cells(size_t cells) {
  auto* plane = static_cast<int64_t*>(std::malloc(std::max<size_t>(1, cells) * sizeof(int64_t)));
  if (plane == nullptr) throw std::bad_alloc();
  return plane;
}

}  // namespace

std::vector<int64_t> Sums::digits() const {
  std::vector<int64_t> all(cells_ * planes_.size());
  for (size_t i = 0; i < planes_.size(); ++i) {
    for (size_t cell = 0; cell < cells_; ++cell) all[cell * planes_.size() + i] = planes_[i][cell];
  }
  return all;
}

Sums::Plane Sums::empty_plane() const {
  int64_t* plane = new_cells(cells_);
  map_pages(plane, cells_ * sizeof(int64_t));
  std::fill_n(plane, cells_, 0);  // written before they are read: otherwise pages are mapped twice
  return Plane(plane, std::free);
}

// Copies the planes that others share. One that nobody shares cannot become shared meanwhile: that takes this object.
void Sums::own() {
  for (Plane& plane : planes_) {
    if (plane.use_count() == 1) continue;
    int64_t* copy = new_cells(cells_);
    memcpy(copy, plane.get(), cells_ * sizeof(int64_t));
    plane = Plane(copy, std::free);
  }
  std::atomic_thread_fence(std::memory_order_acquire);  // those who shared a plane have read it
}

void Sums::share(const Sums& other) {
  first_ = other.first_;
  adds_ = other.adds_;
  planes_ = other.planes_;
}

void Sums::assign(int first, int width, const int64_t* digits) {
  first_ = first;
  adds_ = 0;
  planes_.clear();
  for (int i = 0; i < width; ++i) {
    planes_.push_back(Plane(new_cells(cells_), std::free));
    int64_t* plane = planes_.back().get();
    for (size_t cell = 0; cell < cells_; ++cell) plane[cell] = digits[cell * static_cast<size_t>(width) + i];
  }
}

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

// value / 2^bits, rounded down, for 0 < bits < 63: no instruction set but AVX-512 shifts vectors of signed 64 bits.
inline int64_t shifted(int64_t value, int bits) {
  constexpr uint64_t kOffset = uint64_t{1} << 63;
  return static_cast<int64_t>(((static_cast<uint64_t>(value) + kOffset) >> bits) - (kOffset >> bits));
}

}  // namespace

// Widens the range of digits to [first, end) at least.
void Sums::grow(int first, int end) {
  if (planes_.empty()) first_ = first;
  const int last = first_ + width();
  for (; first_ > first; --first_) planes_.insert(planes_.begin(), empty_plane());
  while (first_ + width() < end) planes_.push_back(empty_plane());
  if (last > first_ && first_ + width() > last) settle();  // the highest digit held more than those below it may
}

void Sums::reserve(int low, int high) {
  constexpr int kRoom = 22;  // bits beyond kDigitBits that the highest digit has, beside its sign
  const int first = digit_of(low), end = digit_of(high - kRoom + kDigitBits - 1) + 1;
  if (planes_.empty() || first < first_ || end > first_ + width()) grow(first, end);
  own();
}

void Sums::add_reserved(size_t cell, int128 value, int exponent) {
  constexpr int kMost = 5;  // an int128 on a grid between two digits
  int64_t digits[kMost] = {};
  const int first = digit_of(exponent);
  add_scaled(digits, first, value, exponent);
  for (int i = 0; i < kMost; ++i) {
    if (digits[i] != 0) planes_[static_cast<size_t>(first + i - first_)][cell] += digits[i];
  }
}

// A value has its bits in two digits, the higher one signed; what that cannot hold goes to a third, where there is one.
void Sums::add_cells(size_t begin, const int64_t* values, size_t count, int exponent) {
  constexpr int64_t kHalf = int64_t{1} << (kDigitBits - 1);
  const int index = digit_of(exponent), shift = exponent - index * kDigitBits, down = kDigitBits - shift;
  const auto place = static_cast<size_t>(index - first_);
  int64_t* low = planes_[place].get() + begin;
  int64_t* high = planes_[place + 1].get() + begin;
  for (size_t i = 0; i < count; ++i) {
    low[i] += static_cast<int64_t>(static_cast<uint64_t>(values[i]) << shift) & kDigitMask;
  }
  if (place + 2 == planes_.size()) {
    for (size_t i = 0; i < count; ++i) high[i] += shifted(values[i], down);
    return;
  }
  int64_t* beyond = planes_[place + 2].get() + begin;
  int64_t any = 0;
  for (size_t i = 0; i < count; ++i) {
    const int64_t rest = shifted(values[i], down), above = shifted(rest + kHalf, kDigitBits);
    high[i] += rest - above * (kDigitMask + 1);
    any |= above;
  }
  for (size_t i = 0; i < count && any != 0; ++i) beyond[i] += shifted(shifted(values[i], down) + kHalf, kDigitBits);
}

void Sums::note_adds(int64_t adds) {
  adds_ += adds;
  if (adds_ >= kAddsBeforeCarry) settle();
}

// Moves carries up: every digit but the highest ends in [0, 2^40).
void Sums::settle() {
  own();
  adds_ = 0;
  int64_t up[kPart];
  for (size_t begin = 0; begin < cells_ && !planes_.empty(); begin += kPart) {
    const size_t count = std::min(kPart, cells_ - begin);
    std::fill_n(up, count, 0);
    for (size_t place = 0; place + 1 < planes_.size(); ++place) {
      int64_t* digits = planes_[place].get() + begin;
      for (size_t i = 0; i < count; ++i) {
        const int64_t digit = digits[i] + up[i];
        up[i] = shifted(digit, kDigitBits);
        digits[i] = digit & kDigitMask;
      }
    }
    int64_t* highest = planes_.back().get() + begin;
    for (size_t i = 0; i < count; ++i) highest[i] += up[i];
  }
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
  if (other.planes_.empty()) return;
  if (planes_.empty()) {  // most often: a step's totals begin empty
    share(other);
    return;
  }
  Sums settled(cells_);
  settled.share(other);
  settled.canonicalize();
  if (settled.planes_.empty()) return;
  grow(settled.first_, settled.first_ + settled.width());
  own();
  for (int place = 0; place < settled.width(); ++place) {
    const int64_t* from = settled.plane(place);
    int64_t* to = planes_[static_cast<size_t>(settled.first_ + place - first_)].get();
    for (size_t cell = 0; cell < cells_; ++cell) to[cell] += from[cell];
  }
  note_adds(1);
}

// Keeps the digits [begin, end) of the range; those above are empty, those below 0.
void Sums::trim(int begin, int end) {
  if (end < width()) {
    int64_t* highest = planes_[static_cast<size_t>(end - 1)].get();
    const int64_t* sign = planes_.back().get();
    for (size_t cell = 0; cell < cells_; ++cell) highest[cell] -= sign[cell] < 0 ? kDigitMask + 1 : 0;
  }
  planes_.erase(planes_.begin() + end, planes_.end());
  planes_.erase(planes_.begin(), planes_.begin() + begin);
  first_ += begin;
}

void Sums::canonicalize() {
  if (planes_.empty()) return;
  settle();
  const auto is_sign = [](int64_t digit) { return digit == 0 || digit == -1; };
  const int64_t* top = planes_.back().get();
  for (; !std::all_of(top, top + cells_, is_sign); top = planes_.back().get()) {
    grow(first_, first_ + width() + 1);  // settles
  }
  int lowest = width(), highest = 0;
  for (int place = 0; place < width(); ++place) {
    const int64_t* digits = plane(place);
    // A negative number ends in digits of all ones under the sign; those above its last other digit say nothing.
    const int64_t ones = place + 1 < width() ? kDigitMask : -1;
    bool any = false, tells = false;
    for (size_t cell = 0; cell < cells_; ++cell) {
      any |= digits[cell] != 0;
      tells |= digits[cell] != (top[cell] < 0 ? ones : 0);
    }
    if (any) lowest = std::min(lowest, place);
    if (tells) highest = place + 1;
  }
  highest = std::min(highest + 1, width());  // one digit for the sign
  if (lowest < highest) {
    trim(lowest, highest);
  } else {
    planes_.clear();
    first_ = 0;
  }
}

void Sums::rounded(size_t cell, double* high, double* low) const {
  *high = *low = 0;
  int64_t digits[kMostDigits];
  for (int place = 0; place < width(); ++place) digits[place] = plane(place)[cell];
  if (width() != 0 && !round_short(digits, width(), first_, high, low)) round(digits, width(), first_, high, low);
}

void Sums::total(Sums* out) const {
  Sums settled(cells_);
  settled.share(*this);
  settled.canonicalize();
  if (settled.planes_.empty()) return;
  out->grow(settled.first_, settled.first_ + settled.width());
  out->own();
  for (size_t cell = 0; cell < cells_; ++cell) {
    for (int place = 0; place < settled.width(); ++place) {
      out->planes_[static_cast<size_t>(settled.first_ + place - out->first_)][0] += settled.plane(place)[cell];
    }
    out->note_adds(1);
  }
}

#endif

void add_value(void* sums, size_t cell, double value) { static_cast<Sums*>(sums)->add(cell, value); }
void add_squared_value(void* sums, size_t cell, double value) { static_cast<Sums*>(sums)->add_square(cell, value); }

}  // namespace macqueen::exact
