// Sketches of rows and centers, and the lower bounds on distances that they give.
//
// X and C are a row and a center with the origin subtracted, times a power of two. With a basis W of orthonormal
// columns X = W y + t, where y are the heads and t is the tail; C = W z + s likewise. (Without a basis, only one of
// them is there.) The tails are stored as t^ = step * integers. Then
//
//   X.C = y.z + t^.s^ + e,   |e| <= |t^| |s - s^| + |t - t^| |s|,
//
// and S = |X - C|^2 - |X|^2 = |C|^2 - 2 X.C >= |C|^2 - 2 (y.z + t^.s^) - 2 |e|, and at most that + 4 |e|. All terms are
// products of a number of the row and one of the center.
//
// Rounding: the float32 sum has chains of c <= kSketchChunk + heads / kSketchChunk + 12 operations, so that it is right
// to u c (|C|^2 + 2 |X| |C|), u = 2^-24. Without a basis X.C changes by 2 u |X| |C|, as coordinates are rounded. With
// one, let W'W = 1 + E, each head be right to u p |X|, p operations long, and t = X - W y to u (h + sqrt(h)) |X|, one
// subtraction for each of h heads. Then W't is not 0, but all of it is right to u sqrt(h) p |X| + |E| |X|, and X.C
// changes by less than (2 u (sqrt(h) (p + 1) + h) + 2 |E|) |X| |C|. With `slack` above all of that and twice u c more
// (SketchForm::slack), and 2 |X| |C| <= |X|^2 + |C|^2, the sum less slack |X|^2 is a lower bound of S, where `start` is
// |C|^2 less twice slack |C|^2: the limits that sums are compared with are raised by slack |X|^2
// (kLeastSlack). With a basis y.z - |t| |s| in place of the products is a lower bound, too, that needs no
// integers: where few axes hold most of the squares, it rules most groups out. Underflow: all values are at most about
// 1, and 2^-90 is taken off each start.
//
// Numbers that are stored as bounds are rounded outward: lower ones down, upper ones up.
#pragma once

#include <stddef.h>

#include "assign.hpp"
#include "byte_products.hpp"
#include "fetch.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

constexpr size_t kGroupVectors = kGroup / kWidth;
constexpr size_t kSketchTile = kWidth == 16 ? 8 : kWidth == 8 ? 4 : 2;  // rows side by side
constexpr float kNobody = 1e18f;          // a bound beyond it means that a group has no other center
constexpr float kOutward = 0x1p-20f;      // beside sums of a few float32
constexpr double kMostSketched = 0x1p40;  // longer centers are always candidates

inline bool can_be_sketched(float square) { return static_cast<double>(square) < kMostSketched * kMostSketched; }

// v of `count` rows into out (count, padded). Scaling is exact: values of at most about 1 come of it.
template <class T>
inline void center_rows(const T* const* rows, size_t count, const SketchForm& f, float* out) {
  const T scale = static_cast<T>(f.scale);
  for (size_t i = 0; i < count; ++i) {
    const T* row = rows[i];
    float* v = out + i * f.padded();
    for (size_t j = 0; j < f.d; ++j) v[j] = static_cast<float>(row[j] * scale - static_cast<T>(f.shift[j]));
    for (size_t j = f.d; j < f.padded(); ++j) v[j] = 0;
  }
}

// The first kVectors vectors of heads in panel p of the basis, of rows v (count + kTileRows, padded); y (count, heads)
// out.
template <size_t kVectors>
inline void project_panel(const float* v, size_t count, const SketchForm& f, size_t p, float* y) {
  const float zeros[kLanes] = {};
  for (size_t i = 0; i < count; i += kTileRows) {
    const auto take = [&](size_t r, const Floats* t) {
      if (i + r >= count) return;
      float values[kLanes];
      for (size_t k = 0; k < kVectors; ++k) store(values + k * kWidth, t[k]);
      float* own = y + (i + r) * f.heads + p * kLanes;
      for (size_t l = 0; l < kVectors * kWidth && p * kLanes + l < f.heads; ++l) own[l] = values[l];
    };
    tile_of<kVectors>(v + i * f.padded(), f.padded(), f.basis + p * f.padded() * kLanes, zeros, take);
  }
}

// Takes W y off rows v (count + kTileRows, padded), kTileRows at a time.
inline void take_off_heads(float* v, size_t count, const SketchForm& f, const float* y) {
  constexpr size_t kRows = 4;
  for (size_t i = 0; i < count; i += kRows) {
    const size_t rows = count - i < kRows ? count - i : kRows;
    const float* own[kRows];
    for (size_t r = 0; r < kRows; ++r) own[r] = y + (i + (r < rows ? r : 0)) * f.heads;
    for (size_t j = 0; j < f.padded(); j += kWidth) {
      Floats rest[kRows];
      for (size_t r = 0; r < kRows; ++r) rest[r] = load(v + (i + r) * f.padded() + j);
      for (size_t c = 0; c < f.heads; ++c) {
        const Floats axis = load(f.axes + c * f.padded() + j);
        for (size_t r = 0; r < kRows; ++r) rest[r] = multiply_add(broadcast(own[r][c]), axis, rest[r]);
      }
      for (size_t r = 0; r < rows; ++r) store(v + (i + r) * f.padded() + j, rest[r]);
    }
  }
}

// Of `count` <= kSketchPart rows v (count + kTileRows, padded): squares (count,) out, |v|^2, right to a few roundings
// of float32; with a basis, heads y (count, heads) out, and v becomes the tails.
inline void split(float* v, size_t count, const SketchForm& f, float* y, float* squares) {
  for (size_t i = 0; i < count; ++i) {
    Doubles sum = {}, other = {};
    for (size_t j = 0; j < f.padded(); j += 2 * kDoubleLanes) {
      const Doubles x = load_doubles(v + i * f.padded() + j), y = load_doubles(v + i * f.padded() + j + kDoubleLanes);
      sum += x * x;
      other += y * y;
    }
    squares[i] = static_cast<float>(sum_lanes(sum + other));
  }
  if (f.columns == 0) return;
  memset(v + count * f.padded(), 0, kTileRows * f.padded() * sizeof(float));
  for (size_t p = 0; p < f.columns / kLanes; ++p) {
    if (f.heads - p * kLanes <= kWidth) {
      project_panel<1>(v, count, f, p, y);
    } else {
      project_panel<kTileVectors>(v, count, f, p, y);
    }
  }
  take_off_heads(v, count, f, y);
}

// Subtracts the origin from `count` <= kSketchPart rows, into v; the rest as above.
template <class T>
inline void coordinates(const T* const* rows, size_t count, const SketchForm& f, float* v, float* y, float* squares) {
  center_rows(rows, count, f, v);
  split(v, count, f, y, squares);
}

// What sums of padded squares in float32 may be off, relative to them, twice over: `padded` / kWidth and kWidth in a
// chain.
inline double relative(const SketchForm& f) { return static_cast<double>(f.padded() / kWidth + kWidth + 4) * 0x1p-23; }

// A tail on the grid of its largest value: integers up to `most`; fewer where sums of so many would pass 2^24, which
// float32 holds, or of their products 2^31.
inline float most_tail(const SketchForm& f, int32_t most) {
  constexpr size_t kMostSum = size_t{1} << 24;
  return static_cast<float>(f.padded() <= kMostSum / 128 ? static_cast<size_t>(most)
                                                         : kMostSum / 128 * static_cast<size_t>(most) / f.padded());
}

// Of rows whose coordinates are made together.
struct Tails {
  float step[kSketchPart];
  float squares[kSketchPart], grid_squares[kSketchPart], error_squares[kSketchPart];  // of what `Lengths` has, in steps
  int32_t sum[kSketchPart];                                                           // of the integers
};

// The largest magnitude of v (padded,).
inline float highest(const float* v, const SketchForm& f) {
  const Floats zero = broadcast(0);
  Floats high = zero;
  for (size_t j = 0; j < f.padded(); j += kWidth) {
    const Floats x = load(v + j);
    high = maximum(high, maximum(x, zero - x));
  }
  return highest_of(high);
}

// v (padded,), of which the first f.tails count, none beyond `top`; integers (padded,) up to `most` and a place of
// `tails` out.
inline void to_grid(const float* v, float top, const SketchForm& f, int32_t most, int8_t* integers, size_t place,
                    Tails& tails) {
  const Floats zero = broadcast(0), round = broadcast(12582912);  // 1.5 * 2^23: adding it rounds to an integer
  const float step = top > 0x1p-100f ? top / most_tail(f, most) : 0;
  const Floats inverse = broadcast(step > 0 ? 1 / step : 0);
  Floats length = zero, grid_length = zero, error = zero, sum = zero;
  for (size_t j = 0; j < f.padded(); j += kWidth) {
    const Floats scaled = load(v + j) * inverse, shifted = scaled + round;  // whose lowest byte is the integer's
    const Floats rounded = shifted - round, gap = scaled - rounded;
    length = multiply_add(scaled, scaled, length);
    grid_length = multiply_add(rounded, rounded, grid_length);
    error = multiply_add(gap, gap, error);
    sum = add(sum, rounded);
    store_low_bytes(reinterpret_cast<uint8_t*>(integers + j), as_ints(shifted));
  }
  tails.step[place] = step;
  tails.squares[place] = sum_of(length);
  tails.grid_squares[place] = sum_of(grid_length);
  tails.error_squares[place] = sum_of(error);
  tails.sum[place] = static_cast<int32_t>(sum_of(sum));
}

// Of tails, of what is stored for them, of their differences: all rounded up.
struct Lengths {
  double tail[kSketchPart], grid[kSketchPart], error[kSketchPart];
};

// `to_grid` scales to 2^-23, and where the step is 0 all of the tail is below 2^-100.
inline void lengths_of(const Tails& tails, const SketchForm& f, Lengths& out) {
  const double up = 1 + relative(f), least = f.tails > 0 ? static_cast<double>(f.padded()) * 0x1p-99 : 0;
  for (size_t i = 0; i < kSketchPart; ++i) {
    const double unit = static_cast<double>(tails.step[i]) * up;
    const double length = unit * __builtin_sqrt(static_cast<double>(tails.squares[i]));
    out.tail[i] = length + least;
    out.grid[i] = unit * __builtin_sqrt(static_cast<double>(tails.grid_squares[i]));
    out.error[i] = unit * __builtin_sqrt(static_cast<double>(tails.error_squares[i])) + 0x1p-22 * length + least;
  }
}

// As next_down and next_up, for loops over rows: it has no branch, and gives no denormals, which are slow.
inline float below(double value) {
  const float f = static_cast<float>(value);
  return f - __builtin_fabsf(f) * 0x1p-23f - 0x1p-126f;
}
inline float above(double value) { return -below(-value); }

// The parts of `scratch` (SketchForm::scratch).
struct SketchScratch {
  float *v, *y;
  int8_t* integers;

  SketchScratch(const SketchForm& f, float* scratch)
      : v(scratch),
        y(v + (kSketchPart + kTileRows) * f.padded()),
        integers(reinterpret_cast<int8_t*>(y + kSketchPart * f.heads)) {}
};

// The numbers of kSketchPart rows of a block from the first-th on. Loops become vectors: one row after the other they
// took as long as all else for narrow rows.
inline void store_numbers(const Tails& tails, const float* squares, const SketchForm& f, size_t first,
                          SketchNumbers& out) {
  Lengths lengths;
  lengths_of(tails, f, lengths);
  const auto each = [](auto* numbers, const auto& number) {
    for (size_t i = 0; i < kSketchPart; ++i) numbers[i] = number(i);
  };
  each(out.scale + first, [&](size_t i) { return -2 * tails.step[i]; });
  each(out.length + first, [&](size_t i) { return above(lengths.tail[i]); });
  each(out.tail + first, [&](size_t i) { return above(lengths.grid[i] * (1 + 0x1p-20)); });
  each(out.error + first, [&](size_t i) { return above(lengths.error[i]); });
  each(out.squares + first, [&](size_t i) { return below(static_cast<double>(squares[i]) * (1 - 0x1p-20)); });
  each(out.offset + first, [&](size_t i) { return -kByteBias * tails.sum[i]; });
}

// Of a part that is not full, places beyond the rows get any numbers.
template <class T>
void sketch(const T* rows, size_t n, const SketchForm& f, float* scratch, const SketchRows& out) {
  const SketchScratch at(f, scratch);
  float squares[kSketchPart] = {};
  Tails tails{};
  for (size_t first = 0; first < n; first += kSketchPart) {
    const size_t count = n - first < kSketchPart ? n - first : kSketchPart;
    const T* part[kSketchPart];
    for (size_t r = 0; r < count; ++r) part[r] = rows + (first + r) * f.d;
    coordinates(part, count, f, at.v, at.y, squares);
    for (size_t r = 0; r < count; ++r) {
      // Rows come from afar: those of the next part are asked for while this one is worked on.
      if (first + kSketchPart + r < n) fetch(rows + (first + kSketchPart + r) * f.d, f.d * sizeof(T));
      const float* own = at.v + r * f.padded();
      const float* heads = f.columns == 0 ? own : at.y + r * f.heads;
      if (f.heads > 0) memcpy(out.heads + (first + r) * f.heads, heads, f.heads * sizeof(float));
      if (f.tails == 0) continue;
      to_grid(own, highest(own, f), f, kMostSigned, at.integers, r, tails);
      memcpy(out.tails + (first + r) * f.padded_tails(), at.integers, f.padded_tails());
    }
    store_numbers(tails, squares, f, first, *out.numbers);
  }
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
