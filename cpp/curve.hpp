// Rows along Hilbert's curve: neighbours on it are neighbours in space, without the leaps of a Z-order, so that rows
// cut from it into boxes of even count make small boxes. Any order would give the same results.
//
// The place of a cell on the curve by Skilling's transposition ("Programming the Hilbert curve", 2004): the bits of its
// coordinates, highest first, are reflected and swapped according to those above them; interleaved, they are the place.
#pragma once

#include "boxes.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

constexpr size_t kCellLanes = kWidth < 4 ? 4 : kWidth;
typedef uint32_t Cells __attribute__((vector_size(kCellLanes * sizeof(uint32_t))));
static_assert(kBoxRows % kCellLanes == 0);

// Runs of `run` bits, `period` apart.
constexpr uint32_t runs(unsigned run, unsigned period) {
  uint32_t bits = 0;
  for (unsigned b = 0; b < 32; ++b) bits |= uint32_t{b % period < run} << b;
  return bits;
}

// D - 1 zeros between the bits of a number below 2^16.
template <size_t D>
inline Cells spread(Cells cell) {
  constexpr uint32_t kRuns[4] = {runs(8, 8 * D), runs(4, 4 * D), runs(2, 2 * D), runs(1, D)};
  if constexpr (8 * (D - 1) < 32) cell = (cell | (cell << (8 * (D - 1)))) & kRuns[0];
  cell = (cell | (cell << (4 * (D - 1)))) & kRuns[1];
  cell = (cell | (cell << (2 * (D - 1)))) & kRuns[2];
  return (cell | (cell << (D - 1))) & kRuns[3];
}

// Two vectors at a time: each operation waits for the one before.
template <size_t D>
inline void curve_place(Cells (&x)[D][2], unsigned bits, Cells (&place)[2]) {
  for (uint32_t bit = uint32_t{1} << (bits - 1); bit > 1; bit /= 2) {
    const uint32_t below = bit - 1;
    for (size_t j = 0; j < D; ++j) {
      for (size_t v = 0; v < 2; ++v) {
        const Cells swapped = (x[0][v] ^ x[j][v]) & below;
        const auto set = (x[j][v] & bit) != 0;
        x[0][v] ^= set ? Cells{} + below : swapped;
        x[j][v] ^= set ? Cells{} : swapped;
      }
    }
  }
  for (size_t v = 0; v < 2; ++v) {
    for (size_t j = 1; j < D; ++j) x[j][v] ^= x[j - 1][v];
    Cells flipped = {};
    for (uint32_t bit = uint32_t{1} << (bits - 1); bit > 1; bit /= 2) {
      flipped ^= (x[D - 1][v] & bit) != 0 ? Cells{} + (bit - 1) : Cells{};
    }
    place[v] = Cells{};
    for (size_t j = 0; j < D; ++j) place[v] |= spread<D>(x[j][v] ^ flipped) << (D - 1 - j);
  }
}

// Which lanes of D vectors of numbers, row by row, are of axis j: vector by vector those to take from it, and those
// taken before, in the words of a shuffle of two vectors.
template <size_t D>
struct AxisLanes {
  uint32_t from[D][D][kCellLanes];  // (axes, vectors, lanes)

  constexpr AxisLanes() : from() {
    for (size_t j = 0; j < D; ++j) {
      for (size_t v = 0; v < D; ++v) {
        for (size_t l = 0; l < kCellLanes; ++l) {
          const size_t at = l * D + j;
          from[j][v][l] = static_cast<uint32_t>(at / kCellLanes == v ? kCellLanes + at % kCellLanes : l);
        }
      }
    }
  }
};

template <size_t D>
inline Cells axis_of(const Cells* numbers, size_t j) {
  static constexpr AxisLanes<D> kLanesOf;
  Cells axis = numbers[0];
  for (size_t v = 0; v < D; ++v) {
    Cells from;
    memcpy(&from, kLanesOf.from[j][v], sizeof from);
    axis = __builtin_shuffle(axis, numbers[v], from);
  }
  return axis;
}

constexpr size_t kAxisRows = 2 * kCellLanes;

// Rows on a grid: the coordinate of x along axis j is (x - low[j]) * scale[j].
template <class T, size_t D>
struct RowAxes {
  using S = Side<T>;
  T lows[D * S::kLanes], scales[D * S::kLanes];  // as many rows as there are lanes are D whole vectors

  RowAxes(const T* low, const T* scale) {
    for (size_t i = 0; i < D * S::kLanes; ++i) {
      lows[i] = low[i % D];
      scales[i] = scale[i % D];
    }
  }

  // Whole coordinates x of up to kAxisRows rows (n, D), after `within` has brought them into the range of integers.
  template <class Within>
  void find(const T* rows, size_t n, Cells (&x)[D][2], const Within& within) const {
    T last[D * kAxisRows];
    if (n < kAxisRows) {
      memset(last, 0, sizeof last);
      memcpy(last, rows, n * D * sizeof(T));
      rows = last;
    }
    T along[D * kAxisRows];
    for (size_t v = 0; v < D * kAxisRows; v += S::kLanes) {
      const size_t at = v % (D * S::kLanes);
      store(along + v, within((load(rows + v) - load(lows + at)) * load(scales + at)));
    }
    int32_t whole[D * kAxisRows];
    for (size_t v = 0; v < D * kAxisRows; ++v) whole[v] = static_cast<int32_t>(along[v]);
    Cells numbers[D * 2];
    memcpy(numbers, whole, sizeof numbers);
    for (size_t j = 0; j < D; ++j) {
      for (size_t v = 0; v < 2; ++v) x[j][v] = axis_of<D>(numbers + v * D, j);
    }
  }
};

template <class T, size_t D>
void curve_places_of(const T* rows, size_t n, const T* low, const T* scale, unsigned bits, uint32_t* places) {
  using S = Side<T>;
  using Values = typename S::Values;
  const Values most = S::all(static_cast<T>((uint32_t{1} << bits) - 1)), least = S::all(T{0});
  const RowAxes<T, D> axes(low, scale);
  for (size_t i = 0; i < n; i += kAxisRows) {
    const size_t count = n - i < kAxisRows ? n - i : kAxisRows;
    Cells x[D][2], place[2];
    axes.find(rows + i * D, count, x, [&](Values along) {
      const Values below = choose_below(along, most, along, most);  // what is no number goes to the last cell
      return choose_below(least, below, below, least);
    });
    if constexpr (D == 1) {
      memcpy(place, x[0], sizeof place);
    } else {
      curve_place<D>(x, bits, place);
    }
    memcpy(places + i, place, count * sizeof(uint32_t));
  }
}

// Sorts few entries by counting, for each, those below it.
inline void order_few(const uint64_t* entries, size_t n, unsigned bits, uint32_t* order) {
  constexpr unsigned kNumberBits = 5;  // of an entry among the few, below its place: ties keep their order
  static_assert(kFewEntries == size_t{1} << kNumberBits);
  typedef int32_t Keys __attribute__((vector_size(kCellLanes * sizeof(int32_t))));
  constexpr size_t kVectors = kFewEntries / kCellLanes;
  constexpr unsigned kKeyBits = 31 - kNumberBits;
  const unsigned drop = bits > kKeyBits ? bits - kKeyBits : 0;
  const uint64_t mask = (uint64_t{1} << bits) - 1;
  int32_t keys[kFewEntries] = {}, ranks[kFewEntries];
  for (size_t i = 0; i < n; ++i) {
    keys[i] = static_cast<int32_t>(((entries[i] >> 32 & mask) >> drop) << kNumberBits | i);
  }
  const size_t vectors = (n + kCellLanes - 1) / kCellLanes;
  Keys own[kVectors], below[kVectors] = {};
  memcpy(own, keys, sizeof own);
  for (size_t i = 0; i < n; ++i) {
    for (size_t v = 0; v < vectors; ++v) below[v] -= Keys{} + keys[i] < own[v];
  }
  memcpy(ranks, below, sizeof ranks);
  for (size_t i = 0; i < n; ++i) order[ranks[i]] = static_cast<uint32_t>(entries[i]);
}

template <class T, size_t D>
void fill_box_of(const T* rows, const uint32_t* order, size_t n, T* columns, T* low, T* high) {
  for (size_t i = 0; i < n; ++i) {
    const T* row = rows + order[i] * D;
    for (size_t j = 0; j < D; ++j) columns[j * kBoxRows + i] = row[j];
  }
  for (size_t j = 0; j < D; ++j) {
    for (size_t i = n; i < kBoxRows; ++i) columns[j * kBoxRows + i] = columns[j * kBoxRows + n - 1];
    using S = Side<T>;
    typename S::Values least = load(columns + j * kBoxRows), most = least;
    for (size_t i = S::kLanes; i < kBoxRows; i += S::kLanes) {
      least = minimum(load(columns + j * kBoxRows + i), least);
      most = maximum(load(columns + j * kBoxRows + i), most);
    }
    T lows[S::kLanes], highs[S::kLanes];
    store(lows, least);
    store(highs, most);
    for (size_t l = 1; l < S::kLanes; ++l) {
      lows[0] = lows[l] < lows[0] ? lows[l] : lows[0];
      highs[0] = highs[l] > highs[0] ? highs[l] : highs[0];
    }
    low[j] = lows[0];
    high[j] = highs[0];
  }
}

template <class T>
void curve_places(const T* rows, size_t n, size_t d, const T* low, const T* scale, unsigned bits, uint32_t* places) {
  using Function = void (*)(const T*, size_t, const T*, const T*, unsigned, uint32_t*);
  static constexpr Function kFunctions[kMostBoxDims] = {
      curve_places_of<T, 1>, curve_places_of<T, 2>, curve_places_of<T, 3>, curve_places_of<T, 4>,
      curve_places_of<T, 5>, curve_places_of<T, 6>, curve_places_of<T, 7>, curve_places_of<T, 8>};
  kFunctions[d - 1](rows, n, low, scale, bits, places);
}

template <class T>
void fill_box(const T* rows, const uint32_t* order, size_t n, size_t d, T* columns, T* low, T* high) {
  using Function = void (*)(const T*, const uint32_t*, size_t, T*, T*, T*);
  static constexpr Function kFunctions[kMostBoxDims] = {fill_box_of<T, 1>, fill_box_of<T, 2>, fill_box_of<T, 3>,
                                                        fill_box_of<T, 4>, fill_box_of<T, 5>, fill_box_of<T, 6>,
                                                        fill_box_of<T, 7>, fill_box_of<T, 8>};
  kFunctions[d - 1](rows, order, n, columns, low, high);
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
