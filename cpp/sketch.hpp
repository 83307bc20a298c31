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
// Rounding: the float32 sum has chains of at most kSketchChunk + heads / kSketchChunk + 12 operations, the columns of W
// are orthonormal up to 2^-18, and y, t are rounded; all this changes X.C by less than slack |X| |C| and the sum by as
// much again (SketchForm::slack). As 2 |X| |C| <= |X|^2 + |C|^2, `start` is |C|^2 less twice slack |C|^2, and the lower
// bound of S is the sum less slack |X|^2: the limits that sums are compared with are raised by that
// (RecordStart::slack). Underflow: all values are at most about 1, and 2^-90 is taken off each start.
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

// v of `count` rows into out (count, d).
template <class T>
inline void center_rows(const T* rows, size_t count, const SketchForm& f, float* out) {
  for (size_t i = 0; i < count; ++i) {
    for (size_t j = 0; j < f.d; ++j) {
      out[i * f.d + j] = static_cast<float>((static_cast<double>(rows[i * f.d + j]) - f.origin[j]) * f.scale);
    }
  }
}

// Coordinates of `count` <= kSketchRows rows into out (count, coordinates); `centered` (count + kTileRows, d) out.
template <class T>
inline void coordinates(const T* rows, size_t count, const SketchForm& f, float* centered, float* out) {
  center_rows(rows, count, f, centered);
  const size_t width = f.coordinates();
  if (f.columns == 0) {
    memcpy(out, centered, count * f.d * sizeof(float));
    return;
  }
  const float zeros[kLanes] = {};
  memset(centered + count * f.d, 0, kTileRows * f.d * sizeof(float));
  for (size_t p = 0; p < f.columns / kLanes; ++p) {
    for (size_t i = 0; i < count; i += kTileRows) {
      tile(centered + i * f.d, f.d, f.basis + p * f.d * kLanes, zeros, [&](size_t r, const Floats* t) {
        if (i + r >= count) return;
        float y[kLanes];
        for (size_t v = 0; v < kTileVectors; ++v) store(y + v * kWidth, t[v]);
        for (size_t l = 0; l < kLanes && p * kLanes + l < f.heads; ++l) out[(i + r) * width + p * kLanes + l] = y[l];
      });
    }
  }
  for (size_t i = 0; i < count; ++i) {
    float* rest = out + i * width + f.heads;
    memcpy(rest, centered + i * f.d, f.d * sizeof(float));
    for (size_t c = 0; c < f.heads; ++c) {
      const float y = out[i * width + c];
      const float* axis = f.axes + c * f.d;
      for (size_t j = 0; j < f.d; ++j) rest[j] -= y * axis[j];
    }
  }
}

inline double squares_of(const float* v, size_t count) {
  Doubles sum = {};
  size_t j = 0;
  for (; j + kDoubleLanes <= count; j += kDoubleLanes) {
    const Doubles x = load_doubles(v + j);
    sum += x * x;
  }
  if (j < count) {
    const Doubles x = load_doubles(v + j, count - j);
    sum += x * x;
  }
  return sum_lanes(sum);
}

// Rounds a tail in place to the grid of its largest value: integers from -127 to 127. Returns the grid's step.
inline float to_grid(float* tail, size_t count, double* error) {
  const float top = largest_value(tail, count);
  const float step = top > 0x1p-100f ? top / 127 : 0;
  const float inverse = step > 0 ? 1 / step : 0;
  Doubles sum = {};
  for (size_t j = 0; j < count; j += kDoubleLanes) {
    const size_t lanes = count - j < kDoubleLanes ? count - j : kDoubleLanes;
    const Doubles exact = lanes == kDoubleLanes ? load_doubles(tail + j) : load_doubles(tail + j, lanes);
    for (size_t l = 0; l < lanes; ++l) tail[j + l] = __builtin_rintf(tail[j + l] * inverse);
    const Doubles rounded = lanes == kDoubleLanes ? load_doubles(tail + j) : load_doubles(tail + j, lanes);
    const Doubles gap = exact - static_cast<double>(step) * rounded;
    sum += gap * gap;
  }
  *error = __builtin_sqrt(sum_lanes(sum)) * (1 + 0x1p-30);
  return step;
}

template <class T>
void sketch(const T* rows, size_t n, const SketchForm& f, float* scratch, uint8_t* records) {
  float* centered = scratch;
  float* coordinate = scratch + (kSketchRows + kTileRows) * f.d;
  const size_t width = f.coordinates();
  coordinates(rows, n, f, centered, coordinate);
  for (size_t i = 0; i < n; ++i) {
    float* v = coordinate + i * width;
    const double squares = squares_of(centered + i * f.d, f.d);
    uint8_t* record = records + i * f.record();
    memcpy(record + sizeof(RecordStart), v, f.heads * sizeof(float));
    const double tail = __builtin_sqrt(squares_of(v + f.heads, f.tails));
    double error = 0;
    const float step = to_grid(v + f.heads, f.tails, &error);
    int8_t* tails = reinterpret_cast<int8_t*>(record + sizeof(RecordStart) + f.heads * sizeof(float));
    int32_t sum = 0;
    for (size_t j = 0; j < f.tails; ++j) {
      tails[j] = static_cast<int8_t>(v[f.heads + j]);
      sum += tails[j];
    }
    for (size_t j = f.tails; j < f.padded_tails(); ++j) tails[j] = 0;
    const RecordStart start{-2 * step,
                            next_up((tail + error) * (1 + 0x1p-20)),
                            next_up(error),
                            next_down(squares * (1 - 0x1p-20)),
                            next_up(squares * f.slack * (1 + 0x1p-20)),
                            -128 * sum};
    memcpy(record, &start, sizeof start);
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

// One center in its place, from its centered values and coordinates v, which are overwritten.
inline void place_center(const float* centered, float* v, const SketchForm& f, size_t place,
                         const SketchPanels& panels) {
  const size_t g = place / kGroup, lane = place % kGroup;
  float* most = panels.most + g * 3;
  const double squares = squares_of(centered, f.d);
  if (!(squares < kMostSketched * kMostSketched)) {
    panels.start[place] = -kHuge;
    most[2] = __builtin_inff();
    return;
  }
  for (size_t j = 0; j < f.heads; ++j) panels.heads[(g * f.heads + j) * kGroup + lane] = -2 * v[j];
  const double tail = __builtin_sqrt(squares_of(v + f.heads, f.tails)) * (1 + 0x1p-20);
  double error = 0;
  panels.step[place] = to_grid(v + f.heads, f.tails, &error);
  for (size_t j = 0; j < f.tails; ++j) {
    panels.tails[(g * f.padded_tails() / 4 + j / 4) * kGroup * 4 + lane * 4 + j % 4] =
        static_cast<uint8_t>(static_cast<int>(v[f.heads + j]) + 128);
  }
  panels.start[place] = next_down(squares * (1 - 2 * f.slack - 0x1p-20) - 0x1p-90);
  panels.tail[place] = -2 * next_up(tail);
  panels.error[place] = -2 * next_up(error);
  raise_to(most[0], 4.001 * tail);
  raise_to(most[1], 4.001 * error);
  raise_to(most[2], squares * (4 * f.slack + 0x1p-18) + 0x1p-85);
}

template <class T>
void sketch_centers(const T* centers, const int32_t* places, size_t k, size_t groups, const SketchForm& f,
                    float* scratch, const SketchPanels& panels) {
  float* centered = scratch;
  float* coordinate = scratch + (kSketchRows + kTileRows) * f.d;
  for (size_t place = 0; place < groups * kGroup; ++place) empty_place(f, place, panels);
  for (size_t i = 0; i < groups * 3; ++i) panels.most[i] = 0;
  for (size_t first = 0; first < k; first += kSketchRows) {
    const size_t count = k - first < kSketchRows ? k - first : kSketchRows;
    coordinates(centers + first * f.d, count, f, centered, coordinate);
    for (size_t i = 0; i < count; ++i) {
      place_center(centered + i * f.d, coordinate + i * f.coordinates(), f, static_cast<size_t>(places[first + i]),
                   panels);
    }
  }
}

#if defined(__AVX512VNNI__)
// sum += the products of four unsigned bytes of each lane and the four signed bytes at x. In assembly, because g++ 12
// copies every accumulator around the intrinsic, which takes as long as the products.
inline void add_products(Ints& sum, Ints bytes, const uint8_t* x) {
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(bytes), "m"(*reinterpret_cast<const Int32*>(x)));
}
#endif

// Sums of the kSketchTile rows of these records and a group, into t.
template <bool kTails>
inline void sketch_tile(const SketchForm& f, const SketchPanels& p, size_t group, const uint8_t* const* records,
                        Floats (*t)[kGroupVectors]) {
  const float* start = p.start + group * kGroup;
  const float* panel_heads = p.heads + group * f.heads * kGroup;
  const auto number = [records](size_t r, size_t i) {
    float x;
    memcpy(&x, records[r] + i * sizeof x, sizeof x);
    return broadcast(x);
  };
  for (size_t v = 0; v < kGroupVectors; ++v) {
    for (size_t r = 0; r < kSketchTile; ++r) t[r][v] = load(start + v * kWidth);
  }
#if defined(__AVX512VNNI__)
  if constexpr (kTails) {
    const uint8_t* tails[kSketchTile];
    Ints sum[kSketchTile];
    for (size_t r = 0; r < kSketchTile; ++r) {
      sum[r] = _mm512_set1_epi32(*reinterpret_cast<const Int32*>(records[r] + offsetof(RecordStart, offset)));
      tails[r] = records[r] + sizeof(RecordStart) + f.heads * sizeof(float);
    }
    const size_t end = f.padded_tails();
    const uint8_t* panel_tails = p.tails + group * end * kGroup;
    for (size_t j = 0; j < end; j += 4) {
      const Ints c = _mm512_loadu_si512(panel_tails + j * kGroup);
      for (size_t r = 0; r < kSketchTile; ++r) {
        add_products(sum[r], c, tails[r] + j);
      }
    }
    const Floats step = load(p.step + group * kGroup), tail = load(p.tail + group * kGroup),
                 error = load(p.error + group * kGroup);
    for (size_t r = 0; r < kSketchTile; ++r) {
      const Floats bounds = multiply_add(number(r, 2), tail, multiply_add(number(r, 1), error, t[r][0]));
      t[r][0] = multiply_add(number(r, 0), _mm512_mul_ps(_mm512_cvtepi32_ps(sum[r]), step), bounds);
    }
  }
#endif
  for (size_t first = 0; first < f.heads; first += kSketchChunk) {
    const size_t end = first + kSketchChunk < f.heads ? first + kSketchChunk : f.heads;
    Floats sum[kSketchTile][kGroupVectors];
    for (size_t r = 0; r < kSketchTile; ++r) {
      for (size_t v = 0; v < kGroupVectors; ++v) sum[r][v] = broadcast(0);
    }
    for (size_t j = first; j < end; ++j) {
      for (size_t v = 0; v < kGroupVectors; ++v) {
        const Floats c = load(panel_heads + j * kGroup + v * kWidth);
        for (size_t r = 0; r < kSketchTile; ++r)
          sum[r][v] = multiply_add(number(r, SketchForm::kRecordStart + j), c, sum[r][v]);
      }
    }
    for (size_t r = 0; r < kSketchTile; ++r) {
      for (size_t v = 0; v < kGroupVectors; ++v) t[r][v] = add(t[r][v], sum[r][v]);
    }
  }
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
