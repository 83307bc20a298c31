#include "box_index.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "center_list.hpp"
#include "curve_order.hpp"
#include "exponents.hpp"
#include "grid_buffer.hpp"
#include "recent_rows.hpp"
#include "repeated_rows.hpp"
#include "square_sums.hpp"

namespace macqueen {

namespace {

constexpr size_t kNodes = 4;                        // that a larger box holds
constexpr size_t kTaskBoxes = 16, kMostBoxes = 64;  // of the largest boxes, for few rows and for many
constexpr size_t kManyRows = size_t{1} << 16;

}  // namespace

// What one thread holds during a step.
template <class T>
struct BoxIndex<T>::Slot {
  std::vector<CenterList<T>> lists;  // of the node of each level that is under way
  std::vector<int32_t> names;        // of the centers near a box
  int32_t labels[kBoxRows] = {};
  std::vector<int64_t> counts;  // (k,) differences
  GridBuffer sums;
  size_t looked_at = 0;

  void begin(size_t levels, const T* centers, size_t k, size_t d) {
    lists.resize(levels + 1);  // the last one: all centers
    for (CenterList<T>& list : lists) list.reserve(k, d);
    std::vector<int32_t> all(k);
    std::iota(all.begin(), all.end(), 0);
    lists.back().gather(all.data(), k, centers, d);
    names.resize(k + CenterColumns<T>::kMostLanes);
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
  add_squares(threads, kernels, rows);
  const FoldedRows<T> folded = fold_recent(threads, rows, n, d);
  if (folded.n != 0) n_ = folded.n;
  sort(threads, kernels, folded.n != 0 ? folded.rows : rows, folded.weights);
}

template <class T>
void BoxIndex<T>::sort(Threads& threads, const Kernels& kernels, const T* rows, const int32_t* weights) {
  // What is filled later lends its memory to the sorting.
  const size_t columns = boxes() * std::max(d_ * kBoxRows * sizeof(T), kBoxRows * sizeof(uint64_t));
  const size_t bounds = boxes() * std::max(2 * kBoxRows * sizeof(T), kBoxRows * sizeof(uint64_t));
  memory_ = std::make_unique<HugeMemory>(columns + bounds + boxes() * kBoxRows * sizeof(int32_t));
  labels_ = memory_->take<int32_t>(boxes() * kBoxRows);
  bounds_ = memory_->take<T>(bounds / sizeof(T));
  columns_ = memory_->take<T>(columns / sizeof(T));
  auto* order = reinterpret_cast<uint32_t*>(labels_);
  curve_order(threads, kernels, rows, n_, d_, reinterpret_cast<uint64_t*>(bounds_),
              reinterpret_cast<uint64_t*>(columns_), order);
  weights_ = fold_repeats(threads, rows, weights, d_, order, n_, reinterpret_cast<int32_t*>(columns_));
  if (!weights_.empty()) weights_.resize(boxes() * kBoxRows);
  compared_.resize(boxes());
  levels_.resize(1);
  levels_[0].low.resize(boxes() * d_);
  levels_[0].high.resize(boxes() * d_);
  threads.run((boxes() + kTaskBoxes - 1) / kTaskBoxes, [&](int, size_t task) {
    for (size_t box = task * kTaskBoxes; box < std::min(boxes(), (task + 1) * kTaskBoxes); ++box) {
      const size_t first = box * kBoxRows, count = std::min(kBoxRows, n_ - first);
      row_kernels<T>(kernels).fill_box(rows, order + first, count, d_, &columns_[first * d_], &levels_[0].low[box * d_],
                                       &levels_[0].high[box * d_]);
      std::fill_n(&labels_[first], kBoxRows, -1);
    }
  });
  add_levels();
  top_ = usual_top();
}

// The exponent of the grid of sums: that of the largest values of all but few boxes.
template <class T>
int BoxIndex<T>::usual_top() const {
  constexpr size_t kFewOf = 64;
  std::vector<int> tops(boxes(), kLowestTop);
  for (size_t box = 0; box < boxes(); ++box) {
    for (size_t j = box * d_; j < (box + 1) * d_; ++j) {
      const T most = std::max(std::abs(levels_[0].low[j]), std::abs(levels_[0].high[j]));
      int exponent = kLowestTop;
      if (most > 0) std::frexp(most, &exponent);
      tops[box] = std::max(tops[box], exponent);
    }
  }
  const auto usual = tops.begin() + static_cast<std::ptrdiff_t>(tops.size() - 1 - tops.size() / kFewOf);
  std::nth_element(tops.begin(), usual, tops.end());
  return *usual;
}

template <class T>
void BoxIndex<T>::add_levels() {
  const size_t most = n_ < kManyRows ? kTaskBoxes : kMostBoxes;
  while (levels_.back().boxes < most) {
    const Level& below = levels_.back();
    const size_t nodes = below.low.size() / d_;
    Level level;
    level.boxes = below.boxes * kNodes;
    for (size_t node = 0; node < nodes; ++node) {
      const T *low = &below.low[node * d_], *high = &below.high[node * d_];
      if (node % kNodes == 0) {
        level.low.insert(level.low.end(), low, low + d_);
        level.high.insert(level.high.end(), high, high + d_);
        continue;
      }
      T *least = &level.low[level.low.size() - d_], *most_here = &level.high[level.high.size() - d_];
      for (size_t j = 0; j < d_; ++j) {
        least[j] = std::min(least[j], low[j]);
        most_here[j] = std::max(most_here[j], high[j]);
      }
    }
    level.middle.assign(level.low.size() / d_, -1);
    levels_.push_back(std::move(level));
  }
}

// A row alone leaves vectors half empty: many are taken as one long row, whose cells are added up in the end.
template <class T>
void BoxIndex<T>::add_squares(Threads& threads, const Kernels& kernels, const T* rows) {
  constexpr size_t kRows = 16, kLongRows = 64;
  const size_t width = kRows * d_, long_rows = n_ / kRows;
  exact::Sums wide(width);
  std::vector<SquareSums<T>> sums_of(static_cast<size_t>(threads.count()));
  threads.run((long_rows + kLongRows - 1) / kLongRows, [&](int slot, size_t block) {
    const size_t first = block * kLongRows;
    sums_of[static_cast<size_t>(slot)].add(kernels, rows + first * width, std::min(kLongRows, long_rows - first), width,
                                           wide);
  });
  if (n_ % kRows != 0) sums_of[0].add(kernels, rows + long_rows * width, n_ % kRows, d_, wide);
  for (SquareSums<T>& sums : sums_of) sums.flush(wide);
  wide.canonicalize();
  const auto digits = static_cast<size_t>(wide.width());
  const std::vector<int64_t> all = wide.digits();
  std::vector<int64_t> sums(d_ * digits);
  for (size_t cell = 0; cell < width; ++cell) {
    for (size_t i = 0; i < digits; ++i) sums[cell % d_ * digits + i] += all[cell * digits + i];
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
    paths_.resize(k);
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
  if (std::exchange(under_way_, true)) throw std::logic_error("a step was not finished; the rows cannot be used again");
  const size_t k = centers.k();
  begin_step(centers);
  while (static_cast<int>(slots_.size()) < threads.count()) slots_.push_back(std::make_unique<Slot>());
  for (auto& slot : slots_) slot->begin(levels_.size(), centers.values(), k, d_);
  threads.run(levels_.back().low.size() / d_, [&](int index, size_t node) {
    Slot& slot = *slots_[static_cast<size_t>(index)];
    step_node(centers, levels_.size() - 1, node, slot);
  });
  double looked_at = 0;
  for (auto& slot : slots_) {
    looked_at += static_cast<double>(slot->looked_at);
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
  under_way_ = false;
  return looked_at / static_cast<double>(n_);
}

template <class T>
void BoxIndex<T>::step_node(const Centers<T>& centers, size_t level, size_t node, Slot& slot) {
  const CenterList<T>& above = slot.lists[level + 1];
  CenterList<T>& list = slot.lists[level];
  const auto& functions = row_kernels<T>(centers.kernels());
  const T *low = &levels_[level].low[node * d_], *high = &levels_[level].high[node * d_];
  int32_t& middle = levels_[level].middle[node];
  if (middle < 0) middle = above.middle(functions, low, high, d_);
  list.take(functions, low, high, centers.values() + static_cast<size_t>(middle) * d_, d_, above, &middle);
  const size_t below = levels_[level - 1].low.size() / d_;
  for (size_t child = node * kNodes; child < std::min(below, (node + 1) * kNodes); ++child) {
    if (level == 1) {
      step_box(centers, child, slot);
    } else {
      step_node(centers, level - 1, child, slot);
    }
  }
}

template <class T>
void BoxIndex<T>::step_box(const Centers<T>& centers, size_t box, Slot& slot) {
  const auto& functions = row_kernels<T>(centers.kernels());
  Compared& compared = compared_[box];
  const CenterList<T>& above = slot.lists[1];
  const T *low = &levels_[0].low[box * d_], *high = &levels_[0].high[box * d_];
  if (compared.middle < 0) compared.middle = above.middle(functions, low, high, d_);
  int32_t* names = slot.names.data();
  const size_t left = functions.box_candidates(low, high, centers.values() + static_cast<size_t>(compared.middle) * d_,
                                               above.columns(), d_, {names, nullptr, 0}, &compared.middle);
  // A list that has become far too long costs more than making it anew.
  const bool covered = compared.all_of(names, left) && static_cast<size_t>(compared.count) <= 2 * left + 2;
  if (left == 1 && compared.count == 1 && covered) return;
  int32_t* before = &labels_[box * kBoxRows];
  BoxRows<T> rows{&columns_[box * kBoxRows * d_],
                  compared.names,
                  static_cast<size_t>(compared.count),
                  names[0],
                  0,
                  before,
                  slot.labels,
                  upper(box),
                  lower(box)};
  uint64_t changed = 0;
  if (left == 1) {
    for (size_t i = 0; i < kBoxRows; ++i) {
      slot.labels[i] = names[0];
      changed |= uint64_t{before[i] != names[0]} << i;
    }
  } else if (covered) {
    find_fastest(rows);
    if (paths_[static_cast<size_t>(rows.fastest)] == 0) return;
    changed = functions.box_labels(rows, d_, centers.values(), paths_.data(), &slot.looked_at);
  } else {
    rows.names = names;
    rows.count = left;
    changed = functions.box_labels(rows, d_, centers.values(), nullptr, &slot.looked_at);
  }
  if (changed != 0) move_rows(centers.kernels(), box, changed, slot);
  if (covered && left > 1) return;
  compared.count = left <= Compared::kMost ? static_cast<int32_t>(left) : 0;
  std::copy_n(names, compared.count, compared.names);
}

// Which of the centers of a box has moved most, and how far the others have, at most.
template <class T>
void BoxIndex<T>::find_fastest(BoxRows<T>& box) const {
  T most = -1;
  box.next = 0;
  for (size_t c = 0; c < box.count; ++c) {
    const T path = paths_[static_cast<size_t>(box.names[c])];
    box.next = std::max(box.next, std::min(path, most));
    if (path > most) box.fastest = box.names[c];
    most = std::max(most, path);
  }
}

// Moves the rows of a box whose label is another than in the step before.
template <class T>
void BoxIndex<T>::move_rows(const Kernels& kernels, size_t box, uint64_t changed, Slot& slot) {
  int32_t* labels = &labels_[box * kBoxRows];
  const size_t count = std::min(kBoxRows, n_ - box * kBoxRows);
  const int32_t* weights = weights_.empty() ? nullptr : &weights_[box * kBoxRows];
  uint64_t rows = changed & ~uint64_t{0} >> (kBoxRows - count);  // what fills the last box is none
  size_t weight = weights == nullptr ? static_cast<size_t>(__builtin_popcountll(rows)) : 0;
  for (uint64_t left = weights == nullptr ? 0 : rows; left != 0; left &= left - 1) {
    weight += static_cast<size_t>(weights[__builtin_ctzll(left)]);
  }
  slot.sums.prepare(top_, weight, totals_->sums);
  row_kernels<T>(kernels).move_box(&columns_[box * kBoxRows * d_], d_, rows, weights, labels, slot.labels,
                                   slot.counts.data(), slot.sums.view());
  for (; changed != 0; changed &= changed - 1) {
    const auto i = static_cast<size_t>(__builtin_ctzll(changed));
    labels[i] = slot.labels[i];
  }
}

template class BoxIndex<float>;
template class BoxIndex<double>;

}  // namespace macqueen
