// PairBounds: rows that are compared with all centers in their copy of 8-bit integers.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "bits.hpp"
#include "fetch.hpp"
#include "pair_slot.hpp"

namespace macqueen {

// Compares the rows `open` of a block with all centers, labels them, and makes their bounds anew.
template <class T>
void PairBounds<T>::compare_copies(const Centers<T>& centers, size_t block, uint64_t open, Slot& slot) {
  const size_t first = block * kPairRows;
  ByteSlot& own = slot.copies;
  const ByteBlock rows = own.take(*copy_, first, open);
  centers.kernels().compare_bytes(copy_->grid(), copy_->centers(), rows);
  const uint64_t left = decide_left(centers, first, rows, slot);
  for (size_t i = 0; i < rows.count; ++i) {
    const size_t row = first + rows.places[i];
    const int32_t label = rows.nearest[i], before = labels_[row];
    if (label != before) {
      if (before >= 0) slot.changes.note(rows_ + row * d_, before, label);
      labels_[row] = label;
    }
    const auto name = static_cast<size_t>(label);
    own.own_squares[i] = rows.squares[name * kPairRows + i];
    own.own_errors[i] = copy_->centers().errors[name];
    own.own_paths[i] = paths_up_[name];
  }
  slot.done.opened += static_cast<double>(rows.count * centers.k());
  slot.done.read += static_cast<double>(std::popcount(left));
  slot.compared += static_cast<double>(rows.count);
  store_bounds(centers, block, rows, slot);
  if (left != 0) tighten_left(centers, block, rows, left, slot);
}

// Makes the bounds of the rows in `left` anew that their own distances give: those of the copy are wide where centers
// are close, and would leave these rows open in each step.
template <class T>
void PairBounds<T>::tighten_left(const Centers<T>& centers, size_t block, const ByteBlock& rows, uint64_t left,
                                 Slot& slot) {
  const size_t first = block * kPairRows, k = centers.k();
  uint8_t* const bounds = &bounds_[block * k * kPairRows];
  for (size_t i = 0; i < slot.count; ++i) {
    slot.bases[i] = bases_[first + slot.places[i]];
    slot.paths[i] = stored_[static_cast<size_t>(slot.names[i])];
  }
  centers.kernels().pair_bounds(slot.found.data(), slot.bases.data(), slot.paths.data(), slot.count, grid_,
                                slot.bytes.data());
  for (size_t i = 0; i < slot.count; ++i) {
    bounds[static_cast<size_t>(slot.names[i]) * kPairRows + slot.places[i]] = slot.bytes[i];
  }
  slot.count = 0;
  for_bits(left, [&](size_t i) {
    const auto own = static_cast<size_t>(rows.nearest[i]);
    bounds[own * kPairRows + rows.places[i]] = kOwnPair;
    slot.places[slot.count] = rows.places[i];
    slot.found[slot.count] = slot.squares[own * kPairRows + i];
    slot.paths[slot.count++] = paths_up_[own];
  });
  centers.kernels().pair_uppers(slot.found.data(), slot.paths.data(), slot.count, grid_, slot.results.data());
  for (size_t i = 0; i < slot.count; ++i) upper_[first + slot.places[i]] = slot.results[i];
}

// Decides those of the rows for which more than one center is left, by the rows themselves, and returns which. The
// pairs that this takes stay listed, with their squares.
template <class T>
uint64_t PairBounds<T>::decide_left(const Centers<T>& centers, size_t first, const ByteBlock& rows, Slot& slot) {
  uint64_t some = 0, left = 0;
  for (size_t c = 0; c < centers.k(); ++c) {
    left |= some & rows.needs[c];
    some |= rows.needs[c];
  }
  if (left == 0) return 0;
  std::fill(slot.lowest.begin(), slot.lowest.end(), std::numeric_limits<float>::infinity());
  std::fill(slot.second.begin(), slot.second.end(), std::numeric_limits<float>::infinity());
  slot.count = 0;
  uint32_t* const names = slot.copies.names;  // of each row, a bit for each center
  std::fill_n(names, rows.count, 0);
  for (size_t c = 0; c < centers.k(); ++c) {
    for_bits(rows.needs[c] & left, [&](size_t i) { names[i] |= uint32_t{1} << c; });
  }
  for_bits(left, [&](size_t i) {  // row by row: what was read stays near
    fetch(rows_ + (first + rows.places[i]) * d_, d_ * sizeof(T));
    for_bits(names[i], [&](size_t c) {
      slot.places[slot.count] = rows.places[i];
      slot.copies.positions[slot.count] = static_cast<uint8_t>(i);
      slot.names[slot.count++] = static_cast<int32_t>(c);
    });
  });
  row_kernels<T>(centers.kernels())
      .pair_squares(rows_ + first * d_, slot.places.data(), slot.names.data(), slot.count, centers.values(), d_,
                    slot.found.data());
  for (size_t i = 0; i < slot.count; ++i) {
    const size_t position = slot.copies.positions[i];
    slot.squares[static_cast<size_t>(slot.names[i]) * kPairRows + position] = slot.found[i];
    slot.take(position, slot.names[i], slot.found[i]);
  }
  for_bits(left,
           [&](size_t i) { rows.nearest[i] = nearest(centers, first + rows.places[i], i, slot.copies.needs, slot); });
  slot.undecided += static_cast<double>(std::popcount(left));
  return left;
}

// Stores the bounds that were found of some rows of a block.
template <class T>
void PairBounds<T>::store_bounds(const Centers<T>& centers, size_t block, const ByteBlock& rows, Slot& slot) {
  const size_t first = block * kPairRows, k = centers.k();
  ByteSlot& own = slot.copies;
  uint8_t* const bounds = &bounds_[block * k * kPairRows];
  const bool whole = rows.count == rows_of(block);  // then they lie where they belong
  const ByteBounds out{own.own_squares,
                       own.own_errors,
                       own.own_paths,
                       stored_.data(),
                       static_cast<float>(kUnitsBelow * unit_),
                       whole ? &upper_[first] : own.uppers,
                       whole ? &bases_[first] : own.bases,
                       whole ? bounds : own.bounds.data()};
  centers.kernels().byte_bounds(copy_->grid(), copy_->centers(), rows, grid_, out);
  for (size_t i = 0; i < rows.count; ++i) {
    const size_t place = rows.places[i];
    if (!whole) {
      upper_[first + place] = own.uppers[i];
      bases_[first + place] = own.bases[i];
      for (size_t c = 0; c < k; ++c) bounds[c * kPairRows + place] = own.bounds[c * kPairRows + i];
    }
    bounds[static_cast<size_t>(labels_[first + place]) * kPairRows + place] = kOwnPair;
  }
}

template void PairBounds<float>::compare_copies(const Centers<float>&, size_t, uint64_t, Slot&);
template void PairBounds<double>::compare_copies(const Centers<double>&, size_t, uint64_t, Slot&);

}  // namespace macqueen
