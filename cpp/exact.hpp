// Exact arithmetic on integers: sums that lose nothing, and the sign of a difference of two distances.
// Compiled once, without SIMD; reached only where floating point cannot decide, and to merge buffers.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <memory>
#include <mutex>
#include <vector>

namespace macqueen::exact {

using int128 = __int128;
using uint128 = unsigned __int128;

// A number is a row of digits, lowest first: sum of digit[i] * 2^(kDigitBits * (first + i)). Digits are signed
// and hold 63 bits, so that 2^21 numbers can be added before carries must be moved up.
constexpr int kDigitBits = 40;
constexpr int64_t kDigitMask = (int64_t{1} << kDigitBits) - 1;
constexpr int64_t kAddsBeforeCarry = int64_t{1} << 21;
constexpr int kMostDigits = 128;  // float64 values and their products span fewer

// float64 = mantissa * 2^exponent, exactly; 0 gives (0, 0).
struct Scaled {
  int64_t mantissa;
  int exponent;
};
Scaled split(double value);

// Index of the digit that holds 2^exponent.
inline int digit_of(int exponent) {
  return exponent >= 0 ? exponent / kDigitBits : -((-exponent + kDigitBits - 1) / kDigitBits);
}

// Adds value * 2^exponent; the digits from digit_of(exponent) to that of its highest bit must be there.
void add_scaled(int64_t* digits, int first, int128 value, int exponent);

// Moves carries up: every digit but the last ends in [0, 2^40), the last one carries the sign.
void carry(int64_t* digits, int count);

// The number as high + low: high is the nearest float64 (ties to even), low the rest to about 2^-106 of it.
void round(const int64_t* digits, int count, int first, double* high, double* low);

// -1, 0 or 1: is |x - a|^2 below, equal to or above |x - b|^2, as real numbers. x, a, b are (d,).
template <class T>
int compare_distances(const T* x, const T* a, const T* b, size_t d);

// `cells` exact sums side by side. All cells share one range of digits, which grows when a value needs it. Digits lie
// in planes, one for each place, and objects share planes until one of them is about to change: sums that outlive a
// step are handed on with it for nothing.
class Sums {
 public:
  explicit Sums(size_t cells) : cells_(cells) {}

  size_t cells() const { return cells_; }
  int first() const { return first_; }
  int width() const { return static_cast<int>(planes_.size()); }
  std::mutex& mutex() { return mutex_; }  // for those who use the parallel functions below beside `add`
  const int64_t* plane(int place) const { return planes_[static_cast<size_t>(place)].get(); }  // (cells,)
  std::vector<int64_t> digits() const;                                                         // (cells, width)

  // Makes room for 2^40 values a cell whose lowest bit is 2^low and whose magnitude is below 2^high, in planes that
  // nobody shares.
  void reserve(int low, int high);
  // Adds value * 2^exponent to a cell. Room must have been reserved; distinct cells may be added to in parallel.
  void add_reserved(size_t cell, int128 value, int exponent);
  // The same for values[i] * 2^exponent, |values[i]| <= 2^62, and the cells from `begin` on.
  void add_cells(size_t begin, const int64_t* values, size_t count, int exponent);
  // Counts additions per cell; carries when the digits could overflow. Not to be called in parallel.
  void note_adds(int64_t adds);
  // Adds one float64 to a cell; reserves by itself and may be called from several threads.
  void add(size_t cell, double value);
  // Adds the square of a float64, exactly; otherwise as `add`.
  void add_square(size_t cell, double value);
  // Adds all cells of another object of the same size; to nothing, by sharing its planes.
  void merge(const Sums& other);
  // Replaces the content by that of another object of the same size, whose planes are shared.
  void share(const Sums& other);
  // Replaces the content; digits (cells, width).
  void assign(int first, int width, const int64_t* digits);
  // Brings the digits into the one form that equal sums share: carries moved, empty digits trimmed.
  void canonicalize();
  // One cell as in `round` above.
  void rounded(size_t cell, double* high, double* low) const;
  // Sum of all cells, as one cell.
  void total(Sums* out) const;

 private:
  using Plane = std::shared_ptr<int64_t[]>;  // (cells,)

  Plane empty_plane() const;
  void own();
  void grow(int first, int end);
  void settle();
  void trim(int begin, int end);
  void add_locked(size_t cell, int128 value, int exponent);

  size_t cells_;
  int first_ = 0;
  int64_t adds_ = 0;
  std::vector<Plane> planes_;  // of the digits first .. first + width - 1
  std::mutex mutex_;
};

// squares - sum over (k, d) of (2 S c - n c^2), rounded once and clamped at 0. S are the cells of `sums`.
template <class T>
double cost(const Sums& squares, const Sums& sums, const int64_t* counts, const T* centers, size_t k, size_t d);

// For instruction-set sources, which see no C++ classes: `sums` is a Sums*.
void add_value(void* sums, size_t cell, double value);
void add_squared_value(void* sums, size_t cell, double value);

}  // namespace macqueen::exact
