// PackedRows: rows sorted by their centers, whose blocks are compared with few centers.
#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "bits.hpp"
#include "fetch.hpp"
#include "packed_slot.hpp"
#include "rounding.hpp"

namespace macqueen {

namespace {

constexpr size_t kBlockWork = 208;     // of a sorted block beside comparisons: centers times (pairs of columns + 4)
constexpr size_t kLeastWork = 416;     // of comparing a block with all centers, in these: less is not worth sorting
constexpr size_t kMostCenters = 256;   // of more, sections have few rows of each
constexpr size_t kRowsOfCenter = 128;  // that many blocks have one center, not several
constexpr double kWork = 0.6;          // of comparing all: more is not worth it
constexpr double kPriceOfStray = 1.5;  // of comparing a row with all centers where it lies
constexpr double kPriceOfMover = 0.8;  // in these: its block meets centers that no other row of it needs
constexpr double kPriceOfSorting = 2;  // of comparing all rows: all gaps are to be found again
constexpr float kMostRatio = 0x1p40f;  // of the grids: gaps remain numbers
constexpr float kUnknown = -0x1p126f;  // gap

}  // namespace

// Sorted rows must not take more memory than the path `bounds` would.
template <class T>
bool PackedRows<T>::can_group() const {
  const size_t k = panels_.k, d = form_.d, padded = (k + kPackedLanes - 1) / kPackedLanes * kPackedLanes;
  const size_t memory = 16 * (4 * form_.pairs + 15) + padded;
  return packed_ && k * (form_.pairs + 4) >= kLeastWork && k <= kMostCenters && n_ >= kRowsOfCenter * k &&
         memory <= 16 * (d + 48) + 3 * k;
}

template <class T>
size_t PackedRows<T>::row_of(size_t position) const {
  if (!groups_ || !groups_->ordered) return position;
  return position / kSectionRows * kSectionRows + groups_->order[position];
}

template <class T>
std::vector<int32_t> PackedRows<T>::labels() const {
  std::vector<int32_t> labels(n_);
  for (size_t position = 0; position < n_; ++position) labels[row_of(position)] = labels_[position];
  return labels;
}

// Rows are sorted when few of them move, and again when those that have moved since have cost as much as that. Where
// blocks still need most centers, rows wait until half as many move.
template <class T>
void PackedRows<T>::choose_way(const Centers<T>& centers) {
  const Way before = way_;
  if (!can_group() || any_far_ || !(panels_.ratio < kMostRatio)) {
    way_ = Way::kAll;
    return;
  }
  if (before == Way::kGroup) {
    way_ = Way::kFew;
    groups_->fresh = true;
  } else if (before == Way::kFew) {
    double compared = 0, movers = 0;
    for (const auto& slot : slots_) compared += slot->done.opened;
    for (const uint64_t rows : groups_->movers) movers += static_cast<double>(std::popcount(rows));
    groups_->debt += kPriceOfMover * movers / static_cast<double>(n_);
    const bool worth = groups_->fresh || compared <= kWork * static_cast<double>(n_ * k());
    groups_->fresh = false;
    if (!worth) {
      calm_ = moved_ / 2;
      way_ = Way::kAll;
    } else if (groups_->debt > kPriceOfSorting) {
      way_ = Way::kGroup;
    }
  } else if (moved_ <= calm_) {
    way_ = Way::kGroup;
  }
  if (way_ == Way::kGroup) {
    if (!groups_) groups_ = std::make_unique<Groups>(blocks(), k(), form_.d);
    groups_->debt = 0;
  }
  if (way_ == Way::kFew) move_gaps(centers);
  if (way_ != Way::kAll) groups_->centers.assign(centers.values(), centers.values() + k() * form_.d);
}

// Readies what the gaps change by in this step.
template <class T>
void PackedRows<T>::move_gaps(const Centers<T>& centers) {
  Groups& groups = *groups_;
  const size_t padded = groups.padded;
  for (size_t c = 0; c < k(); ++c) {
    for (size_t j = 0; j < form_.d; ++j) {
      const auto before = static_cast<double>(groups.centers[c * form_.d + j]);
      groups.before[j * padded + c] = before;
      groups.moved[j * padded + c] = static_cast<double>(centers.values()[c * form_.d + j]) - before;
    }
  }
  centers.kernels().packed_moves(groups.before.data(), groups.moved.data(), k(), padded, form_.d,
                                 static_cast<double>(form_.step), groups.paths.data(), groups.shifts.data(),
                                 groups.ways.data());
}

// Compares blocks of one section with all centers, and sorts their rows.
template <class T>
void PackedRows<T>::group(const Centers<T>& centers, size_t begin, size_t end, Slot& slot) {
  slot.seconds.resize(kSectionRows);
  for (size_t block = begin; block < end; ++block) {
    compare(centers, block, slot, &slot.seconds[(block - begin) * kPackedRows]);
  }
  settle(centers, slot);
  slot.changes.add(centers.kernels(), *totals_);
  sort_rows(begin * kPackedRows, std::min(n_, end * kPackedRows) - begin * kPackedRows, slot);
  for (size_t block = begin; block < end; ++block) form_group(block);
}

// Sorts `count` rows of a section from a position on by their nearest two centers.
template <class T>
void PackedRows<T>::sort_rows(size_t first, size_t count, Slot& slot) {
  const size_t k = panels_.k, pairs = form_.pairs;
  slot.ends.assign(k * k + 1, 0);
  slot.from.resize(count);
  const auto key = [&](size_t i) {
    return static_cast<size_t>(labels_[first + i]) * k + static_cast<size_t>(slot.seconds[i]);
  };
  for (size_t i = 0; i < count; ++i) ++slot.ends[key(i) + 1];
  std::partial_sum(slot.ends.begin(), slot.ends.end(), slot.ends.begin());
  for (size_t i = 0; i < count; ++i) slot.from[slot.ends[key(i)]++] = static_cast<uint32_t>(i);

  const size_t block = first / kPackedRows, values = (count + kPackedRows - 1) / kPackedRows * kPackedRows;
  slot.section_rows.assign(packed(block), packed(block) + values * pairs * 2);
  slot.section_numbers.assign(&numbers_[first * 2], &numbers_[first * 2] + values * 2);
  slot.section_labels.assign(&labels_[first], &labels_[first] + count);
  uint16_t* const order = &groups_->order[first];
  if (!groups_->ordered) std::iota(order, order + count, static_cast<uint16_t>(first % kSectionRows));
  slot.section_order.assign(order, order + count);
  for (size_t i = 0; i < count; i += kPackedLanes) {
    const size_t lanes = std::min(kPackedLanes, count - i);
    int16_t* const to = packed(block) + i * pairs * 2;
    float* const numbers = &numbers_[(first + i) * 2];
    for (size_t lane = 0; lane < lanes; ++lane) {
      const size_t from = slot.from[i + lane], from_lane = from % kPackedLanes;
      const int16_t* const row = &slot.section_rows[((from - from_lane) * pairs + from_lane) * 2];
      for (size_t p = 0; p < pairs; ++p) memcpy(to + (p * kPackedLanes + lane) * 2, row + p * kPackedLanes * 2, 4);
      const float* const number = &slot.section_numbers[(from - from_lane) * 2 + from_lane];
      numbers[lane] = number[0];
      numbers[lane + kPackedLanes] = number[kPackedLanes];
      labels_[first + i + lane] = slot.section_labels[from];
      order[i + lane] = slot.section_order[from];
    }
  }
}

// A block that was sorted: no gap is known yet.
template <class T>
void PackedRows<T>::form_group(size_t block) {
  Groups& groups = *groups_;
  const size_t first = block * kPackedRows, count = rows_of(block), padded = groups.padded;
  const int32_t owner = labels_[first + count / 2];
  uint64_t strays = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t lane = i % kPackedLanes;
    const bool fits = std::isfinite(numbers_[(first + i - lane) * 2 + lane]);
    strays |= uint64_t{labels_[first + i] != owner || !fits ? 1u : 0u} << i;
  }
  groups.owners[block] = owner;
  groups.strays[block] = strays;
  groups.movers[block] = 0;
  groups.radius[block] = 0;
  float* const gaps = &groups.gaps[block * padded];
  std::fill_n(gaps, padded, kUnknown);
}

// Compares sorted blocks with the centers that their gaps do not rule out.
template <class T>
void PackedRows<T>::compare_few(const Centers<T>& centers, size_t begin, size_t end, Slot& slot) {
  for (size_t block = begin; block < end; ++block) list_needs(centers.kernels(), block, slot);
  for (size_t block = begin; block < end; ++block) {
    for_bits(groups_->strays[block], [&](size_t i) {
      set_aside(block * kPackedRows + i, slot);
      if (slot.strays == kPackedRows) compare_strays(centers, slot);
    });
    compare_needs(centers, block, slot);
  }
}

// Lists the centers that a block needs, its own first, and asks for its rows where it is going to read them.
template <class T>
void PackedRows<T>::list_needs(const Kernels& kernels, size_t block, Slot& slot) {
  auto& needs = slot.needs[block % kFewBlocks];
  Groups& groups = *groups_;
  const auto owner = static_cast<size_t>(groups.owners[block]);
  needs.names[0] = groups.owners[block];
  const size_t of_owner = owner * groups.padded;
  needs.count = 1 + kernels.packed_needs(&groups.gaps[block * groups.padded], &groups.shifts[of_owner],
                                         &groups.ways[of_owner], groups.radius[block], owner, k(), &needs.names[1]);
  const double path = groups.paths[owner] / static_cast<double>(form_.step) * (1 + 0x1p-30);
  groups.radius[block] = rounded_up(static_cast<double>(groups.radius[block]) + path);
  if (needs.count == 1 && groups.strays[block] == 0) return;
  fetch(packed(block), kPackedRows * form_.pairs * 4);
  fetch(&numbers_[block * kPackedRows * 2], kPackedRows * 8);
  fetch(&labels_[block * kPackedRows], kPackedRows * 4);
  fetch(&groups.order[block * kPackedRows], kPackedRows * 2);
}

template <class T>
void PackedRows<T>::compare_needs(const Centers<T>& centers, size_t block, Slot& slot) {
  const auto& needs = slot.needs[block % kFewBlocks];
  const Kernels& kernels = centers.kernels();
  Groups& groups = *groups_;
  const uint64_t rows = first_bits(rows_of(block)) & ~groups.strays[block], movers = groups.movers[block] & rows;
  if ((needs.count == 1 && movers == 0) || rows == 0) return;
  const float* numbers = &numbers_[block * kPackedRows * 2];
  PackedFound found;
  kernels.packed_few(form_, panels_, needs.names.data(), needs.count, packed(block), numbers, slot.values.data(),
                     found);
  found.changed |= movers;  // which may have come back
  take(block, rows, found, needs.names.data(), slot);
  kernels.packed_gaps(panels_, slot.values.data(), needs.count, rows, numbers, slot.gaps.data(), &groups.radius[block]);
  float* const gaps = &groups.gaps[block * groups.padded];
  for (size_t i = 1; i < needs.count; ++i) gaps[needs.names[i]] = slot.gaps[i];
  slot.done.opened += static_cast<double>(kPackedRows * (needs.count + kBlockWork / (form_.pairs + 4)));
}

template <class T>
void PackedRows<T>::set_aside(size_t position, Slot& slot) {
  const size_t place = slot.strays++, lane = place % kPackedLanes, pairs = form_.pairs;
  const size_t from = position % kPackedLanes;
  int16_t* to = &slot.stray_rows[((place - lane) * pairs + lane) * 2];
  const int16_t* row = packed_.get() + ((position - from) * pairs + from) * 2;
  for (size_t p = 0; p < pairs; ++p) memcpy(to + p * kPackedLanes * 2, row + p * kPackedLanes * 2, 2 * sizeof *to);
  float* number = &slot.stray_numbers[(place - lane) * 2 + lane];
  number[0] = numbers_[(position - from) * 2 + from];
  number[kPackedLanes] = numbers_[(position - from) * 2 + from + kPackedLanes];
  slot.stray_labels[place] = labels_[position];
  slot.stray_positions[place] = position;
}

template <class T>
void PackedRows<T>::compare_strays(const Centers<T>& centers, Slot& slot) {
  const uint64_t rows = first_bits(slot.strays);
  if (rows == 0) return;
  PackedFound found;
  centers.kernels().packed_labels(form_, panels_, slot.stray_rows.data(), slot.stray_numbers, slot.stray_labels, found);
  for_bits(found.open & rows, [&](size_t i) { slot.open.push_back(slot.stray_positions[i]); });
  for_bits(found.changed & ~found.open & rows,
           [&](size_t i) { relabel(slot.stray_positions[i], found.labels[i], slot); });
  slot.done.opened += static_cast<double>(slot.strays * panels_.k) * kPriceOfStray;
  slot.strays = 0;
}

template std::vector<int32_t> PackedRows<float>::labels() const;
template size_t PackedRows<float>::row_of(size_t) const;
template void PackedRows<float>::choose_way(const Centers<float>&);
template void PackedRows<float>::group(const Centers<float>&, size_t, size_t, Slot&);
template void PackedRows<float>::compare_few(const Centers<float>&, size_t, size_t, Slot&);
template void PackedRows<float>::compare_strays(const Centers<float>&, Slot&);
template std::vector<int32_t> PackedRows<double>::labels() const;
template size_t PackedRows<double>::row_of(size_t) const;
template void PackedRows<double>::choose_way(const Centers<double>&);
template void PackedRows<double>::group(const Centers<double>&, size_t, size_t, Slot&);
template void PackedRows<double>::compare_few(const Centers<double>&, size_t, size_t, Slot&);
template void PackedRows<double>::compare_strays(const Centers<double>&, Slot&);

}  // namespace macqueen
