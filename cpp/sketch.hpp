// Sketches of rows and centers, and the lower bounds on distances that they give.
//
// X and C are a row and a center with the origin subtracted, times a power of two. With a basis W of orthonormal
// columns X = W y + t + r, where y are the heads, t is the tail, r what is left out; C = W z + s + q likewise. (Without
// a basis, W is the identity on the heads.) The tail is stored as t^ = step * integers. Then
//
//   X.C = y.z + t^.s^ + e,   |e| <= |t^| |s - s^| + |t - t^| |s| + |r| |q|,
//
// and S = |X - C|^2 - |X|^2 = |C|^2 - 2 X.C >= |C|^2 - 2 (y.z + t^.s^) - 2 |e|, at most that + 4 |e|.
//
// 1. With N = max(|t^|, |r|) and the largest |t - t^| / N and |r| / N of a block, |e| <= N w, where w depends on the
//    center and the block alone: one multiply-add a row.
// 2. Rounding. The float32 sum has chains of at most kSketchChunk + heads / kSketchChunk + 12 operations, the columns
//    of W are orthonormal up to 2^-18 (checked where it is made), and y, t are rounded; all this changes the sum by
//    less than slack^2 |X| |C| + slack^2 |C|^2 (SketchForm::slack). `residual` is |r| + slack |X|, so that the product
//    of two residuals covers the first, and `start` is (1 - 2 slack^2) |C|^2. Underflow: all values are at most about
//    1, and 2^-90 is taken off each start.
// 3. Numbers that are stored as bounds are rounded outward: lower ones down, upper ones up.
#pragma once

#include "assign.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

constexpr size_t kSketchChunk = 64;
constexpr size_t kGroupVectors = kGroup / kWidth;
constexpr size_t kSketchTile = kWidth == 16 ? 8 : kWidth == 8 ? 4 : 2;  // rows side by side
constexpr float kOutward = 0x1p-20f;                                    // beside sums of a few float32
constexpr double kMostSketched = 0x1p40;                                // longer centers are always candidates

#if defined(__AVX512VNNI__)
constexpr bool kInt8Products = true;
#else
constexpr bool kInt8Products = false;
#endif

struct Lengths {
  double all, heads, tail, error, residual;
};

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
  const size_t used = f.rest ? f.heads : width;
  const float zeros[kLanes] = {};
  memset(centered + count * f.d, 0, kTileRows * f.d * sizeof(float));
  for (size_t p = 0; p < f.columns / kLanes; ++p) {
    for (size_t i = 0; i < count; i += kTileRows) {
      tile(centered + i * f.d, f.d, f.basis + p * f.d * kLanes, zeros, [&](size_t r, const Floats* t) {
        if (i + r >= count) return;
        float y[kLanes];
        for (size_t v = 0; v < kTileVectors; ++v) store(y + v * kWidth, t[v]);
        for (size_t l = 0; l < kLanes && p * kLanes + l < used; ++l) out[(i + r) * width + p * kLanes + l] = y[l];
      });
    }
  }
  if (!f.rest) return;
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

// Rounds a tail to the grid of its largest value: integers from -127 to 127 (out), as float32.
inline float to_grid(const float* tail, size_t count, float* integers, double* error) {
  const float top = largest_value(tail, count);
  const float step = top > 0x1p-100f ? top / 127 : 0;
  const float inverse = step > 0 ? 1 / step : 0;
  for (size_t j = 0; j < count; ++j) integers[j] = __builtin_rintf(tail[j] * inverse);
  Doubles sum = {};
  for (size_t j = 0; j < count; j += kDoubleLanes) {
    const size_t lanes = count - j < kDoubleLanes ? count - j : kDoubleLanes;
    const Doubles gap = lanes == kDoubleLanes
                            ? load_doubles(tail + j) - static_cast<double>(step) * load_doubles(integers + j)
                            : load_doubles(tail + j, lanes) - static_cast<double>(step) * load_doubles(integers + j, lanes);
    sum += gap * gap;
  }
  *error = __builtin_sqrt(sum_lanes(sum)) * (1 + 0x1p-30);
  return step;
}

// Lengths of a row from its centered values and coordinates; `error` is that of the tail's grid.
inline Lengths lengths_of(const float* centered, const float* v, const SketchForm& f, double error) {
  Lengths l;
  const double all = squares_of(centered, f.d);
  l.all = __builtin_sqrt(all) * (1 + 0x1p-20);
  l.heads = __builtin_sqrt(squares_of(v, f.heads)) * (1 + 0x1p-20);
  l.tail = __builtin_sqrt(squares_of(v + f.heads, f.tails)) * (1 + 0x1p-20);
  l.error = error;
  l.residual = f.slack * l.all;
  if (f.columns != 0 && !f.rest) {
    const double left = all - squares_of(v, f.coordinates());
    l.residual += __builtin_sqrt((left > 0 ? left : 0) + f.slack * f.slack * all);
  }
  return l;
}

template <class T>
void sketch(const T* rows, size_t n, const SketchForm& f, float* scratch, const Sketch& out, float* ratios) {
  float* centered = scratch;
  float* coordinate = scratch + (kSketchRows + kTileRows) * f.d;
  const size_t width = f.coordinates(), padded = f.padded_tails();
  coordinates(rows, n, f, centered, coordinate);
  ratios[0] = ratios[1] = 0;
  for (size_t i = 0; i < n; ++i) {
    float* v = coordinate + i * width;
    float* numbers = out.numbers + i * f.stride();
    memcpy(numbers + 4, v, f.heads * sizeof(float));
    double error = 0;
    const Lengths plain = lengths_of(centered + i * f.d, v, f, 0);
    const float step = to_grid(v + f.heads, f.tails, v + f.heads, &error);
    int8_t* tails = out.tails + i * padded;
    int32_t sum = 0;
    for (size_t j = 0; j < f.tails; ++j) {
      tails[j] = static_cast<int8_t>(v[f.heads + j]);
      sum += tails[j];
    }
    for (size_t j = f.tails; j < padded; ++j) tails[j] = 0;
    sum *= -128;
    double reach = plain.tail + error;
    reach = reach > plain.residual ? reach : plain.residual;
    reach = reach > 0x1p-60 ? reach : 0x1p-60;
    numbers[0] = -2 * step;
    numbers[1] = next_up(reach);
    numbers[2] = next_down(squares_of(centered + i * f.d, f.d) * (1 - 0x1p-20));
    memcpy(numbers + 3, &sum, sizeof sum);
    const float tail_ratio = next_up(error / reach), residual_ratio = next_up(plain.residual / reach);
    ratios[0] = tail_ratio > ratios[0] ? tail_ratio : ratios[0];
    ratios[1] = residual_ratio > ratios[1] ? residual_ratio : ratios[1];
  }
}

inline void empty_place(const SketchForm& f, size_t place, const SketchPanels& panels) {
  const size_t g = place / kGroup, lane = place % kGroup;
  for (size_t j = 0; j < f.heads; ++j) panels.heads[(g * f.heads + j) * kGroup + lane] = 0;
  for (size_t j = 0; j < f.padded_tails(); ++j) {
    panels.tails[(g * f.padded_tails() / 4 + j / 4) * kGroup * 4 + lane * 4 + j % 4] = 128;
  }
  panels.start[place] = kHuge;
  panels.step[place] = panels.error[place] = panels.tail[place] = panels.residual[place] = 0;
}

template <class T>
void sketch_centers(const T* centers, const int32_t* places, size_t k, size_t groups, const SketchForm& f,
                    float* scratch, const SketchPanels& panels) {
  float* centered = scratch;
  float* coordinate = scratch + (kSketchRows + kTileRows) * f.d;
  const size_t width = f.coordinates();
  for (size_t place = 0; place < groups * kGroup; ++place) empty_place(f, place, panels);
  for (size_t first = 0; first < k; first += kSketchRows) {
    const size_t count = k - first < kSketchRows ? k - first : kSketchRows;
    coordinates(centers + first * f.d, count, f, centered, coordinate);
    for (size_t i = 0; i < count; ++i) {
      const size_t place = static_cast<size_t>(places[first + i]), g = place / kGroup, lane = place % kGroup;
      float* v = coordinate + i * width;
      const double squares = squares_of(centered + i * f.d, f.d);
      if (!(squares < kMostSketched * kMostSketched)) {
        panels.start[place] = 0;
        panels.error[place] = __builtin_inff();
        continue;
      }
      double error = 0;
      const Lengths l = lengths_of(centered + i * f.d, v, f, 0);
      for (size_t j = 0; j < f.heads; ++j) panels.heads[(g * f.heads + j) * kGroup + lane] = -2 * v[j];
      panels.step[place] = to_grid(v + f.heads, f.tails, v + f.heads, &error);
      for (size_t j = 0; j < f.tails; ++j) {
        panels.tails[(g * f.padded_tails() / 4 + j / 4) * kGroup * 4 + lane * 4 + j % 4] =
            static_cast<uint8_t>(static_cast<int>(v[f.heads + j]) + 128);
      }
      panels.start[place] = next_down(squares * (1 - 2 * f.slack * f.slack - 0x1p-20) - 0x1p-90);
      panels.error[place] = next_up(error);
      panels.tail[place] = next_up(l.tail + error);
      panels.residual[place] = next_up(l.residual);
    }
  }
}

// Lower bounds of S from kSketchTile rows to a group, into t.
template <bool kTails>
inline void sketch_tile(const SketchForm& f, const float* const* numbers, const int8_t* const* tails,
                        const uint8_t* panel_tails, const float* panel_heads, const float* start, const float* step,
                        const float* width, Floats (*t)[kGroupVectors]) {
  for (size_t r = 0; r < kSketchTile; ++r) {
    const Floats n = broadcast(-2 * numbers[r][1]);
    for (size_t v = 0; v < kGroupVectors; ++v) {
      t[r][v] = multiply_add(n, load(width + v * kWidth), load(start + v * kWidth));
    }
  }
#if defined(__AVX512VNNI__)
  if constexpr (kTails) {
    Ints sum[kSketchTile];
    for (size_t r = 0; r < kSketchTile; ++r) {
      int32_t shift;
      memcpy(&shift, numbers[r] + 3, sizeof shift);
      sum[r] = broadcast_int(shift);
    }
    for (size_t j = 0; j < f.padded_tails(); j += 4) {
      const Ints c = _mm512_loadu_si512(panel_tails + j * kGroup);
      for (size_t r = 0; r < kSketchTile; ++r) {
        int32_t x;
        memcpy(&x, tails[r] + j, sizeof x);
        sum[r] = _mm512_dpbusd_epi32(sum[r], c, broadcast_int(x));
      }
    }
    const Floats scale = load(step);
    for (size_t r = 0; r < kSketchTile; ++r) {
      t[r][0] = multiply_add(broadcast(numbers[r][0]), _mm512_mul_ps(_mm512_cvtepi32_ps(sum[r]), scale), t[r][0]);
    }
  }
#else
  (void)tails, (void)panel_tails, (void)step;
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
        for (size_t r = 0; r < kSketchTile; ++r) sum[r][v] = multiply_add(broadcast(numbers[r][4 + j]), c, sum[r][v]);
      }
    }
    for (size_t r = 0; r < kSketchTile; ++r) {
      for (size_t v = 0; v < kGroupVectors; ++v) t[r][v] = add(t[r][v], sum[r][v]);
    }
  }
}

// The least of the kGroup values of each row.
#if defined(__AVX512F__)
inline void row_minima(const Floats (*t)[kGroupVectors], float* out) {
  const auto halves = [](Floats a, Floats b) {
    return minimum(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  };
  const auto quarters = [](Floats a, Floats b) {
    return minimum(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
  };
  const Floats low = quarters(halves(t[0][0], t[1][0]), halves(t[2][0], t[3][0]));
  const Floats high = quarters(halves(t[4][0], t[5][0]), halves(t[6][0], t[7][0]));
  const Floats pairs = minimum(_mm512_unpacklo_ps(low, high), _mm512_unpackhi_ps(low, high));
  const Floats least = minimum(pairs, _mm512_shuffle_ps(pairs, pairs, 0x4e));
  const Ints order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 0, 0, 0, 0, 0, 0, 0);
  _mm256_storeu_ps(out, _mm512_castps512_ps256(_mm512_permutexvar_ps(order, least)));
}
#else
inline void row_minima(const Floats (*t)[kGroupVectors], float* out) {
  for (size_t r = 0; r < kSketchTile; ++r) {
    Floats least = t[r][0];
    for (size_t v = 1; v < kGroupVectors; ++v) least = minimum(least, t[r][v]);
    float lanes[kWidth];
    store(lanes, least);
    out[r] = lanes[0];
    for (size_t l = 1; l < kWidth; ++l) out[r] = lanes[l] < out[r] ? lanes[l] : out[r];
  }
}
#endif

inline float distance_bound(float squares, float least) {
  const float sum = squares + least;
  return sum > 0 ? __builtin_sqrtf(sum) * (1 - kOutward) : 0;
}

// Keeps those candidates of a row that its limit still allows; the others count for their group's bound.
inline void drop_candidates(const SketchBlock& b, size_t row, float squares) {
  Candidate* list = b.candidates + row * kMostCandidates;
  int32_t kept = 0;
  for (int32_t i = 0; i < b.counts[row]; ++i) {
    if (list[i].bound <= b.limit[row]) {
      list[kept++] = list[i];
      continue;
    }
    float& bound = b.bounds[row * b.bounds_stride + static_cast<size_t>(list[i].place) / kGroup];
    const float left = distance_bound(squares, list[i].bound);
    bound = left < bound ? left : bound;
  }
  b.counts[row] = kept;
}

// A row one of whose bounds does not pass its limit: notes the candidates, and bounds the others.
inline void note_candidates(const SketchForm& f, const SketchBlock& b, size_t group, size_t row, const float* t,
                            float least) {
  const float* numbers = b.rows.numbers + row * f.stride();
  const float upper = next_up(static_cast<double>(least) + 4.0001 * static_cast<double>(numbers[1]) *
                                                               static_cast<double>(b.most_width[group]) +
                              static_cast<double>(b.most_start[group]));
  b.limit[row] = upper < b.limit[row] ? upper : b.limit[row];
  float rest = kHuge;
  for (size_t l = 0; l < kGroup; ++l) {
    if (t[l] > b.limit[row]) {
      rest = t[l] < rest ? t[l] : rest;
      continue;
    }
    if (b.counts[row] == static_cast<int32_t>(kMostCandidates)) drop_candidates(b, row, numbers[2]);
    if (b.counts[row] >= static_cast<int32_t>(kMostCandidates)) {
      b.counts[row] = kMostCandidates + 1;  // too many
      rest = t[l] < rest ? t[l] : rest;
      continue;
    }
    b.candidates[row * kMostCandidates + static_cast<size_t>(b.counts[row]++)] = {
        static_cast<int32_t>(group * kGroup + l), t[l]};
  }
  float& bound = b.bounds[row * b.bounds_stride + group];
  const float left = distance_bound(numbers[2], rest);
  bound = left < bound ? left : bound;
}

template <bool kTails>
void sketch_group_of(const SketchForm& f, const SketchPanels& p, size_t group, const uint8_t* list, size_t count,
                     const SketchBlock& b) {
  const uint8_t* tails_panel = p.tails + group * f.padded_tails() * kGroup;
  const float* heads_panel = p.heads + group * f.heads * kGroup;
  for (size_t i = 0; i < count; i += kSketchTile) {
    const float* numbers[kSketchTile];
    const int8_t* tails[kSketchTile];
    for (size_t r = 0; r < kSketchTile; ++r) {
      const size_t row = list[i + r < count ? i + r : i];
      numbers[r] = b.rows.numbers + row * f.stride();
      tails[r] = b.rows.tails + row * f.padded_tails();
    }
    Floats t[kSketchTile][kGroupVectors];
    sketch_tile<kTails>(f, numbers, tails, tails_panel, heads_panel, p.start + group * kGroup, p.step + group * kGroup,
                        b.width + group * kGroup, t);
    float least[kSketchTile];
    row_minima(t, least);
    for (size_t r = 0; r < kSketchTile && i + r < count; ++r) {
      const size_t row = list[i + r];
      if (least[r] > b.limit[row]) {
        b.bounds[row * b.bounds_stride + group] = distance_bound(numbers[r][2], least[r]);
        continue;
      }
      float lanes[kGroup];
      for (size_t v = 0; v < kGroupVectors; ++v) store(lanes + v * kWidth, t[r][v]);
      b.bounds[row * b.bounds_stride + group] = kHuge;
      note_candidates(f, b, group, row, lanes, least[r]);
    }
  }
}

inline void sketch_group(const SketchForm& f, const SketchPanels& panels, size_t group, const uint8_t* list,
                         size_t count, const SketchBlock& block) {
  if (f.tails > 0) {
    sketch_group_of<true>(f, panels, group, list, count, block);
  } else {
    sketch_group_of<false>(f, panels, group, list, count, block);
  }
}

void open_groups(const uint16_t* stored, float unit, const float* path, size_t groups, float upper, uint8_t row,
                 float* bounds, uint8_t* lists, int32_t* counts) {
  for (size_t g = 0; g < groups; ++g) bounds[g] = static_cast<float>(stored[g]) * unit - path[g] * (1 + kOutward);
  for (size_t g = 0; g < groups; ++g) {
    lists[g * kSketchRows + static_cast<size_t>(counts[g])] = row;
    counts[g] += bounds[g] <= upper;
  }
}

float store_bounds(const float* bounds, const float* path, size_t groups, float unit, uint16_t* stored) {
  const float inverse = 1 / unit;
  for (size_t g = 0; g < groups; ++g) {
    const float bound = bounds[g] > 0 ? bounds[g] : 0;
    const float units = (bound + path[g]) * (1 - 2 * kOutward) * inverse;
    stored[g] = static_cast<uint16_t>(units < 65535 ? static_cast<int32_t>(units) : 65535);
  }
  float least = kHuge;
  for (size_t g = 0; g < groups; ++g) least = bounds[g] < least ? bounds[g] : least;
  return least;
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
