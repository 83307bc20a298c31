// PackedRows: a step over rows that lie sorted by their centers, whose blocks are compared with few.
#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "bits.hpp"
#include "fetch.hpp"
#include "packed_slot.hpp"
#include "rounding.hpp"

namespace macqueen {

namespace {

constexpr size_t kFewNeeds = 8;  // a share of the centers that is decided among in float64

}  // namespace

// Takes over the centers of this step.
template <class T>
void PackedRows<T>::move_centers(const Centers<T>& centers) {
  Groups& groups = *groups_;
  std::swap(groups.before, groups.now);
  for (size_t c = 0; c < k(); ++c) {
    double squares = 0;
    for (size_t j = 0; j < form_.d; ++j) {
      const size_t place = j * groups.padded + c;
      groups.now[place] = static_cast<double>(centers.values()[c * form_.d + j]);
      squares += (groups.now[place] - groups.before[place]) * (groups.now[place] - groups.before[place]);
    }
    groups.paths[c] = std::sqrt(squares);
  }
  groups.moves_known = way_ == Way::kGroup;  // there are no gaps yet that would have to follow
}

// Readies what gaps change by in this step.
template <class T>
void PackedRows<T>::move_gaps(Threads& threads, const Kernels& kernels) {
  if (std::exchange(groups_->moves_known, true)) return;
  const PackedMoves moves = groups_->moves(k(), form_);
  threads.run((k() + kPackedLanes - 1) / kPackedLanes, [&](int, size_t task) {
    const size_t first = task * kPackedLanes;
    kernels.packed_moves(moves, first, std::min(k(), first + kPackedLanes));
  });
}

// Compares sorted blocks with the centers that their gaps do not rule out, and the strays in them, center by center.
template <class T>
void PackedRows<T>::compare_few(const Centers<T>& centers, size_t begin, size_t end, Slot& slot) {
  for (size_t block = begin; block < end; ++block) list_needs(centers.kernels(), block, slot);
  for (size_t block = begin; block < end; ++block) {
    compare_needs(centers, block, slot);
    for (uint64_t strays = groups_->strays[block]; strays != 0;) {
      const auto first = static_cast<size_t>(std::countr_zero(strays));
      const int32_t label = labels_[block * kPackedRows + first];
      uint64_t rows = 0;
      for (size_t i = first; i < kPackedRows && (strays >> i & 1) != 0; ++i) {
        if (labels_[block * kPackedRows + i] != label) break;
        rows |= uint64_t{1} << i;
      }
      strays &= ~rows;
      compare_strays(centers, block, rows, slot);
    }
    for_bits(groups_->unfit[block], [&](size_t i) { slot.open.push_back(block * kPackedRows + i); });
  }
}

// Lists the centers that a block needs, its own first, and asks for its rows where it is going to read them.
template <class T>
void PackedRows<T>::list_needs(const Kernels& kernels, size_t block, Slot& slot) {
  auto& needs = slot.needs[block % kFewBlocks];
  Groups& groups = *groups_;
  const auto owner = static_cast<size_t>(groups.owners[block]);
  const double path = groups.paths[owner] / static_cast<double>(form_.step) * (1 + 0x1p-30);
  const float radius = groups.radius[block], reach = rounded_up(static_cast<double>(radius) + path);
  needs.names[0] = groups.owners[block];
  needs.count = 1 + kernels.packed_needs(groups.moves(k(), form_), owner, radius, reach,
                                         &groups.gaps[block * groups.padded], &needs.names[1]);
  groups.radius[block] = reach;
  if (needs.count == 1 && (groups.strays[block] | groups.unfit[block]) == 0) return;
  fetch(packed(block), kPackedRows * form_.pairs * 4);
  fetch(&numbers_[block * kPackedRows * 2], kPackedRows * 8);
  fetch(&labels_[block * kPackedRows], kPackedRows * 4);
  fetch(&groups.order[block * kPackedRows], kPackedRows * 2);
}

template <class T>
void PackedRows<T>::compare_needs(const Centers<T>& centers, size_t block, Slot& slot) {
  const auto& needs = slot.needs[block % kFewBlocks];
  Groups& groups = *groups_;
  const uint64_t rows = first_bits(rows_of(block)) & ~(groups.strays[block] | groups.unfit[block]);
  const uint64_t movers = groups.movers[block] & rows;
  if ((needs.count == 1 && movers == 0) || rows == 0) return;
  PackedFound found;
  centers.kernels().packed_few(form_, panels_, needs.names.data(), needs.count, packed(block),
                               &numbers_[block * kPackedRows * 2], rows, slot.gaps.data(), &groups.radius[block],
                               found);
  found.changed |= movers;  // which may have come back
  take_few(centers, block, rows, found, needs, slot);
  float* const gaps = &groups.gaps[block * groups.padded];
  for (size_t i = 1; i < needs.count; ++i) gaps[needs.names[i]] = slot.gaps[i];
  slot.done.opened += kPackedRows * work_of_few(static_cast<double>(needs.count), k(), form_.pairs);
}

// Strays of one center: how far they are from it tells which others are near.
template <class T>
void PackedRows<T>::compare_strays(const Centers<T>& centers, size_t block, uint64_t rows, Slot& slot) {
  const Kernels& kernels = centers.kernels();
  auto& needs = slot.needs[block % kFewBlocks];
  const float* const numbers = &numbers_[block * kPackedRows * 2];
  const int32_t own = labels_[block * kPackedRows + static_cast<size_t>(std::countr_zero(rows))];
  float radius = 0;
  PackedFound found;
  kernels.packed_few(form_, panels_, &own, 1, packed(block), numbers, rows, slot.gaps.data(), &radius, found);
  std::fill_n(slot.gaps.data(), groups_->padded, kUnknownGap);
  needs.names[0] = own;
  needs.count = 1 + kernels.packed_needs(groups_->moves(k(), form_), static_cast<size_t>(own), 0, radius,
                                         slot.gaps.data(), &needs.names[1]);
  if (needs.count > 1) {
    kernels.packed_few(form_, panels_, needs.names.data(), needs.count, packed(block), numbers, rows, slot.gaps.data(),
                       &radius, found);
    take_few(centers, block, rows, found, needs, slot);
  }
  const auto lanes = static_cast<double>(std::popcount(rows) + kPackedLanes) / kPackedRows;  // of a block
  slot.done.opened += kPackedRows * work_of_few(lanes * static_cast<double>(needs.count + 1), k(), form_.pairs);
}

// Takes over what was found for some rows of a block. Few centers are decided among at once where integers did not.
template <class T>
void PackedRows<T>::take_few(const Centers<T>& centers, size_t block, uint64_t rows, const PackedFound& found,
                             const Needs& needs, Slot& slot) {
  const uint64_t open = needs.count * kFewNeeds <= k() ? found.open & rows : 0;
  take(block, rows & ~open, found, needs.names.data(), slot);
  if (open == 0) return;
  slot.candidates.assign(needs.names.begin(), needs.names.begin() + static_cast<std::ptrdiff_t>(needs.count));
  std::sort(slot.candidates.begin(), slot.candidates.end());
  const auto decide = row_kernels<T>(centers.kernels()).decide;
  for_bits(open, [&](size_t i) {
    const size_t position = block * kPackedRows + i;
    const T* x = rows_ + row_of(position) * form_.d;
    relabel(position, decide(x, centers.values(), form_.d, slot.candidates.data(), needs.count), slot);
  });
  slot.done.hard += static_cast<double>(std::popcount(open) * needs.count) / static_cast<double>(k());
}

template void PackedRows<float>::move_centers(const Centers<float>&);
template void PackedRows<float>::move_gaps(Threads&, const Kernels&);
template void PackedRows<float>::compare_few(const Centers<float>&, size_t, size_t, Slot&);
template void PackedRows<double>::move_centers(const Centers<double>&);
template void PackedRows<double>::move_gaps(Threads&, const Kernels&);
template void PackedRows<double>::compare_few(const Centers<double>&, size_t, size_t, Slot&);

}  // namespace macqueen
