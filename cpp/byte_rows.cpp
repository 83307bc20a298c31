#include "byte_rows.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "rounding.hpp"

namespace macqueen {

namespace {

constexpr size_t kSampleRows = 64, kTriedRows = 32, kMedianRows = 15, kMeanRows = 512;
constexpr size_t kFarRows = 16;  // one of so many rows of the sample may lie beyond the grid, at either end
constexpr double kFinest = 0x1p-90, kCoarsest = 0x1p60;
constexpr double kResolved = 0x1p-24;  // of the largest value: steps that are finer tell nothing
constexpr double kRounder = 0x1.8p52;  // y + kRounder - kRounder is the nearest integer
// From the middle, in steps: a center beyond it can be nearest to any row. The squares of kMostByteDims such ways stay
// below 2^126, as cpp/bytes.hpp must be able to take their root.
constexpr double kFarthest = 0x1p55;
constexpr double kUp = 1 + 0x1p-30;  // beside sums of float64
constexpr double kMostCenter = 127;
constexpr size_t kVector = 16;  // of the widest set

double nearest_integer(double value) { return (value + kRounder) - kRounder; }

}  // namespace

// Rows spread over all, and what their values are counted from in one way of two.
template <class T>
struct ByteRows<T>::Sample {
  size_t count, d;
  std::vector<T> rows;          // (count, d)
  std::vector<double> medians;  // (d,)

  Sample(const T* all, size_t n, size_t d) : d(d), medians(d) {
    const size_t every = (n + kSampleRows - 1) / kSampleRows;
    count = (n + every - 1) / every;
    rows.resize(count * d);
    for (size_t i = 0; i < count; ++i) std::copy_n(all + i * every * d, d, &rows[i * d]);
    T column[kMedianRows];
    const size_t used = std::min(kMedianRows, count);
    for (size_t j = 0; j < d; ++j) {
      for (size_t i = 0; i < used; ++i) column[i] = rows[i * count / used * d + j];
      std::nth_element(column, column + used / 2, column + used);
      medians[j] = std::isfinite(column[used / 2]) ? static_cast<double>(column[used / 2]) : 0;
    }
  }

  // Whether all values are multiples of a power of two.
  bool multiples_of(double power) const {
    for (const T& value : rows) {
      const double units = static_cast<double>(value) / power;
      if (nearest_integer(units) != units) return false;
    }
    return true;
  }
};

template <class T>
bool ByteRows<T>::fits(size_t k, size_t d) {
  // A row takes d + k + 20 bytes, which may not be more than the path `bounds` would take: d + 3 k / 16 + 48.
  return k <= kMostByteCenters && kNarrowDims < d && d <= kMostByteDims;
}

template <class T>
ByteRows<T>::ByteRows(const Kernels& kernels, const T* rows, size_t n, size_t d)
    : memory_(n * (d + 2 * sizeof(float))),
      norms_(memory_.take<float>(n)),
      errors_(memory_.take<float>(n)),
      bytes_(memory_.take<uint8_t>(n * d)) {
  grid_.d = d;
  grid_.relative = static_cast<float>(d + 24) * 0x1.02p-24f;
  const size_t padded = (d + kVector - 1) / kVector * kVector;
  less_.resize(padded);
  narrow_less_.resize(padded);
  middle_.resize(padded);
  grid_.less = less_.data();
  grid_.narrow_less = narrow_less_.data();
  grid_.middle = middle_.data();
  settle(kernels, Sample(rows, n, d));
  find_middle(kernels, rows, n);
  const double near = 128 + 0.3 * std::sqrt(static_cast<double>(d));  // the usual error of a row, in length
  top_ = std::ilogb((near + most_offset_) / static_cast<double>(grid_.inverse)) + 1;
}

// Chooses the grid that leaves least of the rows of the sample: with one origin for all columns or one for each, over
// all values or over those that are not far away. Where all values are few multiples of a power of two, it leaves none.
template <class T>
void ByteRows<T>::settle(const Kernels& kernels, const Sample& sample) {
  const size_t d = sample.d, tried = std::min(kTriedRows, sample.count);
  std::vector<uint8_t> bytes(tried * d);
  std::vector<float> norms(tried), errors(tried);
  double least = std::numeric_limits<double>::infinity();
  struct {
    std::vector<double> base;
    double low, high;
  } best;
  const auto attempt = [&](const std::vector<double>& base, double low, double high) {
    take_grid(sample, base, low, high);
    row_kernels<T>(kernels).byte_rows(sample.rows.data(), tried, grid_, bytes.data(), norms.data(), errors.data());
    std::nth_element(errors.begin(), errors.begin() + static_cast<std::ptrdiff_t>(tried / 2), errors.end());
    const double left = static_cast<double>(errors[tried / 2]) / static_cast<double>(grid_.inverse);
    if (!(left < least) && !best.base.empty()) return;
    least = left;
    best = {base, low, high};
  };
  for (const bool common : {true, false}) {
    const std::vector<double> base = common ? std::vector<double>(d, 0.0) : sample.medians;
    std::vector<double> lows(sample.count), highs(sample.count);
    for (size_t i = 0; i < sample.count; ++i) {
      const T* row = &sample.rows[i * d];
      double low = std::numeric_limits<double>::infinity(), high = -low;
      for (size_t j = 0; j < d; ++j) {
        const double way = static_cast<double>(row[j]) - base[j];
        low = way < low ? way : low;
        high = high < way ? way : high;
      }
      lows[i] = low;
      highs[i] = high;
    }
    std::sort(lows.begin(), lows.end());
    std::sort(highs.begin(), highs.end());
    const size_t far = sample.count / kFarRows;
    const double low = lows[far], high = highs[sample.count - 1 - far];
    double middle = 0;
    if (common) {
      std::vector<double> sorted = sample.medians;
      std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(d / 2), sorted.end());
      middle = sorted[d / 2];
    }
    attempt(base, lows.front(), highs.back());
    for (const double part : {1.0, 0.5, 0.25}) {
      attempt(base, middle + (low - middle) * part, middle + (high - middle) * part);
    }
  }
  take_grid(sample, best.base, best.low, best.high);
}

// Takes the grid that reaches from `low` to `high` beyond the base (d,) of each column.
template <class T>
void ByteRows<T>::take_grid(const Sample& sample, const std::vector<double>& base, double low, double high) {
  const size_t d = sample.d;
  double step = (high - low) / 255, far = std::max(std::abs(low), std::abs(high));
  for (const double value : base) far = std::max(far, std::abs(value));
  const double finest = std::max(kFinest, far * kResolved);
  step = step > finest ? std::min(step, kCoarsest) : std::min(finest, kCoarsest);
  const double power = std::exp2(std::ceil(std::log2(step)));
  const bool exact = sample.multiples_of(power);
  grid_.inverse = static_cast<float>(1 / (exact ? power : step));
  const double inverse = static_cast<double>(grid_.inverse);
  grid_.step = static_cast<float>(1 / inverse);
  double squares = 0, start = low * inverse + 128;  // what becomes 0
  if (!std::isfinite(start)) start = 0;
  if (exact) start = nearest_integer(start);
  most_offset_ = 0;
  for (size_t j = 0; j < d; ++j) {
    less_[j] = -(base[j] * inverse + start);
    narrow_less_[j] = static_cast<float>(less_[j]);
    if (sizeof(T) == 4) less_[j] = static_cast<double>(narrow_less_[j]);
    const double offset = std::abs(less_[j]);
    squares += offset * offset;
    most_offset_ = std::max(most_offset_, offset);
  }
  const double lengths = 128 * std::sqrt(static_cast<double>(d)), offsets = std::sqrt(squares);
  grid_.blur = rounded_up(0x1p-22 * lengths + (sizeof(T) == 4 ? 0x1p-22 : 0x1p-50) * offsets);
}

// Takes the mean of some rows as what centers are counted from: their means lie around it.
template <class T>
void ByteRows<T>::find_middle(const Kernels& kernels, const T* rows, size_t n) {
  const size_t d = grid_.d, every = (n + kMeanRows - 1) / kMeanRows, count = (n + every - 1) / every;
  std::vector<uint8_t> bytes(d);
  std::vector<int32_t> sums(d);
  float norm, error;
  for (size_t i = 0; i < count; ++i) {
    row_kernels<T>(kernels).byte_rows(rows + i * every * d, 1, grid_, bytes.data(), &norm, &error);
    for (size_t j = 0; j < d; ++j) sums[j] += bytes[j];
  }
  const double share = 1 / static_cast<double>(count);
  for (size_t j = 0; j < d; ++j) middle_[j] = static_cast<float>(static_cast<double>(sums[j]) * share - 128);
}

template <class T>
double ByteRows<T>::copy(const Kernels& kernels, const T* rows, size_t first, size_t count) {
  row_kernels<T>(kernels).byte_rows(rows, count, grid_, bytes_ + first * grid_.d, &norms_[first], &errors_[first]);
  double most = 0;
  for (size_t i = first; i < first + count; ++i) {
    const auto error = static_cast<double>(errors_[i]);
    most = most < error || std::isnan(error) ? error : most;
    if (std::isnan(most)) break;
  }
  return (most + 128 + most_offset_) / static_cast<double>(grid_.inverse) * (1 + 0x1p-10);
}

template <class T>
void ByteRows<T>::place(const Centers<T>& centers) {
  const size_t k = centers.k(), d = grid_.d, padded = grid_.padded();
  if (values_.empty()) {
    values_.resize(k * padded);
    offsets_.resize(k);
    for (auto* array : {&start_, &factor_, &center_errors_}) array->resize(kMostByteCenters);
    between_.resize(k * kMostByteCenters);
    ways_.resize(d);
    squares_.resize(k);
    centers_ = {
        k, values_.data(), offsets_.data(), start_.data(), factor_.data(), center_errors_.data(), between_.data(), 0};
  }
  double largest = 0, middle = 1;
  for (const float m : middle_) middle += static_cast<double>(m) * static_cast<double>(m);
  for (size_t c = 0; c < k; ++c) {
    largest = std::max(largest, place_center(centers, c));
    row_kernels<T>(centers.kernels())
        .listed_distances(centers.values() + c * d, centers.values(), d, nullptr, c, squares_.data());
    for (size_t b = 0; b < c; ++b) {
      const double way = std::sqrt(squares_[b]) * static_cast<double>(grid_.inverse) * kUp;
      between_[b * kMostByteCenters + c] = between_[c * kMostByteCenters + b] = rounded_up(std::min(way, 1e37));
    }
  }
  centers_.largest = rounded_up((middle + largest) * kUp);
}

// Puts one center on its grid; returns |W|^2.
template <class T>
double ByteRows<T>::place_center(const Centers<T>& centers, size_t c) {
  const size_t d = grid_.d;
  const T* values = centers.values() + c * d;
  const double inverse = static_cast<double>(grid_.inverse);
  double longest = 0, size = 0;
  for (size_t j = 0; j < d; ++j) {
    const double t = static_cast<double>(values[j]) * inverse;
    const double way = t + (less_[j] - static_cast<double>(middle_[j]));
    ways_[j] = way;
    const double length = std::abs(way);
    longest = longest < length ? length : longest;
    size += std::abs(t) + length;
  }
  int8_t* out = &values_[c * grid_.padded()];
  const bool far = !(longest < kFarthest);
  const auto rho = static_cast<float>(std::max(longest / kMostCenter, 0x1p-60));
  const double step = static_cast<double>(rho), scale = 1 / step;
  double error = 0, squares = 0, product = 0;
  int32_t sum = 0;
  for (size_t j = 0; j < d; ++j) {
    const double h = far ? 0 : std::clamp(nearest_integer(ways_[j] * scale), -kMostCenter, kMostCenter);
    const double gap = ways_[j] - step * h;
    out[j] = static_cast<int8_t>(h);
    error += gap * gap;
    squares += h * h;
    product += h * static_cast<double>(middle_[j]);
    sum += static_cast<int32_t>(h);
  }
  offsets_[c] = 128 * sum;
  const double start = far ? 0 : step * (step * squares + 2 * product);
  start_[c] = static_cast<float>(start);
  factor_[c] = far ? 0 : -2 * rho;
  center_errors_[c] =
      far ? std::numeric_limits<float>::infinity() : rounded_up(std::sqrt(error) * kUp + 0x1p-50 * size + 0x1p-40);
  return far ? 0 : step * step * squares;
}

template class ByteRows<float>;
template class ByteRows<double>;

}  // namespace macqueen
