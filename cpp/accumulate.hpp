// Exact sums of rows, at the price of about one float64 addition a value.
//
// With M = 1.5 * 2^52 * g, t = x + M lies where float64 has the spacing g, so bits(t) - bits(M) is x rounded to
// the grid, an integer. What is left, x - (t - M), is exact and mostly 0; otherwise it goes to grids 2^40 times
// finer the same way, and what even the last one leaves to exact::add_value. Integers need no order: threads,
// blocks and tiles cannot change a bit.
#pragma once

#include "distances.hpp"
#include "exact.hpp"
#include "kernels.hpp"
#include "simd.hpp"
#include "unchecked.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

inline int64_t bits_of(double value) {
  int64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

// Adds what the first grid left of a row; `row` as in add_row.
template <class T>
__attribute__((noinline)) void add_rest(const T* row, size_t d, size_t cell, SumBuffer& s) {
  constexpr size_t kPart = 64;
  double rest[kPart];
  for (size_t j0 = 0; j0 < d; j0 += kPart) {
    const size_t count = d - j0 < kPart ? d - j0 : kPart;
    for (size_t j = 0; j < count; ++j) {
      const double x = static_cast<double>(row[j0 + j]);
      rest[j] = x - ((x + s.shifts[0]) - s.shifts[0]);
    }
    int64_t left = 1;
    for (int level = 1; level < kLevels && left != 0; ++level) {
      const double shift = s.shifts[level];
      const int64_t base = bits_of(shift);
      int64_t* cells = s.levels[level] + cell + j0;
      left = 0;
      for (size_t j = 0; j < count; ++j) {
        const double t = rest[j] + shift;
        cells[j] += bits_of(t) - base;
        rest[j] -= t - shift;
        left |= bits_of(rest[j]);
      }
      left = left << 1;
      s.used = s.used > level ? s.used : level + 1;
    }
    for (size_t j = 0; j < count && left != 0; ++j) {
      if (rest[j] != 0) exact::add_value(s.exact, cell + j0 + j, rest[j]);
    }
  }
}

// Adds the d values of a row to the cells from `cell` on; every |value| < s.limit.
template <class T>
inline void add_row(const T* row, size_t d, size_t cell, SumBuffer& s) {
  if constexpr (!kChecked) return add_row_unchecked(row, d, cell, s);
  const double shift = s.shifts[0];
  const int64_t base = bits_of(shift);
  int64_t* cells = s.levels[0] + cell;
  int64_t left = 0;
  for (size_t j = 0; j < d; ++j) {
    const double x = static_cast<double>(row[j]);
    const double t = x + shift;
    cells[j] += bits_of(t) - base;
    left |= bits_of(x - (t - shift));
  }
  if (left << 1 != 0) add_rest(row, d, cell, s);  // the shift drops the sign of zero
}

// Adds any row to some cells.
template <class T>
inline void add_any_row(const T* row, size_t d, size_t cell, SumBuffer& s) {
  if (!kChecked || static_cast<double>(largest_value(row, d)) < s.limit) {
    add_row(row, d, cell, s);
    return;
  }
  for (size_t j = 0; j < d; ++j) exact::add_value(s.exact, cell + j, static_cast<double>(row[j]));
}

template <class T>
void add(const T* rows, const int32_t* labels, size_t n, size_t d, SumBuffer& s) {
  const bool all_fit = !kChecked || s.fits || static_cast<double>(largest_value(rows, n * d)) < s.limit;
  for (size_t i = 0; i < n; ++i) {
    if (labels[i] < 0) continue;
    const T* row = rows + i * d;
    const size_t cell = static_cast<size_t>(labels[i]) * d;
    all_fit ? add_row(row, d, cell, s) : add_any_row(row, d, cell, s);
  }
}

constexpr size_t kMovesAhead = 4;  // rows that are fetched before they are needed

// Calls add(x, n, cell) for the negative of a row, in parts.
template <class T, class Add>
inline void add_negated(const T* row, size_t d, size_t cell, const Add& add) {
  constexpr size_t kPart = 64;
  T part[kPart];
  for (size_t j0 = 0; j0 < d; j0 += kPart) {
    const size_t count = d - j0 < kPart ? d - j0 : kPart;
    for (size_t j = 0; j < count; ++j) part[j] = -row[j0 + j];
    add(part, count, cell + j0);
  }
}

// Moves rows (., d) from the cells of one cluster to those of another; each was added before, so that it fits or is one
// of the few that do not.
template <class T>
void move_rows(const T* const* rows, const int32_t* before, const int32_t* after, size_t count, size_t d,
               SumBuffer& s) {
  for (size_t i = 0; i < count; ++i) {
    const T* row = rows[i];
    const size_t from = static_cast<size_t>(before[i]) * d, to = static_cast<size_t>(after[i]) * d;
    __builtin_prefetch(rows[i + kMovesAhead < count ? i + kMovesAhead : i]);
    if (!kChecked || !(static_cast<double>(largest_value(row, d)) < s.limit)) {
      add_any_row(row, d, to, s);
      add_negated(row, d, from, [&s](const T* x, size_t n, size_t cell) { add_any_row(x, n, cell, s); });
      continue;
    }
    const double shift = s.shifts[0];
    const int64_t base = bits_of(shift);
    int64_t *less = s.levels[0] + from, *more = s.levels[0] + to;
    int64_t left = 0;
    for (size_t j = 0; j < d; ++j) {
      const double x = static_cast<double>(row[j]);
      const double t = x + shift;
      const int64_t steps = bits_of(t) - base;
      less[j] -= steps;
      more[j] += steps;
      left |= bits_of(x - (t - shift));
    }
    if (left << 1 == 0) continue;
    add_rest(row, d, to, s);
    add_negated(row, d, from, [&s](const T* x, size_t n, size_t cell) { add_rest(x, n, cell, s); });
  }
}

// Adds the squares of `count` values to the cells from `cell` on; every square < s.limit. A square of float32 is exact
// in float64; that of a float64 is product + error, both added. False, and nothing is done, where that could underflow.
template <class T>
inline bool add_square_row(const T* x, size_t count, size_t cell, SumBuffer& s) {
  constexpr size_t kPart = 64;
  constexpr double kSafe = 0x1p-480;
  double squares[kPart];
  if constexpr (sizeof(T) == 4) {
    for (size_t j = 0; j < count; ++j) squares[j] = static_cast<double>(x[j]) * static_cast<double>(x[j]);
    add_row(squares, count, cell, s);
  } else {
    double errors[kPart];
    bool safe = true;
    for (size_t j = 0; j < count; ++j) {
      const double v = x[j];
      squares[j] = v * v;
      errors[j] = __builtin_fma(v, v, -squares[j]);
      safe &= (v == 0) | (v >= kSafe) | (v <= -kSafe);
    }
    if (!safe) return false;
    add_row(squares, count, cell, s);
    add_row(errors, count, cell, s);
  }
  return true;
}

// The squares of `count` values, which need not fit, to the cells from `cell` on.
template <class T>
inline void add_any_squares(const T* x, size_t count, size_t cell, SumBuffer& s) {
  const double largest = static_cast<double>(largest_value(x, count));
  if (largest * largest < s.limit && add_square_row(x, count, cell, s)) return;
  for (size_t j = 0; j < count; ++j) exact::add_squared_value(s.exact, cell + j, static_cast<double>(x[j]));
}

// The sums of squares of up to kDoubleLanes columns on two grids: squares have twice the bits of a row, so that nearly
// all need two.
struct SquareColumns {
  Longs first = {}, second = {};

  // Takes squares; returns what both grids leave of them. Where that is not 0, nothing of the sums holds.
  inline Doubles take(const Doubles& square, double coarse, double fine) {
    const Doubles t = square + coarse, rest = square - (t - coarse), u = rest + fine;
    first += as_longs(t);
    second += as_longs(u);
    return rest - (u - fine);
  }
  void add_to(SumBuffer& s, size_t j0, size_t count, uint64_t rows) const {
    const auto base = [rows](double shift) { return rows * static_cast<uint64_t>(bits_of(shift)); };
    for (size_t l = 0; l < count; ++l) {
      s.levels[0][j0 + l] += static_cast<int64_t>(first[l] - base(s.shifts[0]));
      s.levels[1][j0 + l] += static_cast<int64_t>(second[l] - base(s.shifts[1]));
    }
    s.used = s.used > 2 ? s.used : 2;
  }
};

// All squares of kDoubleLanes columns from j0 on, which are below s.limit. False, and nothing is done, where two grids
// do not hold them all. Rows that are left out have squares of 0.
inline bool add_fitting_columns(const float* rows, size_t n, size_t d, size_t j0, SumBuffer& s) {
  const double coarse = s.shifts[0], fine = s.shifts[1];
  SquareColumns sums;
  Longs left = {};
  for (size_t i = 0; i < n; ++i) {
    const Doubles v = load_doubles(rows + i * d + j0);
    left |= as_longs(sums.take(v * v, coarse, fine));
  }
  if (any_set(left)) return false;
  sums.add_to(s, j0, kDoubleLanes, n);
  return true;
}

// Up to kDoubleLanes columns from j0 on, of any values.
inline void add_square_columns(const float* rows, const int32_t* labels, size_t n, size_t d, size_t j0, SumBuffer& s) {
  const size_t count = d - j0 < kDoubleLanes ? d - j0 : kDoubleLanes;
  const double coarse = s.shifts[0], fine = s.shifts[1], limit = s.limit;
  SquareColumns sums;
  uint64_t taken = 0;
  for (size_t i = 0; i < n; ++i) {
    if (labels[i] < 0) continue;
    const float* x = rows + i * d + j0;
    const Doubles v = count == kDoubleLanes ? load_doubles(x) : load_doubles(x, count), square = v * v;
    SquareColumns with = sums;
    const Doubles left = with.take(square, coarse, fine);
    if (any_set(reaches(square, limit) | nonzero(left))) {
      add_any_squares(x, count, j0, s);
      continue;
    }
    sums = with;
    ++taken;
  }
  if (taken != 0) sums.add_to(s, j0, count, taken);
}

template <class T>
void add_squares(const T* rows, const int32_t* labels, size_t n, size_t d, SumBuffer& s) {
  if constexpr (sizeof(T) == 4 && kChecked) {
    constexpr size_t kFewRows = 64;  // which stay in the cache from column to column
    const double largest = s.fits ? 0 : static_cast<double>(largest_value(rows, n * d));
    const bool all_fit = s.fits || largest * largest < s.limit;
    for (size_t i = 0; i < n; i += kFewRows) {
      const size_t count = n - i < kFewRows ? n - i : kFewRows;
      for (size_t j0 = 0; j0 < d; j0 += kDoubleLanes) {
        const bool whole = all_fit && d - j0 >= kDoubleLanes;
        if (whole && add_fitting_columns(rows + i * d, count, d, j0, s)) continue;
        add_square_columns(rows + i * d, labels + i, count, d, j0, s);
      }
    }
  } else {
    constexpr size_t kPart = 64;
    for (size_t i = 0; i < n; ++i) {
      if (labels[i] < 0) continue;
      for (size_t j0 = 0; j0 < d; j0 += kPart) {
        add_any_squares(rows + i * d + j0, d - j0 < kPart ? d - j0 : kPart, j0, s);
      }
    }
  }
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
