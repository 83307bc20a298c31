// PairBounds: the distances of a block that a step needs, and what follows from them for labels and bounds.
#include <algorithm>
#include <cmath>
#include <limits>

#include "bits.hpp"
#include "pair_slot.hpp"

namespace macqueen {

namespace {

constexpr int kManyRows = 4;  // of a block that need a center: all are compared with it, in a few vectors

}  // namespace

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
    const int32_t label = nearest(centers, first + place, place, slot.needs, slot);
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

// The nearest center of a row, among those that are computed: `needs` and squares at `place` say which.
template <class T>
int32_t PairBounds<T>::nearest(const Centers<T>& centers, size_t row, size_t place, const std::vector<uint64_t>& needs,
                               Slot& slot) {
  const float limit = slot.lowest[place] * (1 + 3 * grid_.relative) + 3 * grid_.absolute;
  if (slot.second[place] > limit) return slot.index[place];
  size_t count = 0;
  for (size_t c = 0; c < centers.k(); ++c) {
    if ((needs[c] >> place & 1) == 0 || slot.squares[c * kPairRows + place] > limit) continue;
    slot.candidates[count++] = static_cast<int32_t>(c);
  }
  slot.done.candidates += static_cast<double>(count);
  return row_kernels<T>(centers.kernels())
      .decide(rows_ + row * d_, centers.values(), d_, slot.candidates.data(), count);
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

template void PairBounds<float>::tighten(const Centers<float>&, size_t, uint64_t, Slot&);
template void PairBounds<float>::compare(const Centers<float>&, size_t, uint64_t, bool, Slot&);
template int32_t PairBounds<float>::nearest(const Centers<float>&, size_t, size_t, const std::vector<uint64_t>&, Slot&);
template void PairBounds<float>::refresh_columns(const Centers<float>&, size_t, Slot&);
template void PairBounds<double>::tighten(const Centers<double>&, size_t, uint64_t, Slot&);
template void PairBounds<double>::compare(const Centers<double>&, size_t, uint64_t, bool, Slot&);
template int32_t PairBounds<double>::nearest(const Centers<double>&, size_t, size_t, const std::vector<uint64_t>&,
                                             Slot&);
template void PairBounds<double>::refresh_columns(const Centers<double>&, size_t, Slot&);

}  // namespace macqueen
