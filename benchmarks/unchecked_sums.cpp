// exact::Sums as plain float64, for the build that benchmarks/exactness.py compares with: each cell is one digit that
// holds the bits of a float64. The sums depend on their order, as sums do elsewhere.
#include <algorithm>

#include "exact.hpp"

namespace macqueen::exact {

namespace {

typedef double Plain __attribute__((may_alias));
Plain* plain(std::vector<int64_t>& digits) { return reinterpret_cast<Plain*>(digits.data()); }
const Plain* plain(const std::vector<int64_t>& digits) { return reinterpret_cast<const Plain*>(digits.data()); }

}  // namespace

void Sums::reserve(int, int) {
  width_ = 1;
  digits_.resize(cells_);
}

// `value` is what a buffer's cell holds: the bits of a float64.
void Sums::add_reserved(size_t cell, int128 value, int) {
  const auto bits = static_cast<int64_t>(value);
  plain(digits_)[cell] += *reinterpret_cast<const Plain*>(&bits);
}

void Sums::add_cells(size_t begin, const int64_t* values, size_t count, int exponent) {
  for (size_t i = 0; i < count; ++i) add_reserved(begin + i, values[i], exponent);
}

void Sums::note_adds(int64_t) {}

void Sums::add(size_t cell, double value) {
  const std::lock_guard<std::mutex> lock(mutex_);
  reserve(0, 0);
  plain(digits_)[cell] += value;
}

void Sums::add_square(size_t cell, double value) { add(cell, value * value); }

void Sums::merge(const Sums& other) {
  if (other.width_ == 0) return;
  reserve(0, 0);
  for (size_t cell = 0; cell < cells_; ++cell) plain(digits_)[cell] += plain(other.digits_)[cell];
}

void Sums::assign(int first, int width, const int64_t* digits) {
  first_ = first;
  width_ = width;
  digits_.assign(digits, digits + cells_ * static_cast<size_t>(width));
}

void Sums::canonicalize() {}

void Sums::rounded(size_t cell, double* high, double* low) const {
  *high = width_ == 0 ? 0 : plain(digits_)[cell];
  *low = 0;
}

void Sums::total(Sums* out) const {
  for (size_t cell = 0; cell < digits_.size(); ++cell) out->add(0, plain(digits_)[cell]);
}

template <class T>
double cost(const Sums& squares, const Sums& sums, const int64_t* counts, const T* centers, size_t k, size_t d) {
  double result = 0, sum, rest;
  for (size_t j = 0; j < d; ++j) {
    squares.rounded(j, &sum, &rest);
    result += sum;
  }
  for (size_t cell = 0; cell < k * d; ++cell) {
    sums.rounded(cell, &sum, &rest);
    const double c = static_cast<double>(centers[cell]);
    result -= (2 * sum - static_cast<double>(counts[cell / d]) * c) * c;
  }
  return std::max(result, 0.0);
}
template double cost<float>(const Sums&, const Sums&, const int64_t*, const float*, size_t, size_t);
template double cost<double>(const Sums&, const Sums&, const int64_t*, const double*, size_t, size_t);

}  // namespace macqueen::exact
