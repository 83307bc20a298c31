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
// (SketchNumbers::slack). With a basis y.z - |t| |s| in place of the products is a lower bound, too, that needs no
// integers: where few axes hold most of the squares, it rules most groups out. Underflow: all values are at most about
// 1, and 2^-90 is taken off each start.
//
// Numbers that are stored as bounds are rounded outward: lower ones down, upper ones up.
#pragma once

#include <stddef.h>

#include "assign.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

constexpr size_t kSketchChunk = 64;
constexpr size_t kGroupVectors = kGroup / kWidth;
constexpr size_t kSketchTile = kWidth == 16 ? 8 : kWidth == 8 ? 4 : 2;  // rows side by side
constexpr float kNobody = 1e18f;          // a bound beyond it means that a group has no other center
constexpr float kOutward = 0x1p-20f;      // beside sums of a few float32
constexpr double kMostSketched = 0x1p40;  // longer centers are always candidates

#if defined(__AVX512VNNI__)
constexpr bool kInt8Products = true;
#else
constexpr bool kInt8Products = false;
#endif

typedef int32_t Int32 __attribute__((may_alias, aligned(1)));

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
        for (size_t r = 0; r < kRows; ++r) rest[r] = multiply_add(broadcast(-own[r][c]), axis, rest[r]);
      }
      for (size_t r = 0; r < rows; ++r) store(v + (i + r) * f.padded() + j, rest[r]);
    }
  }
}

// Of `count` <= kSketchPart rows v (count + kTileRows, padded): squares (count,) out, |v|^2, right to a few roundings
// of float32; with a basis, heads y (count, heads) out, and v becomes the tails.
inline void split(float* v, size_t count, const SketchForm& f, float* y, float* squares) {
  for (size_t i = 0; i < count; ++i) {
    Doubles sum = {};
    for (size_t j = 0; j < f.padded(); j += kDoubleLanes) {
      const Doubles x = load_doubles(v + i * f.padded() + j);
      sum += x * x;
    }
    squares[i] = static_cast<float>(sum_lanes(sum));
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

// A tail on the grid of its largest value: integers from -127 to 127; fewer where sums of so many would pass 2^24,
// which float32 holds, or of their products 2^31.
inline float most_tail(const SketchForm& f) {
  constexpr size_t kMostSum = size_t{1} << 24;
  return f.padded() <= kMostSum / 128 ? 127 : static_cast<float>(kMostSum / f.padded());
}

struct Tail {
  float step;
  double length, grid_length, error;  // of the tail, of what is stored for it, of their difference: all rounded up
  int32_t sum;                        // of the integers
};

// v (padded,), of which the first f.tails count; integers (padded,) out.
inline Tail to_grid(const float* v, const SketchForm& f, int8_t* integers) {
  const Floats zero = broadcast(0), round = broadcast(12582912);  // 1.5 * 2^23: adding it rounds to an integer
  Floats high = zero;
  for (size_t j = 0; j < f.padded(); j += kWidth) {
    const Floats x = load(v + j);
    high = maximum(high, maximum(x, zero - x));
  }
  const float top = highest_of(high), step = top > 0x1p-100f ? top / most_tail(f) : 0;
  const Floats inverse = broadcast(step > 0 ? 1 / step : 0);
  Floats length = zero, grid_length = zero, error = zero, sum = zero;
  for (size_t j = 0; j < f.padded(); j += kWidth) {
    const Floats scaled = load(v + j) * inverse, rounded = (scaled + round) - round, gap = scaled - rounded;
    length = multiply_add(scaled, scaled, length);
    grid_length = multiply_add(rounded, rounded, grid_length);
    error = multiply_add(gap, gap, error);
    sum = add(sum, rounded);
    float values[kWidth];
    store(values, rounded);
    for (size_t l = 0; l < kWidth; ++l) integers[j + l] = static_cast<int8_t>(static_cast<int32_t>(values[l]));
  }
  // `scaled` is right to 2^-23, and where the step is 0 all of the tail is below 2^-100.
  const double up = 1 + relative(f), unit = static_cast<double>(step);
  const double long_as = unit * __builtin_sqrt(static_cast<double>(sum_of(length))) * up;
  const double least = static_cast<double>(f.padded()) * 0x1p-99;
  return {step, long_as + least, unit * __builtin_sqrt(static_cast<double>(sum_of(grid_length))) * up,
          unit * __builtin_sqrt(static_cast<double>(sum_of(error))) * up + 0x1p-22 * long_as + least,
          static_cast<int32_t>(sum_of(sum))};
}

// The parts of `scratch` (SketchForm::scratch).
struct SketchScratch {
  float *v, *y, *squares;
  int8_t* integers;

  SketchScratch(const SketchForm& f, float* scratch)
      : v(scratch),
        y(v + (kSketchPart + kTileRows) * f.padded()),
        squares(y + kSketchPart * f.heads),
        integers(reinterpret_cast<int8_t*>(squares + kSketchPart)) {}
};

template <class T>
void sketch(const T* rows, size_t n, const SketchForm& f, float* scratch, const SketchRows& out) {
  const SketchScratch at(f, scratch);
  SketchNumbers* numbers = out.numbers;
  for (size_t i = 0; i < n; ++i) {
    const size_t place = i % kSketchPart;
    if (place == 0) {
      const T* part[kSketchPart];
      const size_t count = n - i < kSketchPart ? n - i : kSketchPart;
      for (size_t r = 0; r < count; ++r) part[r] = rows + (i + r) * f.d;
      coordinates(part, count, f, at.v, at.y, at.squares);
    }
    const float* own = at.v + place * f.padded();
    memcpy(out.heads + i * f.heads, f.columns == 0 ? own : at.y + place * f.heads, f.heads * sizeof(float));
    Tail tail{};
    if (f.tails > 0) {
      tail = to_grid(own, f, at.integers);
      memcpy(out.tails + i * f.padded_tails(), at.integers, f.padded_tails());
    }
    const double square = static_cast<double>(at.squares[place]);
    numbers->scale[i] = -2 * tail.step;
    numbers->length[i] = next_up(tail.length);
    numbers->tail[i] = next_up(tail.grid_length * (1 + 0x1p-20));
    numbers->error[i] = next_up(tail.error);
    numbers->squares[i] = next_down(square * (1 - 0x1p-20));
    numbers->slack[i] = next_up(square * f.slack * (1 + 0x1p-20));
    numbers->offset[i] = -128 * tail.sum;
  }
}

inline void empty_place(const SketchForm& f, size_t place, const SketchPanels& panels) {
  const size_t g = place / kGroup, lane = place % kGroup;
  for (size_t j = 0; j < f.heads; ++j) panels.heads[(g * f.heads + j) * kGroup + lane] = 0;
  for (size_t j = 0; j < f.padded_tails(); ++j) {
    panels.tails[(g * f.padded_tails() / 4 + j / 4) * kGroup * 4 + lane * 4 + j % 4] = 128;
  }
  panels.start[place] = kHuge;
  panels.step[place] = panels.tail[place] = panels.error[place] = 0;
}

inline void raise_to(float& most, double value) { most = next_up(value) > most ? next_up(value) : most; }

// One center in its place, from its coordinates (`v` without a basis, else `v` and `y`) and |C|^2.
inline void place_center(const float* v, const float* y, double square, const SketchForm& f, size_t place,
                         int8_t* integers, const SketchPanels& panels) {
  const size_t g = place / kGroup, lane = place % kGroup;
  float* most = panels.most + g * 3;
  if (!(square < kMostSketched * kMostSketched)) {
    panels.start[place] = -kHuge;
    most[2] = __builtin_inff();
    return;
  }
  const float* heads = f.columns == 0 ? v : y;
  for (size_t j = 0; j < f.heads; ++j) panels.heads[(g * f.heads + j) * kGroup + lane] = -2 * heads[j];
  Tail tail{};
  if (f.tails > 0) {
    tail = to_grid(v, f, integers);
    for (size_t j = 0; j < f.tails; ++j) {
      panels.tails[(g * f.padded_tails() / 4 + j / 4) * kGroup * 4 + lane * 4 + j % 4] =
          static_cast<uint8_t>(integers[j] + 128);
    }
  }
  panels.step[place] = tail.step;
  panels.start[place] = next_down(square * (1 - 2 * f.slack - 0x1p-20) - 0x1p-90);
  panels.tail[place] = -2 * next_up(tail.length);
  panels.error[place] = -2 * next_up(tail.error);
  raise_to(most[0], 4.001 * tail.length);
  raise_to(most[1], 4.001 * tail.error);
  raise_to(most[2], square * (4 * f.slack + 0x1p-18) + 0x1p-85);
}

template <class T>
void sketch_centers(const T* centers, const int32_t* names, size_t group, const SketchForm& f, float* scratch,
                    const SketchPanels& panels) {
  static_assert(kGroup <= kSketchPart);
  const SketchScratch at(f, scratch);
  const T* rows[kGroup];
  size_t places[kGroup], count = 0;
  for (size_t i = 0; i < 3; ++i) panels.most[group * 3 + i] = 0;
  for (size_t lane = 0; lane < kGroup; ++lane) {
    empty_place(f, group * kGroup + lane, panels);
    if (names[lane] < 0) continue;
    rows[count] = centers + static_cast<size_t>(names[lane]) * f.d;
    places[count++] = group * kGroup + lane;
  }
  coordinates(rows, count, f, at.v, at.y, at.squares);
  for (size_t i = 0; i < count; ++i) {
    place_center(at.v + i * f.padded(), at.y + i * f.heads, static_cast<double>(at.squares[i]), f, places[i],
                 at.integers, panels);
  }
}

#if defined(__AVX512VNNI__)
// sum += the products of four unsigned bytes of each lane and the four signed bytes at x. In assembly, because g++ 12
// copies every accumulator around the intrinsic, which takes as long as the products.
inline void add_products(Ints& sum, Ints bytes, const int8_t* x) {
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(bytes), "m"(*reinterpret_cast<const Int32*>(x)));
}
inline void add_lane_products(Ints& sum, Ints bytes, Ints x) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(bytes), "v"(x));
}
#endif

// Adds the products of the heads of kRows <= kSketchTile rows of a block and of a group to t.
template <size_t kRows>
inline void add_heads(const SketchForm& f, const SketchPanels& p, size_t group, const SketchRows& s,
                      const uint8_t* rows, Floats (*t)[kGroupVectors]) {
  const float* panel = p.heads + group * f.heads * kGroup;
  const float* heads[kRows];
  for (size_t r = 0; r < kRows; ++r) heads[r] = s.heads + rows[r] * f.heads;
  for (size_t first = 0; first < f.heads; first += kSketchChunk) {
    const size_t end = first + kSketchChunk < f.heads ? first + kSketchChunk : f.heads;
    Floats sum[kRows][kGroupVectors];
    for (size_t r = 0; r < kRows; ++r) {
      for (size_t v = 0; v < kGroupVectors; ++v) sum[r][v] = broadcast(0);
    }
    for (size_t j = first; j < end; ++j) {
      for (size_t v = 0; v < kGroupVectors; ++v) {
        const Floats c = load(panel + j * kGroup + v * kWidth);
        for (size_t r = 0; r < kRows; ++r) sum[r][v] = multiply_add(broadcast(heads[r][j]), c, sum[r][v]);
      }
    }
    for (size_t r = 0; r < kRows; ++r) {
      for (size_t v = 0; v < kGroupVectors; ++v) t[r][v] = add(t[r][v], sum[r][v]);
    }
  }
}

// Sums of kRows rows of a block and a group, into t.
template <bool kTails, size_t kRows>
inline void sketch_tile(const SketchForm& f, const SketchPanels& p, size_t group, const SketchRows& s,
                        const uint8_t* rows, Floats (*t)[kGroupVectors]) {
  const float* start = p.start + group * kGroup;
  for (size_t v = 0; v < kGroupVectors; ++v) {
    for (size_t r = 0; r < kRows; ++r) t[r][v] = load(start + v * kWidth);
  }
#if defined(__AVX512VNNI__)
  if constexpr (kTails) {
    const SketchNumbers& numbers = *s.numbers;
    const int8_t* tails[kRows];
    Ints sum[kRows];
    each<0, kRows>([&](size_t r) __attribute__((always_inline)) {  // a loop would keep the sums in memory
      sum[r] = broadcast_int(numbers.offset[rows[r]]);
      tails[r] = s.tails + rows[r] * f.padded_tails();
    });
    const size_t end = f.padded_tails();
    const uint8_t* panel_tails = p.tails + group * end * kGroup;
    for (size_t j = 0; j < end; j += 4) {
      const Ints c = _mm512_loadu_si512(panel_tails + j * kGroup);
      each<0, kRows>([&](size_t r) __attribute__((always_inline)) { add_products(sum[r], c, tails[r] + j); });
    }
    const Floats step = load(p.step + group * kGroup), tail = load(p.tail + group * kGroup),
                 error = load(p.error + group * kGroup);
    each<0, kRows>([&](size_t r) __attribute__((always_inline)) {
      const size_t i = rows[r];
      const Floats bounds =
          multiply_add(broadcast(numbers.error[i]), tail, multiply_add(broadcast(numbers.tail[i]), error, t[r][0]));
      t[r][0] = multiply_add(broadcast(numbers.scale[i]), _mm512_mul_ps(to_floats(sum[r]), step), bounds);
    });
  }
#endif
  add_heads<kRows>(f, p, group, s, rows, t);
}

// Lower bounds of these sums that leave the integers out.
template <size_t kRows>
inline void screen_tile(const SketchForm& f, const SketchPanels& p, size_t group, const SketchRows& s,
                        const uint8_t* rows, Floats (*t)[kGroupVectors]) {
  for (size_t v = 0; v < kGroupVectors; ++v) {
    const Floats start = load(p.start + group * kGroup + v * kWidth), tail = load(p.tail + group * kGroup + v * kWidth);
    for (size_t r = 0; r < kRows; ++r) {
      t[r][v] = multiply_add(broadcast(s.numbers->length[rows[r]]), tail, start);
    }
  }
  add_heads<kRows>(f, p, group, s, rows, t);
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
