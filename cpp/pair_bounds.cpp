#include "pair_bounds.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "blocks.hpp"
#include "pair_slot.hpp"
#include "rounding.hpp"

namespace macqueen {

namespace {

constexpr double kUp = 1 + 0x1p-30;  // beside a sum of float64 squares
constexpr double kUnitsOfGap = 20;   // of the grid in the gap between a row's nearest two centers, usually
constexpr double kUnitsBelow = 32;   // the base of a row lies so many below its nearest center
constexpr double kUnitsOfPath = 40;  // a center that has come farther has its bounds brought down
constexpr double kSmallestUnit = 1e-30, kLargestUnit = 1e16;
constexpr float kLargestBase = 1e18f;
constexpr double kLargest = 0x1p50;  // values beyond it: squares could overflow, paths outgrow float32
constexpr size_t kSampledBlocks = 16;
constexpr size_t kFewestBlocks = 16;      // of a task
constexpr size_t kTaskWork = 4000000;     // multiplications of comparing all: less is not worth waking a thread for
constexpr size_t kMostWaiting = 1 << 13;  // values noted as changed before they are added
constexpr double kFewPairs = 0.3;         // of the pairs of a block: where more are needed, all are computed
constexpr int kManyRows = 4;              // of a block that need a center: all are compared with it, in a few vectors
constexpr int kManyLooseRows = 12;        // the same before their upper bounds are tightened

uint64_t first_bits(size_t count) { return count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1; }

// Calls visit(place) for each bit, ascending.
template <class Visit>
void for_bits(uint64_t bits, const Visit& visit) {
  for (; bits != 0; bits &= bits - 1) visit(static_cast<size_t>(std::countr_zero(bits)));
}

}  // namespace

template <class T>
PairBounds<T>::~PairBounds() = default;

template <class T>
PairBounds<T>::PairBounds(const T* rows, size_t n, size_t d)
    : rows_(rows), n_(n), d_(d), labels_(blocks() * kPairRows, -1), hard_(blocks()), squares_(d) {
  upper_.resize(labels_.size());
  bases_.resize(labels_.size());
  grid_.relative = static_cast<float>(d + 24) * 0x1.02p-24f;
  grid_.absolute = static_cast<float>(d) * 0x1p-148f;
}

template <class T>
bool PairBounds<T>::narrow() const {
  return sizeof(T) == 4 && d_ <= kNarrowDims;
}

// Settles the unit by the gap between the nearest two centers of some rows.
template <class T>
void PairBounds<T>::begin(const Centers<T>& centers) {
  const auto& functions = row_kernels<T>(centers.kernels());
  const size_t k = centers.k(), every = std::max(kSampledBlocks, (blocks() + kSampledBlocks - 1) / kSampledBlocks);
  Slot slot(k, d_);
  slot.columns.resize(k);
  std::iota(slot.columns.begin(), slot.columns.end(), 0);
  std::vector<double> gaps;
  for (size_t block = 0; block < blocks(); block += every) {
    functions.all_squares(rows_ + block * kPairRows * d_, rows_of(block), centers.values(), slot.columns.data(), k, d_,
                          slot.squares.data());
    std::fill(slot.lowest.begin(), slot.lowest.end(), std::numeric_limits<float>::infinity());
    std::fill(slot.second.begin(), slot.second.end(), std::numeric_limits<float>::infinity());
    centers.kernels().nearest_two(slot.squares.data(), slot.columns.data(), k, slot.lowest.data(), slot.second.data(),
                                  slot.index.data());
    for (size_t i = 0; i < rows_of(block); ++i) {
      const double gap =
          std::sqrt(static_cast<double>(slot.second[i])) - std::sqrt(static_cast<double>(slot.lowest[i]));
      if (std::isfinite(gap)) gaps.push_back(gap);
    }
  }
  const auto middle = gaps.begin() + static_cast<std::ptrdiff_t>(gaps.size() / 2);
  std::nth_element(gaps.begin(), middle, gaps.end());
  unit_ = std::clamp(gaps.empty() ? 1.0 : *middle / kUnitsOfGap, kSmallestUnit, kLargestUnit);
  grid_.inverse_down = static_cast<float>((1 - static_cast<double>(kPairOutward)) / unit_);
  grid_.inverse_up = static_cast<float>((1 + static_cast<double>(kPairOutward)) / unit_);
  bounds_.resize(labels_.size() * k);
  before_.assign(centers.values(), centers.values() + k * d_);
  for (auto* array : {&paths_, &low_paths_}) array->assign(k, 0);
  for (auto* array : {&paths_up_, &stored_}) array->assign(k, 0);
  for (auto* array : {&path_bytes_, &brought_down_}) array->assign(k, 0);
}

// Whether a value is too large for bounds.
template <class T>
bool PairBounds<T>::any_large(const Kernels& kernels, const T* values, size_t count) {
  const T most = static_cast<T>(kLargest);
  uint64_t bits = 0;
  memcpy(&bits, &most, sizeof most);
  return row_kernels<T>(kernels).largest(values, count) >= bits;
}

template <class T>
void PairBounds<T>::move_centers(const Centers<T>& centers) {
  for (size_t c = 0; c < centers.k(); ++c) {
    double squares;
    const int32_t first = 0;
    row_kernels<T>(centers.kernels())
        .own_distances(centers.values() + c * d_, &first, before_.data() + c * d_, 1, d_, &squares);
    brought_down_[c] = 0;
    if (squares == 0) continue;
    const double moved = std::sqrt(squares) * kUp;
    paths_[c] = (paths_[c] + moved) * kUp;
    paths_up_[c] = rounded_up(paths_[c]);
    low_paths_[c] = (low_paths_[c] + moved) * kUp;
    const auto units = static_cast<uint8_t>(std::min(std::ceil(low_paths_[c] / unit_ * kUp), 255.0));
    const bool far = low_paths_[c] > kUnitsOfPath * unit_;
    if (far) low_paths_[c] = 0;
    brought_down_[c] = far ? units : 0;
    path_bytes_[c] = far ? 0 : units;
    stored_[c] = far ? 0 : rounded_down(low_paths_[c] / kUp * (1 - static_cast<double>(kPairOutward)));
  }
  before_.assign(centers.values(), centers.values() + centers.k() * d_);
}

template <class T>
void PairBounds<T>::begin_step(const Centers<T>& centers) {
  const PinFloatingPoint pin;
  if (!totals_) {
    begin(centers);
    totals_ = std::make_unique<Totals>(centers.k(), d_);
  } else {
    move_centers(centers);
  }
  const bool large = any_large(centers.kernels(), centers.values(), centers.k() * d_);
  hard_step_ = large || large_before_;
  large_before_ = large;
  if (hard_step_) {  // all bounds begin anew
    for (auto* array : {&paths_, &low_paths_}) std::fill(array->begin(), array->end(), 0.0);
    for (auto* array : {&paths_up_, &stored_}) std::fill(array->begin(), array->end(), 0.0f);
    for (auto* array : {&path_bytes_, &brought_down_}) std::fill(array->begin(), array->end(), 0);
  }
  for (auto& slot : slots_) slot->done = BoundedStep{};
}

template <class T>
int64_t PairBounds<T>::step_blocks(Threads& threads, const Centers<T>& centers, size_t begin, size_t end) {
  while (static_cast<int>(slots_.size()) < threads.count()) slots_.push_back(std::make_unique<Slot>(k(), d_));
  BadRow bad;
  const size_t blocks = std::max(kFewestBlocks, kTaskWork / (kPairRows * k() * d_));
  threads.run((end - begin + blocks - 1) / blocks, [&](int index, size_t task) {
    Slot& slot = *slots_[static_cast<size_t>(index)];
    const size_t first = begin + task * blocks;
    Threads alone(1);
    for (size_t block = first; block < std::min(end, first + blocks); ++block) {
      if (labels_[block * kPairRows] < 0) {
        const size_t row = block * kPairRows;
        const int64_t refused = first_refused_row(alone, centers.kernels(), rows_ + row * d_, rows_of(block), d_);
        if (refused != kAllFinite) {
          bad.note(row + static_cast<size_t>(refused));
          return;
        }
        first_step(centers, block, slot);
      } else {
        step(centers, block, slot);
      }
      if (slot.changes.waiting() > kMostWaiting) slot.changes.add(centers.kernels(), *totals_);
    }
    slot.changes.add(centers.kernels(), *totals_);
  });
  return bad.get();
}

template <class T>
BoundedStep PairBounds<T>::end_step(Threads& threads, Totals& totals) {
  BoundedStep sum;
  std::vector<Changes<T>*> changes;
  for (auto& slot : slots_) {
    sum.candidates += slot->done.candidates;
    sum.opened += slot->done.opened;
    sum.read += slot->done.read;
    sum.hard += slot->done.hard;
    changes.push_back(&slot->changes);
    if (!slot->squares_grid.ready()) continue;
    slot->squares_grid.reserve(squares_);
    slot->squares_grid.flush(0, d_, squares_);
    squares_.note_adds(kLevels);
    slot->squares_grid.forget();
  }
  sum.moved = static_cast<double>(Changes<T>::flush(threads, changes, *totals_));
  totals.merge(*totals_);
  totals.squares.merge(squares_);
  return sum;
}

template <class T>
void PairBounds<T>::first_step(const Centers<T>& centers, size_t block, Slot& slot) {
  const size_t first = block * kPairRows, count = rows_of(block);
  const T* rows = rows_ + first * d_;
  hard_[block] = any_large(centers.kernels(), rows, count * d_);
  if (hard_step_ || hard_[block] != 0) {
    compare_plainly(centers, block, slot);
  } else {
    compare(centers, block, first_bits(count), true, slot);
  }
  std::fill_n(&labels_[first + count], kPairRows - count, 0);  // of no row, but they are read as names of centers
  slot.changes.add_rows(centers.kernels(), rows, &labels_[first], count, *totals_);
  // The grid of squares follows that of rows, as in a pass.
  slot.squares_grid.prepare(std::max(2 * slot.changes.top(), kLowestTop), 2 * count, squares_);
  row_kernels<T>(centers.kernels()).add_squares(rows, &labels_[first], count, d_, slot.squares_grid.view());
}

template <class T>
void PairBounds<T>::step(const Centers<T>& centers, size_t block, Slot& slot) {
  const Kernels& kernels = centers.kernels();
  const size_t first = block * kPairRows, k = centers.k(), count = rows_of(block);
  if (hard_step_ || hard_[block] != 0) {
    compare_plainly(centers, block, slot);
    return;
  }
  bring_down(block);
  const auto needed = [&](uint64_t among, uint64_t* any) {
    kernels.upper_bytes(&upper_[first], &labels_[first], paths_up_.data(), &bases_[first], grid_, slot.uppers.data());
    return kernels.pair_needs(&bounds_[first * k], slot.uppers.data(), path_bytes_.data(), k, among, slot.needs.data(),
                              slot.counts.data(), any);
  };
  uint64_t open;
  needed(first_bits(count), &open);
  if (open == 0) return;
  if (narrow() && slot.list_columns(kManyLooseRows)) {  // centers that move far, most often
    refresh_columns(centers, block, slot);
    needed(first_bits(count), &open);
    if (open == 0) return;
  }
  tighten(centers, block, open, slot);
  const size_t pairs = needed(open, &open);
  if (pairs == 0) return;
  const bool whole = static_cast<double>(pairs) > kFewPairs * static_cast<double>(count * k);
  compare(centers, block, whole ? first_bits(count) : open, whole, slot);
}

// Labels a block as a plain pass does, and leaves it without bounds.
template <class T>
void PairBounds<T>::compare_plainly(const Centers<T>& centers, size_t block, Slot& slot) {
  const size_t first = block * kPairRows, k = centers.k(), count = rows_of(block);
  slot.assigning.resize(centers.kernels(), k, d_);
  slot.labels.resize(kPairRows);
  row_kernels<T>(centers.kernels())
      .assign(rows_ + first * d_, count, centers.values(), centers.screen(), slot.assigning.scratch(),
              slot.labels.data());
  for (size_t row = first; row < first + count; ++row) {
    const int32_t label = slot.labels[row - first], before = std::exchange(labels_[row], label);
    if (before >= 0 && label != before) slot.changes.note(rows_ + row * d_, before, label);
  }
  std::fill_n(&bounds_[first * k], kPairRows * k, 0);  // at 0 a pair is always needed
  std::fill_n(&bases_[first], kPairRows, 0.0f);
  std::fill_n(&upper_[first], kPairRows, std::numeric_limits<float>::infinity());
  slot.done.hard += static_cast<double>(count);
}

template <class T>
void PairBounds<T>::bring_down(size_t block) {
  const size_t k = path_bytes_.size();
  for (size_t c = 0; c < k; ++c) {
    const uint8_t less = brought_down_[c];
    if (less == 0) continue;
    uint8_t* bounds = &bounds_[(block * k + c) * kPairRows];
    for (size_t i = 0; i < kPairRows; ++i) {
      const auto lower = static_cast<uint8_t>(bounds[i] > less ? bounds[i] - less : 0);
      bounds[i] = bounds[i] == kOwnPair ? kOwnPair : lower;
    }
  }
}

// Computes the squared distances of the pairs that are listed.
template <class T>
void PairBounds<T>::compute_pairs(const Centers<T>& centers, size_t block, Slot& slot) {
  row_kernels<T>(centers.kernels())
      .pair_squares(rows_ + block * kPairRows * d_, slot.places.data(), slot.names.data(), slot.count, centers.values(),
                    d_, slot.found.data());
  float* const squares = slot.squares.data();
  const uint8_t* const places = slot.places.data();
  const int32_t* const names = slot.names.data();
  const float* const found = slot.found.data();
  for (size_t i = 0; i < slot.count; ++i) squares[static_cast<size_t>(names[i]) * kPairRows + places[i]] = found[i];
}

// Computes the distances of the open rows to their own centers.
template <class T>
void PairBounds<T>::tighten(const Centers<T>& centers, size_t block, uint64_t open, Slot& slot) {
  const size_t first = block * kPairRows;
  slot.count = 0;
  for_bits(open, [&](size_t place) {
    const auto own = static_cast<size_t>(labels_[first + place]);
    slot.list(uint64_t{1} << place, own, paths_up_[own], &bases_[first]);
  });
  compute_pairs(centers, block, slot);
  slot.done.read += static_cast<double>(slot.count);
  centers.kernels().pair_uppers(slot.found.data(), slot.paths.data(), slot.count, grid_, slot.results.data());
  for (size_t i = 0; i < slot.count; ++i) upper_[first + slot.places[i]] = slot.results[i];
}

// Computes the distances of the pairs in `needs`, beside those of the open rows to their own centers, and labels these
// rows. A center that many rows need is compared with all rows of the block.
template <class T>
void PairBounds<T>::compare(const Centers<T>& centers, size_t block, uint64_t open, bool whole, Slot& slot) {
  const size_t first = block * kPairRows;
  const uint64_t all = first_bits(rows_of(block));
  slot.list_columns(whole ? 0 : narrow() ? kManyRows : static_cast<int>(kPairRows) + 1);
  for (const int32_t c : slot.columns) slot.needs[static_cast<size_t>(c)] = all;
  std::fill(slot.lowest.begin(), slot.lowest.end(), std::numeric_limits<float>::infinity());
  std::fill(slot.second.begin(), slot.second.end(), std::numeric_limits<float>::infinity());
  compare_columns(centers, block, whole, slot);
  if (!whole) {
    mark_own(block);  // columns have written over marks
    compare_pairs(centers, block, open, slot);
  }
  for_bits(open, [&](size_t place) {
    const int32_t before = labels_[first + place];
    const int32_t label = nearest(centers, block, place, slot);
    if (label == before) return;
    if (before >= 0) slot.changes.note(rows_ + (first + place) * d_, before, label);
    if (!whole) move_mark(centers.kernels(), block, place, before, label, slot);
    labels_[first + place] = label;
  });
  if (!whole) return;
  mark_own(block);
  for (size_t place = 0; place < rows_of(block); ++place) {
    const auto own = static_cast<size_t>(labels_[first + place]);
    slot.found[place] = slot.squares[own * kPairRows + place];
    slot.paths[place] = paths_up_[own];
  }
  centers.kernels().pair_uppers(slot.found.data(), slot.paths.data(), kPairRows, grid_, &upper_[first]);
}

// Compares all rows of the block with the centers in `columns`; the bases begin anew where these are all.
template <class T>
void PairBounds<T>::compare_columns(const Centers<T>& centers, size_t block, bool whole, Slot& slot) {
  if (slot.columns.empty()) return;
  const size_t first = block * kPairRows, count = rows_of(block);
  row_kernels<T>(centers.kernels())
      .all_squares(rows_ + first * d_, count, centers.values(), slot.columns.data(), slot.columns.size(), d_,
                   slot.squares.data());
  centers.kernels().nearest_two(slot.squares.data(), slot.columns.data(), slot.columns.size(), slot.lowest.data(),
                                slot.second.data(), slot.index.data());
  for (size_t i = 0; whole && i < count; ++i) {
    const float base = std::sqrt(slot.lowest[i]) - static_cast<float>(kUnitsBelow * unit_);
    bases_[first + i] = std::clamp(base, 0.0f, kLargestBase);
  }
  store_columns(centers, block, slot);
}

// Makes the bounds of the centers in `columns` anew.
template <class T>
void PairBounds<T>::refresh_columns(const Centers<T>& centers, size_t block, Slot& slot) {
  row_kernels<T>(centers.kernels())
      .all_squares(rows_ + block * kPairRows * d_, rows_of(block), centers.values(), slot.columns.data(),
                   slot.columns.size(), d_, slot.squares.data());
  store_columns(centers, block, slot);
  mark_own(block);
}

// Marks the own centers among the bounds of a block.
template <class T>
void PairBounds<T>::mark_own(size_t block) {
  const size_t first = block * kPairRows, k = path_bytes_.size();
  for (size_t place = 0; place < rows_of(block); ++place) {
    bounds_[(block * k + static_cast<size_t>(labels_[first + place])) * kPairRows + place] = kOwnPair;
  }
}

// Stores the bounds that the squares of the centers in `columns` give.
template <class T>
void PairBounds<T>::store_columns(const Centers<T>& centers, size_t block, Slot& slot) {
  const size_t first = block * kPairRows, k = centers.k(), count = rows_of(block);
  for (const int32_t name : slot.columns) {
    const auto c = static_cast<size_t>(name);
    std::fill_n(slot.paths.data(), kPairRows, stored_[c]);
    centers.kernels().pair_bounds(slot.squares.data() + c * kPairRows, &bases_[first], slot.paths.data(), kPairRows,
                                  grid_, &bounds_[(block * k + c) * kPairRows]);
  }
  slot.done.opened += static_cast<double>(count * slot.columns.size());
}

// Computes the other pairs, one by one.
template <class T>
void PairBounds<T>::compare_pairs(const Centers<T>& centers, size_t block, uint64_t open, Slot& slot) {
  const size_t first = block * kPairRows, k = centers.k();
  slot.count = 0;
  auto column = slot.columns.begin();
  for (size_t c = 0; c < k; ++c) {
    if (column != slot.columns.end() && *column == static_cast<int32_t>(c)) {
      ++column;
    } else if (slot.needs[c] != 0) {
      slot.list(slot.needs[c], c, stored_[c], &bases_[first]);
    }
  }
  for_bits(open, [&](size_t place) {
    const int32_t own = labels_[first + place];
    uint64_t& needs = slot.needs[static_cast<size_t>(own)];
    if ((needs >> place & 1) != 0) return;  // its column is there
    needs |= uint64_t{1} << place;
    slot.take(place, own, slot.squares[static_cast<size_t>(own) * kPairRows + place]);
  });
  if (slot.count == 0) return;
  compute_pairs(centers, block, slot);
  centers.kernels().pair_bounds(slot.found.data(), slot.bases.data(), slot.paths.data(), slot.count, grid_,
                                slot.bytes.data());
  slot.take_found(&bounds_[block * k * kPairRows]);
  slot.done.opened += static_cast<double>(slot.count);
}

// The nearest center of a row, among those that `needs` says are computed.
template <class T>
int32_t PairBounds<T>::nearest(const Centers<T>& centers, size_t block, size_t place, Slot& slot) {
  const float limit = slot.lowest[place] * (1 + 3 * grid_.relative) + 3 * grid_.absolute;
  if (slot.second[place] > limit) return slot.index[place];
  size_t count = 0;
  for (size_t c = 0; c < centers.k(); ++c) {
    if ((slot.needs[c] >> place & 1) == 0 || slot.squares[c * kPairRows + place] > limit) continue;
    slot.candidates[count++] = static_cast<int32_t>(c);
  }
  slot.done.candidates += static_cast<double>(count);
  return row_kernels<T>(centers.kernels())
      .decide(rows_ + (block * kPairRows + place) * d_, centers.values(), d_, slot.candidates.data(), count);
}

// Makes another center the own one of a row, between the bounds of the block.
template <class T>
void PairBounds<T>::move_mark(const Kernels& kernels, size_t block, size_t place, int32_t before, int32_t label,
                              Slot& slot) {
  const size_t row = block * kPairRows + place, old = static_cast<size_t>(before), own = static_cast<size_t>(label);
  uint8_t* bounds = &bounds_[block * kPairRows * path_bytes_.size() + place];
  float squares[kPairRows], numbers[kPairRows], paths[kPairRows];
  uint8_t byte[kPairRows];
  squares[0] = slot.squares[old * kPairRows + place];
  numbers[0] = bases_[row];
  paths[0] = stored_[old];
  kernels.pair_bounds(squares, numbers, paths, 1, grid_, byte);
  bounds[old * kPairRows] = byte[0];
  bounds[own * kPairRows] = kOwnPair;
  squares[0] = slot.squares[own * kPairRows + place];
  paths[0] = paths_up_[own];
  kernels.pair_uppers(squares, paths, 1, grid_, numbers);
  upper_[row] = numbers[0];
}

template class PairBounds<float>;
template class PairBounds<double>;

}  // namespace macqueen
