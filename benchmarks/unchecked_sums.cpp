// exact::Sums as plain float64, for the build that benchmarks/exactness.py compares with: each cell is one digit that
// holds the bits of a float64. The sums depend on their order, as sums do elsewhere.
#include <algorithm>

#include "exact.hpp"

namespace macqueen::exact {

namespace {

typedef double Plain __attribute__((may_alias));

}  // namespace

void Sums::reserve(int, int) {
  if (planes_.empty()) planes_.push_back(empty_plane());
  own();
}

// `value` is what a buffer's cell holds: the bits of a float64.
void Sums::add_reserved(size_t cell, int128 value, int) {
  const auto bits = static_cast<int64_t>(value);
  reinterpret_cast<Plain*>(planes_[0].get())[cell] += *reinterpret_cast<const Plain*>(&bits);
}

void Sums::add_cells(size_t begin, const int64_t* values, size_t count, int exponent) {
  for (size_t i = 0; i < count; ++i) add_reserved(begin + i, values[i], exponent);
}

void Sums::note_adds(int64_t) {}

void Sums::add(size_t cell, double value) {
  const std::lock_guard<std::mutex> lock(mutex_);
  reserve(0, 0);
  reinterpret_cast<Plain*>(planes_[0].get())[cell] += value;
}

void Sums::add_square(size_t cell, double value) { add(cell, value * value); }

void Sums::merge(const Sums& other) {
  if (other.planes_.empty()) return;
  if (planes_.empty()) return share(other);
  own();
  for (size_t cell = 0; cell < cells_; ++cell) {
    reinterpret_cast<Plain*>(planes_[0].get())[cell] += reinterpret_cast<const Plain*>(other.plane(0))[cell];
  }
}

void Sums::canonicalize() {}

void Sums::rounded(size_t cell, double* high, double* low) const {
  *high = planes_.empty() ? 0 : reinterpret_cast<const Plain*>(plane(0))[cell];
  *low = 0;
}

void Sums::total(Sums* out) const {
  for (size_t cell = 0; cell < cells_ && !planes_.empty(); ++cell) {
    out->add(0, reinterpret_cast<const Plain*>(plane(0))[cell]);
  }
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
