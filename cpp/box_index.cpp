#include "box_index.hpp"

#include <string.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "curve_order.hpp"
#include "exponents.hpp"
#include "grid_buffer.hpp"

namespace macqueen {

namespace {

constexpr size_t kGroupBoxes = 16;
constexpr size_t kGroupRows = kBoxRows * kGroupBoxes;
constexpr size_t kMostLanes = 16;
static_assert(kBoxRows % kMostLanes == 0);

size_t padded(size_t count) { return (count + kMostLanes - 1) / kMostLanes * kMostLanes; }

// Columns (d, stride) of centers -> those named in which (count,), the last one repeated to whole vectors.
template <class T>
void gather_columns(const T* from, size_t stride, size_t d, const int32_t* which, size_t count, std::vector<T>& to) {
  const size_t width = padded(count);
  to.resize(d * width);
  for (size_t j = 0; j < d; ++j) {
    for (size_t c = 0; c < count; ++c) to[j * width + c] = from[j * stride + static_cast<size_t>(which[c])];
    std::fill(to.begin() + static_cast<std::ptrdiff_t>(j * width + count),
              to.begin() + static_cast<std::ptrdiff_t>((j + 1) * width), to[j * width + count - 1]);
  }
}

}  // namespace

// What one thread holds during a step.
template <class T>
struct BoxIndex<T>::Slot {
  std::vector<T> group_columns;
  std::vector<int32_t> group_kept, names;  // (k,)
  int32_t labels[kBoxRows];
  uint8_t open[kBoxRows];
  T upper[kBoxRows], lower[kBoxRows];
  std::vector<T> columns;               // (d, kBoxRows) of the rows that are looked at again
  std::vector<T> changed;               // (m, d) rows to add; the negative of those to take off
  std::vector<int32_t> changed_labels;  // (m,)
  size_t changes = 0;                   // m
  std::vector<int64_t> counts;          // (k,) differences
  GridBuffer sums;
  double looked_at = 0;

  void resize(size_t k, size_t d) {
    group_kept.resize(k);
    names.resize(k);
    columns.resize(d * kBoxRows);
    changed.resize(2 * kGroupRows * d);
    changed_labels.resize(2 * kGroupRows);
    counts.resize(k, 0);
    sums.resize(k * d);
    looked_at = 0;
  }
};

template <class T>
bool BoxIndex<T>::Compared::all_of(const int32_t* wanted, size_t number) const {
  const int32_t* name = names;
  const int32_t* const end = names + count;
  for (size_t i = 0; i < number; ++i) {
    while (name != end && *name < wanted[i]) ++name;
    if (name == end || *name != wanted[i]) return false;
  }
  return true;
}

template <class T>
BoxIndex<T>::~BoxIndex() = default;

template <class T>
BoxIndex<T>::BoxIndex(Threads& threads, const Kernels& kernels, const T* rows, size_t n, size_t d)
    : n_(n), d_(d), squares_(d) {
  const PinFloatingPoint pin;
  sort(threads, rows);
  add_squares(threads, kernels, rows);
}

template <class T>
void BoxIndex<T>::sort(Threads& threads, const T* rows) {
  const size_t groups = (boxes() + kGroupBoxes - 1) / kGroupBoxes;
  columns_ = std::make_unique_for_overwrite<T[]>(boxes() * d_ * kBoxRows);
  labels_ = std::make_unique_for_overwrite<int32_t[]>(boxes() * kBoxRows);
  upper_ = std::make_unique_for_overwrite<T[]>(boxes() * kBoxRows);
  lower_ = std::make_unique_for_overwrite<T[]>(boxes() * kBoxRows);
  low_.resize(boxes() * d_);
  high_.resize(boxes() * d_);
  compared_.resize(boxes());
  group_low_.assign(groups * d_, std::numeric_limits<T>::infinity());
  group_high_.assign(groups * d_, -std::numeric_limits<T>::infinity());
  const std::unique_ptr<uint32_t[]> order = curve_order(threads, rows, n_, d_);
  threads.run(groups, [&](int, size_t group) {
    for (size_t box = group * kGroupBoxes; box < std::min(boxes(), (group + 1) * kGroupBoxes); ++box) {
      const size_t first = box * kBoxRows, count = std::min(kBoxRows, n_ - first);
      T* columns = &columns_[first * d_];
      for (size_t i = 0; i < kBoxRows; ++i) {  // beyond the rows: the last one again
        const T* row = rows + order[first + std::min(i, count - 1)] * d_;
        for (size_t j = 0; j < d_; ++j) columns[j * kBoxRows + i] = row[j];
      }
      for (size_t j = 0; j < d_; ++j) {
        const auto [low, high] = std::minmax_element(columns + j * kBoxRows, columns + (j + 1) * kBoxRows);
        low_[box * d_ + j] = *low;
        high_[box * d_ + j] = *high;
        group_low_[group * d_ + j] = std::min(group_low_[group * d_ + j], *low);
        group_high_[group * d_ + j] = std::max(group_high_[group * d_ + j], *high);
      }
      std::fill_n(&labels_[first], count, -1);
      std::fill_n(&labels_[first + count], kBoxRows - count, 0);  // any center
      std::fill_n(&upper_[first], kBoxRows, T{0});
      std::fill_n(&lower_[first], kBoxRows, T{0});
    }
  });
}

// A row alone leaves vectors half empty: many are taken as one long row, whose cells are added up in the end.
template <class T>
void BoxIndex<T>::add_squares(Threads& threads, const Kernels& kernels, const T* rows) {
  constexpr size_t kRows = 16, kLongRows = 64;
  const auto& functions = row_kernels<T>(kernels);
  const size_t width = kRows * d_, long_rows = n_ / kRows;
  exact::Sums wide(width);
  std::vector<GridBuffer> rows_grids(static_cast<size_t>(threads.count())), grids(rows_grids.size());
  const std::vector<int32_t> labels(kLongRows, 0);
  const auto add = [&](size_t slot, const T* begin, size_t count, size_t d) {
    GridBuffer &rows_grid = rows_grids[slot], &grid = grids[slot];
    rows_grid.resize(width);
    grid.resize(width);
    // The grid of squares follows that of rows, as in a pass.
    const uint64_t largest = functions.largest(begin, count * d);
    rows_grid.prepare(next_exponent(functions, begin, count, d, largest, rows_grid), count, wide);
    grid.prepare(std::max(2 * rows_grid.top(), kLowestTop), 2 * count, wide);
    functions.add_squares(begin, labels.data(), count, d, grid.view());
  };
  threads.run((long_rows + kLongRows - 1) / kLongRows, [&](int slot, size_t block) {
    const size_t first = block * kLongRows;
    add(static_cast<size_t>(slot), rows + first * width, std::min(kLongRows, long_rows - first), width);
  });
  if (n_ % kRows != 0) add(0, rows + long_rows * width, n_ % kRows, d_);
  for (GridBuffer& grid : grids) {
    if (!grid.ready()) continue;
    grid.reserve(wide);
    grid.flush(0, width, wide);
    wide.note_adds(kLevels);
  }
  wide.canonicalize();
  const auto digits = static_cast<size_t>(wide.width());
  std::vector<int64_t> sums(d_ * digits);
  for (size_t cell = 0; cell < width; ++cell) {
    for (size_t i = 0; i < digits; ++i) sums[cell % d_ * digits + i] += wide.digits()[cell * digits + i];
  }
  squares_.assign(wide.first(), wide.width(), sums.data());
  squares_.note_adds(kRows);
}

template <class T>
void BoxIndex<T>::begin_step(const Centers<T>& centers) {
  const size_t k = centers.k();
  const T* values = centers.values();
  if (!totals_) {
    totals_ = std::make_unique<Totals>(k, d_);
    before_.assign(values, values + k * d_);
    stride_ = padded(k);
    center_columns_.resize(d_ * stride_);
    paths_.resize(k);
  }
  for (size_t j = 0; j < d_; ++j) {
    for (size_t c = 0; c < stride_; ++c) center_columns_[j * stride_ + c] = values[std::min(c, k - 1) * d_ + j];
  }
  for (size_t c = 0; c < k; ++c) {
    double squares = 0;
    for (size_t j = c * d_; j < (c + 1) * d_; ++j) {
      const double path = static_cast<double>(values[j]) - static_cast<double>(before_[j]);
      squares += path * path;
      // What underflows: a square below 2^-1022, of a path below 2^-510.
      if (path != 0) squares += 0x1p-1020;
    }
    const double path = std::sqrt(squares) * (1 + 0x1p-40);
    const T near = static_cast<T>(path);
    paths_[c] = static_cast<double>(near) < path ? std::nextafter(near, std::numeric_limits<T>::infinity()) : near;
  }
  before_.assign(values, values + k * d_);
}

template <class T>
double BoxIndex<T>::accumulate(Threads& threads, const Centers<T>& centers, Totals& totals) {
  const PinFloatingPoint pin;
  const size_t k = centers.k();
  begin_step(centers);
  while (static_cast<int>(slots_.size()) < threads.count()) slots_.push_back(std::make_unique<Slot>());
  for (auto& slot : slots_) slot->resize(k, d_);
  threads.run((boxes() + kGroupBoxes - 1) / kGroupBoxes,
              [&](int index, size_t group) { step(centers, group, *slots_[static_cast<size_t>(index)]); });
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
void BoxIndex<T>::step(const Centers<T>& centers, size_t group, Slot& slot) {
  const Kernels& kernels = centers.kernels();
  const size_t kept =
      row_kernels<T>(kernels).box_candidates(&group_low_[group * d_], &group_high_[group * d_], center_columns_.data(),
                                             stride_, centers.k(), d_, slot.group_kept.data());
  gather_columns(center_columns_.data(), stride_, d_, slot.group_kept.data(), kept, slot.group_columns);
  for (size_t box = group * kGroupBoxes; box < std::min(boxes(), (group + 1) * kGroupBoxes); ++box) {
    step_box(centers, box, kept, slot);
  }
  add_changes(kernels, slot);
}

template <class T>
void BoxIndex<T>::step_box(const Centers<T>& centers, size_t box, size_t candidates, Slot& slot) {
  const auto& functions = row_kernels<T>(centers.kernels());
  const size_t first = box * kBoxRows, count = std::min(kBoxRows, n_ - first);
  const size_t left =
      functions.box_candidates(&low_[box * d_], &high_[box * d_], slot.group_columns.data(), padded(candidates),
                               candidates, d_, slot.names.data());
  for (size_t c = 0; c < left; ++c) slot.names[c] = slot.group_kept[static_cast<size_t>(slot.names[c])];
  Compared& compared = compared_[box];
  // A list that has become far too long costs more than making it anew.
  const bool covered = compared.all_of(slot.names.data(), left) && static_cast<size_t>(compared.count) <= 2 * left + 2;
  if (left == 1) {
    if (compared.count == 1 && covered) return;
    std::fill_n(slot.labels, count, slot.names[0]);
  } else if (covered) {
    update_box(centers, box, slot);
    return;
  } else {
    functions.box_labels(&columns_[first * d_], kBoxRows, count, d_, slot.names.data(), left, centers.values(),
                         slot.labels, &upper_[first], &lower_[first]);
    slot.looked_at += static_cast<double>(left * count);
  }
  note_changes(first, count, slot.labels, slot);
  compared.count = left <= Compared::kMost ? static_cast<int32_t>(left) : 0;
  std::copy_n(slot.names.data(), compared.count, compared.names);
}

// Looks again at those rows of a box whose label is no longer certain.
template <class T>
bool BoxIndex<T>::update_box(const Centers<T>& centers, size_t box, Slot& slot) {
  const auto& functions = row_kernels<T>(centers.kernels());
  const size_t first = box * kBoxRows, count = std::min(kBoxRows, n_ - first);
  const Compared& compared = compared_[box];
  int32_t fastest = compared.names[0];
  T next = 0;
  for (int32_t c = 1; c < compared.count; ++c) {
    const int32_t name = compared.names[c];
    const T path = paths_[static_cast<size_t>(name)], most = paths_[static_cast<size_t>(fastest)];
    next = std::max(next, std::min(path, most));
    if (path > most) fastest = name;
  }
  if (paths_[static_cast<size_t>(fastest)] == 0) return false;
  size_t open = functions.move_bounds(&labels_[first], kBoxRows, paths_.data(), fastest, next, &upper_[first],
                                      &lower_[first], slot.open);
  while (open > 0 && slot.open[open - 1] >= count) --open;
  if (open == 0) return false;
  for (size_t j = 0; j < d_; ++j) {
    const T* column = &columns_[first * d_ + j * kBoxRows];
    for (size_t i = 0; i < open; ++i) slot.columns[j * kBoxRows + i] = column[slot.open[i]];
  }
  functions.box_labels(slot.columns.data(), kBoxRows, open, d_, compared.names, static_cast<size_t>(compared.count),
                       centers.values(), slot.labels, slot.upper, slot.lower);
  slot.looked_at += static_cast<double>(static_cast<size_t>(compared.count) * open);
  for (size_t i = 0; i < open; ++i) {
    const size_t row = first + slot.open[i];
    upper_[row] = slot.upper[i];
    lower_[row] = slot.lower[i];
    if (slot.labels[i] != labels_[row]) note_change(row, slot.labels[i], slot);
  }
  return true;
}

// Notes the rows of a box whose label is another than in the step before.
template <class T>
void BoxIndex<T>::note_changes(size_t first, size_t count, const int32_t* labels, Slot& slot) {
  if (memcmp(&labels_[first], labels, count * sizeof(int32_t)) == 0) return;
  for (size_t i = 0; i < count; ++i) {
    if (labels[i] != labels_[first + i]) note_change(first + i, labels[i], slot);
  }
}

template <class T>
void BoxIndex<T>::note_change(size_t row, int32_t label, Slot& slot) {
  const T* x = &columns_[row / kBoxRows * d_ * kBoxRows + row % kBoxRows];
  const auto note = [&](int32_t cluster, T sign) {
    T* to = &slot.changed[slot.changes * d_];
    for (size_t j = 0; j < d_; ++j) to[j] = sign * x[j * kBoxRows];
    slot.changed_labels[slot.changes++] = cluster;
    slot.counts[static_cast<size_t>(cluster)] += sign > 0 ? 1 : -1;
  };
  if (labels_[row] >= 0) note(labels_[row], T{-1});
  note(label, T{1});
  labels_[row] = label;
}

template <class T>
void BoxIndex<T>::add_changes(const Kernels& kernels, Slot& slot) {
  const size_t count = slot.changes;
  if (count == 0) return;
  const auto& functions = row_kernels<T>(kernels);
  const T* rows = slot.changed.data();
  const uint64_t largest = functions.largest(rows, count * d_);
  slot.sums.prepare(next_exponent(functions, rows, count, d_, largest, slot.sums), count, totals_->sums);
  functions.add(rows, slot.changed_labels.data(), count, d_, slot.sums.view());
  slot.changes = 0;
}

template class BoxIndex<float>;
template class BoxIndex<double>;

}  // namespace macqueen
