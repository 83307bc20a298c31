// Exact sums of the rows of a box that came to a cluster or left it: most rows of a box share a few clusters, so that
// whole columns are added up on the grids (cpp/accumulate.hpp) before a cell is touched.
//
// Weights are below 2^16, so that those of a box count for at most 2^22 rows: a grid that is made for these holds sums
// of its rows, times their weights (cpp/grid_buffer.hpp).
#pragma once

#include "accumulate.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

// Adds values of a column (kBoxRows,), times their weights and sign, to a cell. False, and nothing is done, where two
// grids cannot hold them.
template <class T>
inline bool add_column(const T* column, uint64_t rows, const int32_t* weights, int64_t sign, size_t cell,
                       SumBuffer& s) {
  const double coarse = s.shifts[0], fine = s.shifts[1], limit = s.limit;
  const auto coarse_base = static_cast<uint64_t>(bits_of(coarse)), fine_base = static_cast<uint64_t>(bits_of(fine));
  constexpr uint64_t kBits[kDoubleLanes] = {1, 2, 4, 8, 16, 32, 64, 128};
  const Longs bits = load_as<Longs>(kBits);
  Longs first = {}, second = {}, unfit = {};
  for (size_t i = 0; i < kBoxRows; i += kDoubleLanes, rows >>= kDoubleLanes) {
    const Longs taken = nonzero(bits & (rows & 255));
    const Doubles x = as_doubles(as_longs(load_doubles(column + i)) & taken);
    const Doubles t = x + coarse, rest = x - (t - coarse), u = rest + fine, left = rest - (u - fine);
    unfit |= reaches(absolute(x), limit) | nonzero(left);
    Longs large = as_longs(t) - coarse_base, small = as_longs(u) - fine_base;
    if (weights != nullptr) {
      const Longs times = load_as<Longs>(weights + i);
      large *= times;
      small *= times;
    }
    first += large;
    second += small;
  }
  if (any_set(unfit)) return false;
  int64_t large = 0, small = 0;
  for (size_t l = 0; l < kDoubleLanes; ++l) {
    large += static_cast<int64_t>(first[l]);
    small += static_cast<int64_t>(second[l]);
  }
  s.levels[0][cell] += sign * large;
  if (small == 0) return true;
  s.levels[1][cell] += sign * small;
  s.used = s.used > 2 ? s.used : 2;
  return true;
}

// The same value by value; a weight goes power of two by power of two, which are exact.
template <class T>
inline void add_values(const T* column, uint64_t rows, const int32_t* weights, double sign, size_t cell, SumBuffer& s) {
  for (; rows != 0; rows &= rows - 1) {
    const auto i = static_cast<size_t>(__builtin_ctzll(rows));
    for (int32_t rest = weights == nullptr ? 1 : weights[i]; rest != 0; rest &= rest - 1) {
      const double value = sign * static_cast<double>(rest & -rest) * static_cast<double>(column[i]);
      add_any_row(&value, 1, cell, s);
    }
  }
}

// Adds a row of a box, times a weight and a sign, to a cluster, and takes it off another where that is not negative.
template <class T>
inline void move_row(const T* columns, size_t d, size_t i, const int32_t* weights, int64_t sign, int32_t before,
                     int32_t after, int64_t* counts, SumBuffer& s) {
  const double shift = s.shifts[0];
  const int64_t times = sign * (weights == nullptr ? 1 : weights[i]);
  const auto base = static_cast<uint64_t>(bits_of(shift)), unsigned_times = static_cast<uint64_t>(times);
  const size_t from = static_cast<size_t>(before) * d, to = static_cast<size_t>(after) * d;
  int64_t steps[kMostBoxDims];
  bool fits = kChecked;
  for (size_t j = 0; j < d; ++j) {
    const double x = static_cast<double>(columns[j * kBoxRows + i]), t = x + shift;
    steps[j] =
        static_cast<int64_t>((static_cast<uint64_t>(bits_of(t)) - base) * unsigned_times);  // may overflow: unfit
    fits &= (x - (t - shift) == 0) & (x < s.limit) & (x > -s.limit);
  }
  counts[after] += times;
  for (size_t j = 0; j < d; ++j) {
    if (fits) {
      s.levels[0][to + j] += steps[j];
    } else {
      add_values(columns + j * kBoxRows, uint64_t{1} << i, weights, static_cast<double>(sign), to + j, s);
    }
  }
  if (before < 0) return;
  counts[before] -= times;
  for (size_t j = 0; j < d; ++j) {
    if (fits) {
      s.levels[0][from + j] -= steps[j];
    } else {
      add_values(columns + j * kBoxRows, uint64_t{1} << i, weights, static_cast<double>(-sign), from + j, s);
    }
  }
}

// Adds rows of a box, times their weights and a sign, to a cluster.
template <class T>
void add_rows(const T* columns, size_t d, uint64_t rows, const int32_t* weights, int64_t sign, int32_t cluster,
              int64_t* counts, SumBuffer& s) {
  const auto cell = static_cast<size_t>(cluster) * d;
  for (size_t j = 0; j < d; ++j) {
    const T* column = columns + j * kBoxRows;
    if (add_column(column, rows, weights, sign, cell + j, s)) continue;
    add_values(column, rows, weights, static_cast<double>(sign), cell + j, s);
  }
  int64_t count = weights == nullptr ? __builtin_popcountll(rows) : 0;
  for (; weights != nullptr && rows != 0; rows &= rows - 1) count += weights[__builtin_ctzll(rows)];
  counts[cluster] += sign * count;
}

// Moves `rows` of a box from the clusters `before` (where not negative) to `after`.
template <class T>
void move_box(const T* columns, size_t d, uint64_t rows, const int32_t* weights, const int32_t* before,
              const int32_t* after, int64_t* counts, SumBuffer& s) {
  constexpr int kMany = 8;  // rows of one cluster from which on whole columns cost less
  if (!kChecked || __builtin_popcountll(rows) < 2 * kMany) {
    for (; rows != 0; rows &= rows - 1) {
      const auto i = static_cast<size_t>(__builtin_ctzll(rows));
      move_row(columns, d, i, weights, 1, before[i], after[i], counts, s);
    }
    return;
  }
  for (int side = 0; side < 2; ++side) {
    const int32_t* labels = side == 0 ? before : after;
    const int64_t sign = side == 0 ? -1 : 1;
    for (uint64_t left = rows; left != 0;) {
      const int32_t cluster = labels[__builtin_ctzll(left)];
      uint64_t own = 0;
      for (size_t i = 0; i < kBoxRows; ++i) own |= uint64_t{labels[i] == cluster} << i;
      own &= left;
      left &= ~own;
      if (cluster < 0) continue;
      if (__builtin_popcountll(own) >= kMany) {
        add_rows(columns, d, own, weights, sign, cluster, counts, s);
        continue;
      }
      for (; own != 0; own &= own - 1) {
        move_row(columns, d, static_cast<size_t>(__builtin_ctzll(own)), weights, sign, -1, cluster, counts, s);
      }
    }
  }
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
