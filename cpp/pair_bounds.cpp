#include "pair_bounds.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "bits.hpp"
#include "blocks.hpp"
#include "pair_slot.hpp"
#include "rounding.hpp"

namespace macqueen {

namespace {

constexpr double kUp = 1 + 0x1p-30;  // beside a sum of float64 squares
constexpr double kUnitsOfGap = 20;   // of the grid in the gap between a row's nearest two centers, usually
constexpr double kUnitsOfPath = 40;  // a center that has come farther has its bounds brought down
constexpr double kSmallestUnit = 1e-30, kLargestUnit = 1e16;
constexpr int kLargestTop = 50;  // values beyond 2^50: squares could overflow, paths outgrow float32
constexpr size_t kSampledBlocks = 16, kSampleShare = 16;  // at most so many, and of few blocks one in so many
constexpr size_t kFewestBlocks = 16;                      // of a task
constexpr size_t kTaskWork = 4000000;  // multiplications of comparing all: less is not worth waking a thread for
constexpr double kFewPairs = 0.3;      // of the pairs of a block: where more are needed, all are computed
constexpr double kUndecided = 0.5;     // of the rows that are compared by their copies: then these are of little use
constexpr double kToldBy = 0.01;       // of the rows: fewer do not tell
constexpr int kFewLoosePairs = 2;      // of a row, that are compared at once where copies are of little use
constexpr int kManyLooseRows = 12;     // the same before their upper bounds are tightened

}  // namespace

template <class T>
PairBounds<T>::~PairBounds() = default;

template <class T>
PairBounds<T>::PairBounds(const T* rows, size_t n, size_t d)
    : rows_(rows), n_(n), d_(d), labels_(blocks() * kPairRows, -1), hard_(blocks()), squares_(d) {
  upper_.resize(labels_.size());
  bases_.resize(labels_.size());
  grid_.relative = static_cast<float>(d + 24) * 0x1.02p-24f;
  // Not denormal: fused operations of such a number are slow (cpp/boxes.hpp).
  grid_.absolute = std::max(static_cast<float>(d) * 0x1p-148f, 0x1p-126f);
}

template <class T>
bool PairBounds<T>::narrow() const {
  return sizeof(T) == 4 && d_ <= kNarrowDims;
}

// Settles the unit by the gap between the nearest two centers of some rows.
template <class T>
void PairBounds<T>::begin(const Centers<T>& centers) {
  const auto& functions = row_kernels<T>(centers.kernels());
  const size_t k = centers.k(), every = std::max(kSampleShare, (blocks() + kSampledBlocks - 1) / kSampledBlocks);
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
  if (ByteRows<T>::fits(k, d_)) copy_ = std::make_unique<ByteRows<T>>(centers.kernels(), rows_, n_, d_);
  before_.assign(centers.values(), centers.values() + k * d_);
  for (auto* array : {&paths_, &low_paths_}) array->assign(k, 0);
  for (auto* array : {&paths_up_, &stored_}) array->assign(k, 0);
  for (auto* array : {&path_bytes_, &brought_down_}) array->assign(k, 0);
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
  if (std::exchange(under_way_, true)) throw std::logic_error("a step was not finished; the rows cannot be used again");
  if (!totals_) {
    begin(centers);
    totals_ = std::make_unique<Totals>(centers.k(), d_);
  } else {
    move_centers(centers);
  }
  const uint64_t largest = row_kernels<T>(centers.kernels()).largest(centers.values(), centers.k() * d_);
  const bool large = top_exponent<T>(largest) > kLargestTop;
  hard_step_ = large || large_before_;
  large_before_ = large;
  if (copy_ && !hard_step_) copy_->place(centers);
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
    for (size_t block = first; block < std::min(end, first + blocks); ++block) {
      if (labels_[block * kPairRows] < 0) {
        const int64_t refused = begin_block(centers.kernels(), block, slot);
        if (refused != kAllFinite) {
          bad.note(static_cast<size_t>(refused));
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
  double compared = 0, undecided = 0;
  for (auto& slot : slots_) {
    compared += std::exchange(slot->compared, 0);
    undecided += std::exchange(slot->undecided, 0);
  }
  if (compared > kToldBy * static_cast<double>(n_)) copy_decides_few_ = undecided > kUndecided * compared;
  const BoundedStep done = macqueen::end_step<T>(threads, slots_, *totals_, squares_, totals);
  under_way_ = false;
  return done;
}

// Copies a block and finds out whether it is too large for bounds; returns the first row that cannot be clustered.
template <class T>
int64_t PairBounds<T>::begin_block(const Kernels& kernels, size_t block, Slot& slot) {
  const size_t first = block * kPairRows, count = rows_of(block);
  const T* rows = rows_ + first * d_;
  // Where the copy has come near all values they are small enough, and need not be looked at again.
  if (copy_ && copy_->copy(kernels, rows, first, count) < std::exp2(std::min(kLargestTop, copy_->top()))) {
    slot.top = copy_->top();
    slot.changes.reach(slot.top, *totals_);
    return kAllFinite;
  }
  const uint64_t largest = row_kernels<T>(kernels).largest(rows, count * d_);
  slot.top = top_exponent<T>(largest);
  hard_[block] = slot.top > kLargestTop;
  if (largest < first_refused_bits<T>()) return kAllFinite;
  return static_cast<int64_t>(first + first_bad_row(kernels, rows, count, d_));
}

template <class T>
void PairBounds<T>::first_step(const Centers<T>& centers, size_t block, Slot& slot) {
  const size_t first = block * kPairRows, count = rows_of(block);
  const T* rows = rows_ + first * d_;
  if (hard_step_ || hard_[block] != 0) {
    compare_plainly(centers, block, slot);
  } else if (copy_) {
    compare_copies(centers, block, first_bits(count), slot);
  } else {
    compare(centers, block, first_bits(count), true, slot);
  }
  std::fill_n(&labels_[first + count], kPairRows - count, 0);  // of no row, but they are read as names of centers
  slot.add_first(centers.kernels(), rows, &labels_[first], count, *totals_, squares_, slot.top);
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
  const size_t loose = needed(first_bits(count), &open);
  if (open == 0) return;
  if (copy_ && !(copy_decides_few_ && static_cast<int>(loose) <= kFewLoosePairs * std::popcount(open))) {
    compare_copies(centers, block, open, slot);
    return;
  }
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

template class PairBounds<float>;
template class PairBounds<double>;

}  // namespace macqueen
