#include "packed_rows.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "bits.hpp"
#include "blocks.hpp"
#include "step_slot.hpp"

namespace macqueen {

namespace {

constexpr size_t kSampleRows = 256;
constexpr double kNearMiddle = 0.9;   // of the rows of the sample: others may lie far away
constexpr double kWithinGrid = 0.99;  // of the rows of the sample: longer ones may have to go the other way
constexpr double kRoom = 1.25;        // beyond them
constexpr double kGridSteps = 32000;  // of the longest row that fits, as in cpp/short_screen.hpp
constexpr double kFarthest = 1e30;    // of an origin
constexpr double kFinest = 0x1p-90, kCoarsest = 0x1p90;
constexpr size_t kRunBlocks = 8;        // whose rows are added together in the first step
constexpr size_t kFirstWork = 250000;   // values that are stored and added in the first step: some 300 microseconds
constexpr size_t kFewOpen = 12;         // rows that take less time in float64 than making the screen of the centers
constexpr size_t kTaskWork = 16000000;  // multiplications: less is not worth waking a thread for

}  // namespace

template <class T>
struct PackedRows<T>::Slot : StepSlot<T> {
  std::vector<size_t> open;  // rows that the integers did not decide
  std::vector<T> open_rows;  // (block, d)
  std::vector<int16_t> packing;

  Slot(size_t k, size_t d) : packing(d + 2 * kPackedLanes) { this->changes.resize(k, d); }

  // Makes room for rows that are labelled plainly: few steps have so many, and it takes longer than a step on few rows.
  void make_room(const Kernels& kernels, size_t k, size_t d) {
    open_rows.resize(kernels.block * d);
    this->labels.resize(kernels.block);
    this->assigning.resize(kernels, k, d);
  }
};

template <class T>
PackedRows<T>::~PackedRows() = default;

template <class T>
PackedRows<T>::PackedRows(const T* rows, size_t n, size_t d)
    : rows_(rows),
      n_(n),
      origin_(d),
      narrow_origin_(d),
      labels_((n + kPackedRows - 1) / kPackedRows * kPackedRows, -1),
      squares_(d) {
  form_.d = d;
  form_.pairs = (d + 1) / 2;
  form_.origin = origin_.data();
  form_.narrow_origin = narrow_origin_.data();
  const size_t padded = blocks() * kPackedRows;
  packed_ = std::make_unique_for_overwrite<int16_t[]>(padded * form_.pairs * 2);
  numbers_ = std::make_unique_for_overwrite<float[]>(padded * 2);
}

// The mean of nearly all rows of a sample becomes the origin, and nearly all rows fit the grid. Values that are not
// finite make a grid of no use, but no wrong labels.
template <class T>
void PackedRows<T>::settle_grid(const Kernels& kernels) {
  const size_t d = form_.d, every = (n_ + kSampleRows - 1) / kSampleRows, count = (n_ + every - 1) / every;
  std::vector<T> sample(count * d), middle(d);
  for (size_t i = 0; i < count; ++i) std::copy_n(rows_ + i * every * d, d, &sample[i * d]);
  double most = std::numeric_limits<double>::infinity();  // of the squares of rows that count
  std::vector<double> squares(count, 0.0), ranked;
  for (const double part : {kNearMiddle, kWithinGrid}) {
    std::fill(origin_.begin(), origin_.end(), 0.0);
    const auto counted =
        static_cast<double>(std::count_if(squares.begin(), squares.end(), [&](double s) { return s <= most; }));
    const double share = 1 / counted;  // a division takes longer than all else here
    for (size_t i = 0; i < count; ++i) {
      if (!(squares[i] <= most)) continue;
      for (size_t j = 0; j < d; ++j) origin_[j] += static_cast<double>(sample[i * d + j]) * share;
    }
    for (size_t j = 0; j < d; ++j) middle[j] = std::abs(origin_[j]) < kFarthest ? static_cast<T>(origin_[j]) : T{0};
    row_kernels<T>(kernels).distances_to(sample.data(), middle.data(), count, d, squares.data());
    ranked.clear();
    std::copy_if(squares.begin(), squares.end(), std::back_inserter(ranked), [](double s) { return std::isfinite(s); });
    if (ranked.empty()) ranked.push_back(1);
    const auto place = ranked.begin() + static_cast<std::ptrdiff_t>(part * static_cast<double>(ranked.size() - 1));
    std::nth_element(ranked.begin(), place, ranked.end());
    most = *place;
  }
  for (size_t j = 0; j < d; ++j) {
    origin_[j] = static_cast<double>(middle[j]);
    narrow_origin_[j] = static_cast<float>(origin_[j]);
  }
  form_.step = static_cast<float>(std::clamp(std::sqrt(most) * kRoom / kGridSteps, kFinest, kCoarsest));
}

template <class T>
void PackedRows<T>::begin_step(const Centers<T>& centers) {
  const PinFloatingPoint pin;
  if (!totals_) {
    settle_grid(centers.kernels());
    totals_ = std::make_unique<Totals>(centers.k(), form_.d);
    panels_.k = centers.k();
    panels_.tiles = (centers.k() + kPackedTile - 1) / kPackedTile;
    panel_values_.resize(panels_.tiles * kPackedTile * form_.pairs * 2);
    start_.resize(panels_.tiles * kPackedTile);
    panels_.packed = panel_values_.data();
    panels_.start = start_.data();
    far_.resize(centers.k());
    lengths_.resize(centers.k());
    panels_.far = far_.data();
  }
  row_kernels<T>(centers.kernels()).pack_panels(centers.values(), form_, lengths_.data(), panels_);
  any_far_ = std::find(far_.begin(), far_.end(), 1) != far_.end();
  for (auto& slot : slots_) slot->done = BoundedStep{};
}

template <class T>
int64_t PackedRows<T>::step_blocks(Threads& threads, const Centers<T>& centers, size_t begin, size_t end) {
  while (static_cast<int>(slots_.size()) < threads.count()) {
    slots_.push_back(std::make_unique<Slot>(k(), form_.d));
  }
  BadRow bad;
  const bool first = begin < blocks() && labels_[begin * kPackedRows] < 0;
  const size_t multiplications = first ? kFirstWork / form_.d : kTaskWork / (k() * form_.d);
  const size_t blocks = std::max(kRunBlocks, multiplications / kPackedRows);
  threads.run((end - begin + blocks - 1) / blocks, [&](int index, size_t task) {
    Slot& slot = *slots_[static_cast<size_t>(index)];
    const size_t last = std::min(end, begin + (task + 1) * blocks);
    for (size_t block = begin + task * blocks; block < last; ++block) {
      if (labels_[block * kPackedRows] < 0) {
        const size_t to = std::min(last, block + kRunBlocks);
        const int64_t refused = first_blocks(centers, block, to, slot);
        if (refused != kAllFinite) {
          bad.note(static_cast<size_t>(refused));
          return;
        }
        block = to - 1;
        continue;
      }
      compare(centers, block, slot);
      if (slot.open.size() >= centers.kernels().block) settle(centers, slot);
      if (slot.changes.waiting() > kMostWaiting) slot.changes.add(centers.kernels(), *totals_);
    }
    settle(centers, slot);
    slot.changes.add(centers.kernels(), *totals_);
  });
  return bad.get();
}

// Packs blocks, labels them and adds their rows; or returns the first row that cannot be clustered.
template <class T>
int64_t PackedRows<T>::first_blocks(const Centers<T>& centers, size_t begin, size_t end, Slot& slot) {
  const auto& kernels = row_kernels<T>(centers.kernels());
  const size_t d = form_.d, first = begin * kPackedRows, count = std::min(n_, end * kPackedRows) - first;
  const T* rows = rows_ + first * d;
  const size_t refused = first_bad_row(centers.kernels(), rows, count, d);
  if (refused < count) return static_cast<int64_t>(first + refused);
  for (size_t block = begin; block < end; ++block) {
    for (size_t lane = 0; lane < kPackedRows; lane += kPackedLanes) {
      const size_t row = block * kPackedRows + lane;
      const size_t present = row < n_ ? std::min(kPackedLanes, n_ - row) : 0;
      kernels.pack_lanes(rows_ + std::min(row, n_) * d, present, form_, slot.packing.data(),
                         packed(block) + lane * form_.pairs * 2, &numbers_[row * 2]);
    }
    compare(centers, block, slot);
  }
  settle(centers, slot);
  slot.add_first(centers.kernels(), rows, &labels_[first], count, *totals_, squares_);
  return kAllFinite;
}

template <class T>
void PackedRows<T>::compare(const Centers<T>& centers, size_t block, Slot& slot) {
  const size_t first = block * kPackedRows;
  int32_t found[kPackedRows];
  uint64_t changed, open = centers.kernels().packed_labels(form_, panels_, packed(block), &numbers_[first * 2],
                                                           &labels_[first], found, &changed);
  const uint64_t rows = first_bits(rows_of(block));
  for (size_t i = 0; any_far_ && i < kPackedRows; ++i) open |= uint64_t{far_[static_cast<size_t>(found[i])]} << i;
  for_bits(open & rows, [&](size_t i) { slot.open.push_back(first + i); });
  for_bits(changed & ~open & rows, [&](size_t i) { relabel(first + i, found[i], slot); });
}

// Labels the rows that are open.
template <class T>
void PackedRows<T>::settle(const Centers<T>& centers, Slot& slot) {
  const size_t d = form_.d, most = centers.kernels().block;
  slot.done.hard += static_cast<double>(slot.open.size());
  if (slot.open.size() <= kFewOpen) {
    for (const size_t row : slot.open) {
      const T* x = rows_ + row * d;
      relabel(row, row_kernels<T>(centers.kernels()).decide(x, centers.values(), d, nullptr, k()), slot);
    }
    slot.open.clear();
    return;
  }
  slot.make_room(centers.kernels(), k(), d);
  for (size_t first = 0; first < slot.open.size(); first += most) {
    const size_t count = std::min(most, slot.open.size() - first);
    for (size_t i = 0; i < count; ++i) std::copy_n(rows_ + slot.open[first + i] * d, d, &slot.open_rows[i * d]);
    row_kernels<T>(centers.kernels())
        .assign(slot.open_rows.data(), count, centers.values(), centers.screen(), slot.assigning.scratch(),
                slot.labels.data());
    for (size_t i = 0; i < count; ++i) relabel(slot.open[first + i], slot.labels[i], slot);
  }
  slot.open.clear();
}

template <class T>
void PackedRows<T>::relabel(size_t row, int32_t label, Slot& slot) {
  const int32_t before = labels_[row];
  if (label == before) return;
  if (before >= 0) slot.changes.note(rows_ + row * form_.d, before, label);
  labels_[row] = label;
}

template <class T>
BoundedStep PackedRows<T>::end_step(Threads& threads, Totals& totals) {
  return macqueen::end_step<T>(threads, slots_, *totals_, squares_, totals);
}

template class PackedRows<float>;
template class PackedRows<double>;

}  // namespace macqueen
