#include "packed_rows.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <utility>

#include "bits.hpp"
#include "blocks.hpp"
#include "fetch.hpp"
#include "huge_memory.hpp"
#include "packed_slot.hpp"

namespace macqueen {

namespace {

constexpr size_t kSampleRows = 256, kSampleShare = 16;  // at most so many, and of few rows at most one in so many
constexpr double kNearMiddle = 0.9;                     // of the rows of the sample: others may lie far away
constexpr double kWithinGrid = 0.99;  // of the rows of the sample: longer ones may have to go the other way
constexpr double kRoom = 1.25;        // beyond them
constexpr double kGridSteps = 32000;  // of the longest row that fits, as in cpp/short_screen.hpp
constexpr double kFarthest = 1e30;    // of an origin
constexpr double kFinest = 0x1p-90, kCoarsest = 0x1p90;
constexpr size_t kRunBlocks = 8;        // whose rows are added together in the first step
constexpr size_t kFirstWork = 250000;   // values that are stored and added in the first step: some 300 microseconds
constexpr size_t kFewOpen = 12;         // rows that take less time in float64 than making the screen of the centers
constexpr size_t kSectionBlocks = 512;  // at most, whose rows are sorted together: what is sorted stays in the cache
static_assert(kSectionBlocks * kPackedRows <= size_t{1} << 16, "16 bits name a row of a section");
constexpr size_t kTaskWork = 16000000;  // multiplications: less is not worth waking a thread for

// Blocks of a section, of an even number of sections, so that two threads have as many.
size_t section_of(size_t blocks) {
  const size_t sections = (blocks + 2 * kSectionBlocks - 1) / (2 * kSectionBlocks) * 2;
  return (blocks + sections - 1) / sections;
}

}  // namespace

template <class T>
PackedRows<T>::~PackedRows() = default;

template <class T>
PackedRows<T>::PackedRows(const T* rows, size_t n, size_t d, size_t copied)
    : rows_(rows),
      n_(n),
      section_(section_of(blocks())),
      origin_(d),
      narrow_origin_(d),
      copied_(copied < n ? copied / kPackedRows : blocks()),
      labels_((n + kPackedRows - 1) / kPackedRows * kPackedRows, -1),
      moved_(std::numeric_limits<double>::infinity()),
      most_moved_(moved_),
      squares_(d) {
  form_.d = d;
  form_.pairs = (d + 1) / 2;
  form_.origin = origin_.data();
  form_.narrow_origin = narrow_origin_.data();
  const size_t padded = copied_ * kPackedRows;
  packed_ = raw_lines<int16_t>(padded * form_.pairs * 2);
  numbers_ = raw_lines<float>(padded * 2);
}

// The mean of nearly all rows of a sample becomes the origin, and nearly all rows fit the grid. Values that are not
// finite make a grid of no use, but no wrong labels.
template <class T>
void PackedRows<T>::settle_grid(const Kernels& kernels) {
  const size_t d = form_.d, every = std::max(kSampleShare, (n_ + kSampleRows - 1) / kSampleRows);
  const size_t count = (n_ + every - 1) / every;
  std::vector<T> middle(d);
  double most = std::numeric_limits<double>::infinity();  // of the squares of rows that count
  std::vector<double> squares(count, 0.0), ranked;
  for (const double part : {kNearMiddle, kWithinGrid}) {
    std::fill(origin_.begin(), origin_.end(), 0.0);
    const auto counted =
        static_cast<double>(std::count_if(squares.begin(), squares.end(), [&](double s) { return s <= most; }));
    const double share = 1 / counted;  // a division takes longer than all else here
    for (size_t i = 0; i < count; ++i) {
      if (!(squares[i] <= most)) continue;
      const T* row = rows_ + i * every * d;
      for (size_t j = 0; j < d; ++j) origin_[j] += static_cast<double>(row[j]) * share;
    }
    for (size_t j = 0; j < d; ++j) middle[j] = std::abs(origin_[j]) < kFarthest ? static_cast<T>(origin_[j]) : T{0};
    for (size_t i = 0; i < count; ++i) {
      row_kernels<T>(kernels).distances_to(rows_ + i * every * d, middle.data(), 1, d, &squares[i]);
    }
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
  if (std::exchange(under_way_, true)) throw std::logic_error("a step was not finished; the rows cannot be used again");
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
  choose_way(centers);
  for (auto& slot : slots_) slot->done = BoundedStep{};
}

template <class T>
int64_t PackedRows<T>::step_blocks(Threads& threads, const Centers<T>& centers, size_t begin, size_t end) {
  while (static_cast<int>(slots_.size()) < threads.count()) {
    slots_.push_back(std::make_unique<Slot>(k(), form_.d));
  }
  if (way_ == Way::kFew) move_gaps(threads, centers.kernels());
  BadRow bad;
  const bool first = begin < blocks() && labels_[begin * kPackedRows] < 0;
  const size_t multiplications = first ? kFirstWork / form_.d : kTaskWork / (k() * form_.d);
  const size_t blocks = way_ == Way::kGroup ? section_ : std::max(kRunBlocks, multiplications / kPackedRows);
  threads.run((end - begin + blocks - 1) / blocks, [&](int index, size_t task) {
    Slot& slot = *slots_[static_cast<size_t>(index)];
    const size_t from = begin + task * blocks, to = std::min(end, from + blocks);
    const int64_t refused = first ? first_blocks(centers, from, to, slot) : kAllFinite;
    if (refused != kAllFinite) {
      bad.note(static_cast<size_t>(refused));
    } else if (!first) {
      next_blocks(centers, from, to, slot);
    }
  });
  return bad.get();
}

// Labels blocks again.
template <class T>
void PackedRows<T>::next_blocks(const Centers<T>& centers, size_t begin, size_t end, Slot& slot) {
  const Kernels& kernels = centers.kernels();
  if (way_ == Way::kFew) slot.begin_groups(k());
  for (size_t block = begin; block < end; ++block) {
    if (way_ == Way::kGroup) {
      const size_t to = std::min(end, (block / section_ + 1) * section_);
      group(centers, block, to, slot);
      block = to - 1;
    } else if (way_ == Way::kFew) {
      const size_t to = std::min(end, (block / kFewBlocks + 1) * kFewBlocks);
      compare_few(centers, block, to, slot);
      block = to - 1;
    } else {
      compare(centers, block, slot, nullptr);
    }
    if (slot.open.size() >= kernels.block) settle(centers, slot);
    if (slot.changes.waiting() > kMostWaiting) slot.changes.add(kernels, *totals_);
  }
  settle(centers, slot);
  slot.changes.add(kernels, *totals_);
}

// Packs blocks, labels them and adds their rows; or returns the first row that cannot be clustered.
template <class T>
int64_t PackedRows<T>::first_blocks(const Centers<T>& centers, size_t begin, size_t end, Slot& slot) {
  const size_t d = form_.d;
  if (begin < copied_) {
    const size_t padded = (std::min(end, copied_) - begin) * kPackedRows;
    map_pages(packed(begin), padded * form_.pairs * 2 * sizeof(int16_t));
    map_pages(&numbers_[begin * kPackedRows * 2], padded * 2 * sizeof(float));
  }
  for (size_t from = begin; from < end; from += kRunBlocks) {
    const size_t to = std::min(end, from + kRunBlocks);
    const size_t first = from * kPackedRows, count = std::min(n_, to * kPackedRows) - first;
    const T* rows = rows_ + first * d;
    const uint64_t largest = row_kernels<T>(centers.kernels()).largest(rows, count * d);
    if (largest >= first_refused_bits<T>()) {
      return static_cast<int64_t>(first + first_bad_row(centers.kernels(), rows, count, d));
    }
    for (size_t block = from; block < to; ++block) {
      const size_t later = block + kRunBlocks;  // of the next run, which comes from afar
      if ((later + 1) * kPackedRows <= n_) fetch(rows_ + later * kPackedRows * d, kPackedRows * d * sizeof(T));
      if (block < copied_) pack(centers.kernels(), block, packed(block), &numbers_[block * kPackedRows * 2]);
      compare(centers, block, slot, nullptr);
    }
    settle(centers, slot);
    if (!adds_) continue;
    slot.add_first(centers.kernels(), rows, &labels_[first], count, *totals_, squares_, top_exponent<T>(largest));
  }
  return kAllFinite;
}

template <class T>
void PackedRows<T>::pack(const Kernels& kernels, size_t block, int16_t* packed, float* numbers) const {
  for (size_t lane = 0; lane < kPackedRows; lane += kPackedLanes) {
    const size_t row = block * kPackedRows + lane, present = row < n_ ? std::min(kPackedLanes, n_ - row) : 0;
    row_kernels<T>(kernels).pack_lanes(rows_ + std::min(row, n_) * form_.d, present, form_,
                                       packed + lane * form_.pairs * 2, numbers + lane * 2);
  }
}

// Compares a block with all centers; values (rows,) of the nearest out, or 0.
template <class T>
void PackedRows<T>::compare(const Centers<T>& centers, size_t block, Slot& slot, int32_t* values) {
  const size_t first = block * kPackedRows;
  const bool copied = block < copied_;
  if (!copied) {
    const size_t later = first + kPackedRows;  // rows of the next block come from afar
    if (later + kPackedRows <= n_) fetch(rows_ + later * form_.d, kPackedRows * form_.d * sizeof(T));
    slot.block_rows.resize(kPackedRows * form_.pairs * 2);
    pack(centers.kernels(), block, slot.block_rows.data(), slot.block_numbers);
  }
  const int16_t* const rows = copied ? packed(block) : slot.block_rows.data();
  const float* const numbers = copied ? &numbers_[first * 2] : slot.block_numbers;
  PackedFound found;
  centers.kernels().packed_labels(form_, panels_, rows, numbers, &labels_[first], found);
  for (size_t i = 0; any_far_ && i < kPackedRows; ++i) {
    found.open |= uint64_t{far_[static_cast<size_t>(found.labels[i])]} << i;
  }
  if (values != nullptr) std::copy_n(found.values, kPackedRows, values);
  take(block, first_bits(rows_of(block)), found, nullptr, slot);
  slot.done.opened += static_cast<double>(rows_of(block) * panels_.k);
}

// Takes over what was found for some rows of a block; names: of the labels found, or 0.
template <class T>
void PackedRows<T>::take(size_t block, uint64_t rows, const PackedFound& found, const int32_t* names, Slot& slot) {
  const size_t first = block * kPackedRows;
  for_bits(found.open & rows, [&](size_t i) { slot.open.push_back(first + i); });
  for_bits(found.changed & ~found.open & rows,
           [&](size_t i) { relabel(first + i, names == nullptr ? found.labels[i] : names[found.labels[i]], slot); });
}

// Labels the rows that are open.
template <class T>
void PackedRows<T>::settle(const Centers<T>& centers, Slot& slot) {
  const size_t d = form_.d, most = centers.kernels().block;
  slot.done.hard += static_cast<double>(slot.open.size());
  if (slot.open.size() <= kFewOpen) {
    for (const size_t position : slot.open) {
      const T* x = rows_ + row_of(position) * d;
      relabel(position, row_kernels<T>(centers.kernels()).decide(x, centers.values(), d, nullptr, k()), slot);
    }
    slot.open.clear();
    return;
  }
  slot.make_room(centers.kernels(), k(), d);
  for (size_t first = 0; first < slot.open.size(); first += most) {
    const size_t count = std::min(most, slot.open.size() - first);
    for (size_t i = 0; i < count; ++i) {
      std::copy_n(rows_ + row_of(slot.open[first + i]) * d, d, &slot.open_rows[i * d]);
    }
    row_kernels<T>(centers.kernels())
        .assign(slot.open_rows.data(), count, centers.values(), centers.screen(), slot.assigning.scratch(),
                slot.labels.data());
    for (size_t i = 0; i < count; ++i) relabel(slot.open[first + i], slot.labels[i], slot);
  }
  slot.open.clear();
}

template <class T>
void PackedRows<T>::relabel(size_t position, int32_t label, Slot& slot) {
  const int32_t before = labels_[position];
  if (label == before) return;
  if (before >= 0) slot.changes.note(rows_ + row_of(position) * form_.d, before, label);
  labels_[position] = label;
  if (way_ == Way::kFew) groups_->note(position, label);
}

template <class T>
int64_t PackedRows<T>::label(Threads& threads, const Centers<T>& centers, BoundedStep& done) {
  adds_ = false;
  begin_step(centers);
  const int64_t refused = step_blocks(threads, centers, 0, blocks());
  for (const auto& slot : slots_) done.add(slot->done);
  return refused;
}

template <class T>
BoundedStep PackedRows<T>::end_step(Threads& threads, Totals& totals) {
  if (way_ == Way::kGroup) {
    groups_->ordered = true;
    for (auto& slot : slots_) slot->section = {};
  }
  const BoundedStep done = macqueen::end_step<T>(threads, slots_, *totals_, squares_, totals);
  moved_ = done.moved;
  under_way_ = false;
  return done;
}

template class PackedRows<float>;
template class PackedRows<double>;

}  // namespace macqueen
