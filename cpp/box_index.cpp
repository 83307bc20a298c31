#include "box_index.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "exponents.hpp"
#include "grid_buffer.hpp"

namespace macqueen {

namespace {

constexpr size_t kBoxRows = 64;
constexpr size_t kGroupBoxes = 16;
constexpr size_t kGroupRows = kBoxRows * kGroupBoxes;
constexpr unsigned kRadixBits = 11;
constexpr unsigned kKeyBits = 3 * kRadixBits;
constexpr double kFarAway = 1e200;  // its square is infinite
constexpr size_t kLanesOfDouble = 8;
constexpr int32_t kMostWeight = 1 << 16;

size_t padded(size_t count) { return (count + kLanesOfDouble - 1) / kLanesOfDouble * kLanesOfDouble; }

// Places of rows (n, d) along a Z-order curve over an even grid between the extremes of each coordinate.
template <class T>
std::vector<uint64_t> curve_keys(const T* rows, size_t n, size_t d) {
  const unsigned bits = kKeyBits / static_cast<unsigned>(d);
  const double cells = std::ldexp(1.0, static_cast<int>(bits)) - 1;
  std::vector<double> low(d, std::numeric_limits<double>::infinity()), high(d, -low[0]);
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < d; ++j) {
      const double x = static_cast<double>(rows[i * d + j]);
      low[j] = std::min(low[j], x);
      high[j] = std::max(high[j], x);
    }
  }
  std::vector<double> scale(d);
  for (size_t j = 0; j < d; ++j) scale[j] = high[j] > low[j] ? cells / (high[j] - low[j]) : 0;
  std::vector<uint64_t> keys(n);
  for (size_t i = 0; i < n; ++i) {
    uint64_t key = 0;
    for (size_t j = 0; j < d; ++j) {
      auto cell = static_cast<uint64_t>((static_cast<double>(rows[i * d + j]) - low[j]) * scale[j]);
      for (unsigned b = 0; b < bits; ++b) key |= (cell >> b & 1) << (b * d + j);
    }
    keys[i] = key;
  }
  return keys;
}

// Row numbers in the order of their keys; equal keys stay in row order.
std::vector<uint32_t> sorted_order(std::vector<uint64_t> keys) {
  constexpr size_t kBuckets = size_t{1} << kRadixBits;
  const size_t n = keys.size();
  std::vector<uint32_t> order(n), next_order(n);
  std::vector<uint64_t> next_keys(n);
  for (size_t i = 0; i < n; ++i) order[i] = static_cast<uint32_t>(i);
  for (unsigned shift = 0; shift < kKeyBits; shift += kRadixBits) {
    std::vector<size_t> starts(kBuckets + 1);
    for (const uint64_t key : keys) ++starts[(key >> shift & (kBuckets - 1)) + 1];
    for (size_t b = 0; b < kBuckets; ++b) starts[b + 1] += starts[b];
    for (size_t i = 0; i < n; ++i) {
      const size_t to = starts[keys[i] >> shift & (kBuckets - 1)]++;
      next_keys[to] = keys[i];
      next_order[to] = order[i];
    }
    keys.swap(next_keys);
    order.swap(next_order);
  }
  return order;
}

template <class T>
bool equal_rows(const T* a, const T* b, size_t d) {
  constexpr T kMost = std::numeric_limits<T>::max() / kMostWeight;  // `note_changes` multiplies by less
  for (size_t j = 0; j < d; ++j) {
    if (a[j] != b[j] || std::abs(a[j]) > kMost) return false;
  }
  return true;
}

// Equal rows lie side by side in this order, or nearly so: keeps one of each and returns how many it stands for.
// Where a sample shows few repeats, changes nothing and returns nothing.
template <class T>
std::vector<int32_t> fold_repeats(const T* rows, size_t d, std::vector<uint32_t>& order) {
  constexpr size_t kStretch = 256, kStretches = 16;
  size_t seen = 0, found = 0;
  for (size_t first = 1; first < order.size(); first += std::max(kStretch, order.size() / kStretches)) {
    for (size_t i = first; i < std::min(order.size(), first + kStretch); ++i, ++seen) {
      found += equal_rows(rows + order[i - 1] * d, rows + order[i] * d, d);
    }
  }
  if (4 * found < seen) return {};
  std::vector<int32_t> weights;
  size_t kept = 0;
  for (const uint32_t row : order) {
    if (kept > 0 && weights.back() + 1 < kMostWeight && equal_rows(rows + order[kept - 1] * d, rows + row * d, d)) {
      ++weights.back();
      continue;
    }
    order[kept++] = row;
    weights.push_back(1);
  }
  order.resize(kept);
  return weights;
}

}  // namespace

// What one thread holds during a step.
template <class T>
struct BoxIndex<T>::Slot {
  std::vector<double> near, group_columns, box_columns;
  std::vector<int32_t> group_kept, box_kept, names, labels;
  std::vector<T> changed;               // (m, d) rows to add; the negative of those to take off
  std::vector<int32_t> changed_labels;  // (m,)
  std::vector<int64_t> counts;          // (k,) differences
  GridBuffer sums;
  double looked_at = 0;
};

template <class T>
BoxIndex<T>::~BoxIndex() = default;

template <class T>
BoxIndex<T>::BoxIndex(Threads& threads, const Kernels& kernels, const T* rows, size_t n, size_t d)
    : n_(n), d_(d), squares_(d) {
  const PinFloatingPoint pin;
  add_squares(kernels, rows);
  sort(threads, rows);
}

template <class T>
void BoxIndex<T>::sort(Threads& threads, const T* rows) {
  std::vector<uint32_t> order = sorted_order(curve_keys(rows, n_, d_));
  weights_ = fold_repeats(rows, d_, order);
  n_ = order.size();
  labels_.assign(n_, -1);
  const size_t boxes = (n_ + kBoxRows - 1) / kBoxRows, groups = (boxes + kGroupBoxes - 1) / kGroupBoxes;
  columns_.resize(boxes * d_ * kBoxRows);
  low_.assign(boxes * d_, std::numeric_limits<double>::infinity());
  high_.assign(boxes * d_, -std::numeric_limits<double>::infinity());
  group_low_.assign(groups * d_, std::numeric_limits<double>::infinity());
  group_high_.assign(groups * d_, -std::numeric_limits<double>::infinity());
  threads.run(groups, [&](int, size_t group) {
    for (size_t i = group * kGroupRows; i < std::min(n_, (group + 1) * kGroupRows); ++i) {
      const size_t box = i / kBoxRows;
      for (size_t j = 0; j < d_; ++j) {
        const T x = rows[order[i] * d_ + j];
        columns_[(box * d_ + j) * kBoxRows + i % kBoxRows] = x;
        const double wide = static_cast<double>(x);
        for (auto [low, high] : {std::pair{&low_[box * d_ + j], &high_[box * d_ + j]},
                                 std::pair{&group_low_[group * d_ + j], &group_high_[group * d_ + j]}}) {
          *low = std::min(*low, wide);
          *high = std::max(*high, wide);
        }
      }
    }
  });
}

template <class T>
void BoxIndex<T>::add_squares(const Kernels& kernels, const T* rows) {
  const auto& functions = row_kernels<T>(kernels);
  GridBuffer rows_grid, buffer;
  rows_grid.resize(d_);
  buffer.resize(d_);
  const std::vector<int32_t> labels(kernels.block, 0);
  for (size_t i = 0; i < n_; i += kernels.block) {
    const size_t count = std::min(kernels.block, n_ - i);
    // The grid of squares follows that of rows, as in a pass.
    const uint64_t largest = functions.largest(rows + i * d_, count * d_);
    rows_grid.prepare(next_exponent(functions, rows + i * d_, count, d_, largest, rows_grid), count, squares_);
    buffer.prepare(std::max(2 * rows_grid.top(), kLowestTop), 2 * count, squares_);
    functions.add_squares(rows + i * d_, labels.data(), count, d_, buffer.view());
  }
  buffer.reserve(squares_);
  buffer.flush(0, d_, squares_);
  squares_.note_adds(kLevels);
}

template <class T>
double BoxIndex<T>::accumulate(Threads& threads, const Centers<T>& centers, Totals& totals) {
  const Kernels& kernels = centers.kernels();
  const size_t k = centers.k();
  if (!totals_) totals_ = std::make_unique<Totals>(k, d_);
  stride_ = padded(k);
  center_columns_.assign(d_ * stride_, kFarAway);
  for (size_t c = 0; c < k; ++c) {
    for (size_t j = 0; j < d_; ++j)
      center_columns_[j * stride_ + c] = static_cast<double>(centers.values()[c * d_ + j]);
  }
  while (static_cast<int>(slots_.size()) < threads.count()) slots_.push_back(std::make_unique<Slot>());
  for (auto& slot : slots_) {
    slot->sums.resize(k * d_);
    slot->counts.resize(k, 0);
    slot->looked_at = 0;
  }
  threads.run((n_ + kGroupRows - 1) / kGroupRows,
              [&](int index, size_t group) { step(kernels, centers, group, *slots_[static_cast<size_t>(index)]); });
  double looked_at = 0;
  for (auto& slot : slots_) {
    looked_at += slot->looked_at;
    for (size_t c = 0; c < k; ++c) {
      totals_->counts[c] += slot->counts[c];
      slot->counts[c] = 0;
    }
    if (!slot->sums.ready()) continue;
    slot->sums.reserve(totals_->sums);
    slot->sums.flush(0, k * d_, totals_->sums);
    totals_->sums.note_adds(kLevels);
    slot->sums.forget();
  }
  totals.merge(*totals_);
  totals.squares.merge(squares_);
  return looked_at / static_cast<double>(n_);
}

template <class T>
void BoxIndex<T>::step(const Kernels& kernels, const Centers<T>& centers, size_t group, Slot& slot) {
  const auto& functions = row_kernels<T>(kernels);
  const size_t k = centers.k();
  slot.near.resize(stride_);
  slot.group_kept.resize(k + 1);
  slot.box_kept.resize(k + 1);
  slot.names.resize(k);
  slot.labels.resize(kBoxRows);
  const size_t kept = kernels.box_candidates(&group_low_[group * d_], &group_high_[group * d_], center_columns_.data(),
                                             stride_, k, d_, slot.near.data(), slot.group_kept.data());
  const auto gathered = [this](const double* from, size_t stride, const int32_t* which, size_t count,
                               std::vector<double>& to) {
    to.assign(d_ * padded(count), kFarAway);
    for (size_t j = 0; j < d_; ++j) {
      for (size_t c = 0; c < count; ++c) to[j * padded(count) + c] = from[j * stride + static_cast<size_t>(which[c])];
    }
  };
  gathered(center_columns_.data(), stride_, slot.group_kept.data(), kept, slot.group_columns);
  slot.changed.clear();
  slot.changed_labels.clear();
  const size_t boxes = (n_ + kBoxRows - 1) / kBoxRows;
  for (size_t box = group * kGroupBoxes; box < std::min(boxes, (group + 1) * kGroupBoxes); ++box) {
    const size_t first = box * kBoxRows, count = std::min(kBoxRows, n_ - first);
    const size_t left = kernels.box_candidates(&low_[box * d_], &high_[box * d_], slot.group_columns.data(),
                                               padded(kept), kept, d_, slot.near.data(), slot.box_kept.data());
    for (size_t c = 0; c < left; ++c) slot.names[c] = slot.group_kept[static_cast<size_t>(slot.box_kept[c])];
    if (left == 1) {
      std::fill_n(slot.labels.data(), count, slot.names[0]);
    } else {
      gathered(slot.group_columns.data(), padded(kept), slot.box_kept.data(), left, slot.box_columns);
      functions.box_labels(&columns_[box * d_ * kBoxRows], kBoxRows, count, d_, slot.box_columns.data(), padded(left),
                           slot.names.data(), left, centers.values(), slot.labels.data());
    }
    slot.looked_at += static_cast<double>(left * count);
    note_changes(first, count, slot.labels.data(), slot);
  }
  add_changes(kernels, slot);
}

// Notes the rows of a box whose label is another than in the step before.
template <class T>
void BoxIndex<T>::note_changes(size_t first, size_t count, const int32_t* labels, Slot& slot) {
  const T* columns = &columns_[first * d_];
  // A row of weight w is added as its products with the powers of two in w, which are exact.
  const auto note = [&](size_t i, int32_t label, int sign) {
    const int32_t weight = weights_.empty() ? 1 : weights_[first + i];
    for (int32_t rest = weight; rest != 0; rest &= rest - 1) {
      const T factor = static_cast<T>(sign * (rest & -rest));
      for (size_t j = 0; j < d_; ++j) slot.changed.push_back(factor * columns[j * kBoxRows + i]);
      slot.changed_labels.push_back(label);
    }
    slot.counts[static_cast<size_t>(label)] += sign * weight;
  };
  for (size_t i = 0; i < count; ++i) {
    int32_t& before = labels_[first + i];
    if (labels[i] == before) continue;
    if (before >= 0) note(i, before, -1);
    note(i, labels[i], 1);
    before = labels[i];
  }
}

template <class T>
void BoxIndex<T>::add_changes(const Kernels& kernels, Slot& slot) {
  const size_t count = slot.changed_labels.size();
  if (count == 0) return;
  const auto& functions = row_kernels<T>(kernels);
  const T* rows = slot.changed.data();
  const uint64_t largest = functions.largest(rows, count * d_);
  slot.sums.prepare(next_exponent(functions, rows, count, d_, largest, slot.sums), count, totals_->sums);
  functions.add(rows, slot.changed_labels.data(), count, d_, slot.sums.view());
}

template class BoxIndex<float>;
template class BoxIndex<double>;

}  // namespace macqueen
