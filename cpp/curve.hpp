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

template <size_t D>
inline Cells curve_place(Cells* x, unsigned bits) {
  for (uint32_t bit = uint32_t{1} << (bits - 1); bit > 1; bit /= 2) {
    const uint32_t below = bit - 1;
    for (size_t j = 0; j < D; ++j) {
      const Cells swapped = (x[0] ^ x[j]) & below;
      const auto set = (x[j] & bit) != 0;
      x[0] ^= set ? Cells{} + below : swapped;
      x[j] ^= set ? Cells{} : swapped;
    }
  }
  for (size_t j = 1; j < D; ++j) x[j] ^= x[j - 1];
  Cells flipped = {};
  for (uint32_t bit = uint32_t{1} << (bits - 1); bit > 1; bit /= 2) {
    flipped ^= (x[D - 1] & bit) != 0 ? Cells{} + (bit - 1) : Cells{};
  }
  Cells place = {};
  for (size_t j = 0; j < D; ++j) place |= spread<D>(x[j] ^ flipped) << (D - 1 - j);
  return place;
}

template <class T, size_t D>
void curve_places_of(const T* rows, size_t n, const double* low, const double* scale, unsigned bits, uint32_t* places) {
  for (size_t i = 0; i < n; i += kCellLanes) {
    const size_t count = n - i < kCellLanes ? n - i : kCellLanes;
    uint32_t cells[D][kCellLanes] = {};
    for (size_t j = 0; j < D; ++j) {
      for (size_t l = 0; l < count; ++l) {
        const double along = (static_cast<double>(rows[(i + l) * D + j]) - low[j]) * scale[j];
        cells[j][l] = static_cast<uint32_t>(static_cast<int32_t>(along));
      }
    }
    Cells x[D];
    memcpy(x, cells, sizeof x);
    Cells place = x[0];
    if constexpr (D > 1) place = curve_place<D>(x, bits);
    memcpy(places + i, &place, count * sizeof(uint32_t));
  }
}

template <class T, size_t D>
void extremes_of(const T* rows, size_t n, T* low, T* high) {
  using S = Side<T>;
  T lows[D * S::kLanes], highs[D * S::kLanes];
  for (size_t j = 0; j < D; ++j) low[j] = high[j] = rows[j];
  size_t i = 0;
  if (n > S::kLanes) {  // as many rows as there are lanes are D whole vectors
    typename S::Values least[D], most[D];
    for (size_t v = 0; v < D; ++v) least[v] = most[v] = load(rows + v * S::kLanes);
    for (; i + S::kLanes <= n; i += S::kLanes) {
      for (size_t v = 0; v < D; ++v) {
        const typename S::Values x = load(rows + i * D + v * S::kLanes);
        least[v] = minimum(x, least[v]);
        most[v] = maximum(x, most[v]);
      }
    }
    for (size_t v = 0; v < D; ++v) {
      store(lows + v * S::kLanes, least[v]);
      store(highs + v * S::kLanes, most[v]);
    }
    for (size_t l = 0; l < D * S::kLanes; ++l) {
      low[l % D] = lows[l] < low[l % D] ? lows[l] : low[l % D];
      high[l % D] = highs[l] > high[l % D] ? highs[l] : high[l % D];
    }
  }
  for (; i < n; ++i) {
    for (size_t j = 0; j < D; ++j) {
      low[j] = rows[i * D + j] < low[j] ? rows[i * D + j] : low[j];
      high[j] = rows[i * D + j] > high[j] ? rows[i * D + j] : high[j];
    }
  }
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
void curve_places(const T* rows, size_t n, size_t d, const double* low, const double* scale, unsigned bits,
                  uint32_t* places) {
  using Function = void (*)(const T*, size_t, const double*, const double*, unsigned, uint32_t*);
  static constexpr Function kFunctions[kMostBoxDims] = {
      curve_places_of<T, 1>, curve_places_of<T, 2>, curve_places_of<T, 3>, curve_places_of<T, 4>,
      curve_places_of<T, 5>, curve_places_of<T, 6>, curve_places_of<T, 7>, curve_places_of<T, 8>};
  kFunctions[d - 1](rows, n, low, scale, bits, places);
}

template <class T>
void extremes(const T* rows, size_t n, size_t d, T* low, T* high) {
  using Function = void (*)(const T*, size_t, T*, T*);
  static constexpr Function kFunctions[kMostBoxDims] = {extremes_of<T, 1>, extremes_of<T, 2>, extremes_of<T, 3>,
                                                        extremes_of<T, 4>, extremes_of<T, 5>, extremes_of<T, 6>,
                                                        extremes_of<T, 7>, extremes_of<T, 8>};
  kFunctions[d - 1](rows, n, low, high);
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
