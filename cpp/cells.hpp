// Rows among cells with lists of centers (cpp/center_cells.hpp): each row is compared with the centers of its cell.
//
// The lowest computed square is that of the nearest center if all others are above it by 2 (d + 8) u times the sum of
// both, and kTiny (cpp/boxes.hpp). With p = (d + 8) u that is s (1 - 2p) > l (1 + 2p) + kTiny, which follows from
// s > l (1 + 5p) + 2 kTiny, rounding included. Other rows are decided in float64 and exactly, among the list.
#pragma once

#include "curve.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

template <class T>
inline T lowest_lane(typename Side<T>::Values values) {
  if constexpr (sizeof(T) == 4) return lowest_of(values);
  T lanes[Side<T>::kLanes];
  store(lanes, values);
  T lowest = lanes[0];
  for (size_t l = 1; l < Side<T>::kLanes; ++l) lowest = lanes[l] < lowest ? lanes[l] : lowest;
  return lowest;
}

// The nearest of the centers of a cell.
template <class T, size_t D>
inline int32_t nearest_listed(const T* row, const CellNode& node, const CellTable<T>& table, const T* centers) {
  using S = Side<T>;
  using Values = typename S::Values;
  const auto count = static_cast<size_t>(node.count), first = static_cast<size_t>(node.first) * kCellCenters;
  const T* columns = table.columns + first * D;
  Values lowest = S::all(static_cast<T>(__builtin_inff())), second = lowest;
  typename S::Indices index = S::indices(0);
  for (size_t c = 0; c < count; c += kCellCenters, columns += D * kCellCenters) {
    for (size_t l = 0; l < kCellCenters; l += S::kLanes) {
      Values sum = S::all(row[0]) - load(columns + l);
      sum = sum * sum;
      for (size_t j = 1; j < D; ++j) {
        const Values difference = S::all(row[j]) - load(columns + j * kCellCenters + l);
        sum = multiply_add(difference, difference, sum);
      }
      second = minimum(second, maximum(lowest, sum));
      index = select_below(sum, lowest, S::indices(c + l), index);
      lowest = minimum(sum, lowest);
    }
  }
  constexpr T kPart = static_cast<T>(D + 8) * S::kRounding;
  const T limit = lowest_lane<T>(lowest) * (1 + 5 * kPart) + 2 * S::kTiny;
  const uint32_t near = at_most_mask(lowest, S::all(limit)), next = at_most_mask(second, S::all(limit));
  const int32_t* names = table.names + first;
  // What overflows compares as infinite: it is above half of the largest number.
  if (!kChecked || ((near & (near - 1)) == 0 && next == 0 && limit <= S::kLargest / 2)) {
    int32_t indices[S::kLanes];
    store_indices(indices, index);
    const auto lane = static_cast<size_t>(__builtin_ctz(near));
    return names[static_cast<size_t>(indices[lane]) + lane];
  }
  return decide(row, centers, D, names, count);
}

template <class T, size_t D>
size_t cell_labels_of(const T* rows, size_t n, const CellTable<T>& table, const T* centers, int32_t* labels,
                      size_t* looked_at) {
  using S = Side<T>;
  using Values = typename S::Values;
  const Values cells = S::all(static_cast<T>(uint32_t{1} << table.bits)), zero = S::all(T{0}), none = S::all(T{-1});
  const RowAxes<T, D> axes(table.low, table.scale);
  size_t open = 0;
  for (size_t i = 0; i < n; i += kAxisRows) {
    const size_t count = n - i < kAxisRows ? n - i : kAxisRows;
    Cells x[D][2], code[2] = {}, outside[2] = {};
    axes.find(rows + i * D, count, x, [&](Values along) {
      const Values below = choose_below(along, cells, along, none);  // what is no number is outside, too
      return choose_below(below, zero, none, below);
    });
    for (size_t v = 0; v < 2; ++v) {
      for (size_t j = 0; j < D; ++j) {
        outside[v] |= x[j][v] >> 31;
        code[v] |= spread<D>(x[j][v] & 0xffff) << (D - 1 - j);
      }
    }
    uint32_t codes[kAxisRows], outsides[kAxisRows];
    memcpy(codes, code, sizeof codes);
    memcpy(outsides, outside, sizeof outsides);
    for (size_t r = 0; r < count; ++r) {
      if (outsides[r] != 0) {
        labels[i + r] = -1;
        ++open;
        continue;
      }
      unsigned shift = static_cast<unsigned>(D) * (table.bits - table.top_bits);
      const CellNode* node = &table.nodes[table.tops[codes[r] >> shift]];
      while (node->inner >= 0) {
        shift -= D;
        node = &table.nodes[static_cast<size_t>(node->inner) + (codes[r] >> shift & ((uint32_t{1} << D) - 1))];
      }
      labels[i + r] = nearest_listed<T, D>(rows + (i + r) * D, *node, table, centers);
      *looked_at += static_cast<size_t>(node->count);
    }
  }
  return open;
}

template <class T>
size_t cell_labels(const T* rows, size_t n, const CellTable<T>& table, const T* centers, int32_t* labels,
                   size_t* looked_at) {
  using Function = size_t (*)(const T*, size_t, const CellTable<T>&, const T*, int32_t*, size_t*);
  static constexpr Function kFunctions[kMostBoxDims] = {
      cell_labels_of<T, 1>, cell_labels_of<T, 2>, cell_labels_of<T, 3>, cell_labels_of<T, 4>,
      cell_labels_of<T, 5>, cell_labels_of<T, 6>, cell_labels_of<T, 7>, cell_labels_of<T, 8>};
  return kFunctions[table.d - 1](rows, n, table, centers, labels, looked_at);
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
