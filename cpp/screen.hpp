// The float32 screen: which centers can be nearest to a row. It only ever rules centers out.
//
// Write X, C for row and center with the origin o subtracted and scaled by a power of two (exactly, as real
// numbers), x, c for what is stored in float32, and u = 2^-24.
//
// 1. Storing rounds each coordinate once (twice for float64 rows): |x - X| <= v|X|, |c - C| <= v|C|, v = 1.01 u,
//    beside 2^-149 sqrt(d) where scaling or narrowing underflows. Hence | |X-C|^2 - |x-c|^2 | <=
//    2 v' (|x| + |c|)^2 + underflow, v' = 1.01 v.
// 2. The screen computes t = A - sum_j 2 c_j x_j - B N by multiply-adds in chunks of `kScreenChunk` dimensions, with
//    A ~ (1 - a)|c|^2 rounded down, B ~ b|c| rounded up, N >= |x|. The longest chain of roundings is
//    L = kScreenChunk + d / kScreenChunk + 8, multiply and add rounded separately or not, so the error is at most
//    g (A + 2|c||x| + B N), g = 1.01 L u (Higham, Accuracy and Stability, section 3.1).
// 3. With a = 1.1 (g + 2 v') and b = 1.1 (2 g + 4 v'), t is a lower bound of S = |X-C|^2 - |x|^2 up to the
//    row's own slack R = 2 v' N^2 + underflow: t <= S + R, and S <= t + 2.5 (a|c|^2 + b N|c|) + R.
// So center q is ruled out by center p where t_q > t_p + 2.5 (a|p|^2 + b N|p|) + 2 R.
#pragma once

#include "distances.hpp"
#include "exact.hpp"
#include "kernels.hpp"
#include "simd.hpp"
#include "unchecked.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

constexpr float kHuge = 3e38f;         // a lane without a center
constexpr double kWidestRow = 0x1p60;  // scaled rows beyond it are left to float64
constexpr double kUnit = 0x1p-24;
constexpr double kUnderflow = 0x1p-149;

// The next float32 that is not below. Without a branch, and without arithmetic on denormals, which is slow.
inline float next_up(double value) {
  const float f = static_cast<float>(value), positive = f + 0.0f;  // -0 becomes 0
  int32_t bits;
  memcpy(&bits, &positive, sizeof bits);
  bits += bits < 0 ? -1 : 1;
  float next;
  memcpy(&next, &bits, sizeof next);
  return static_cast<double>(f) < value ? next : f;
}
inline float next_down(double value) { return -next_up(-value); }

// The coordinate that is stored for both rows and centers. Scaling by a power of two is exact but for underflow.
inline float screened(float value, const Screen& s, size_t j) {
  return (value - s.narrow_origin[j]) * static_cast<float>(s.scale);
}
inline float screened(double value, const Screen& s, size_t j) {
  return static_cast<float>((value - s.origin[j]) * s.scale);
}

// The mean of the centers, each divided first: sums of float32 extremes would overflow. Where a difference of two
// float32 could overflow, the origin stays 0; a row that is too far from the centers is left to float64 anyway.
template <class T>
void set_origin(const T* centers, Screen& s) {
  const bool extreme = sizeof(T) == 4 && static_cast<double>(largest_value(centers, s.k * s.d)) >= 0x1p126;
  for (size_t j = 0; j < s.d; ++j) {
    double mean = 0;
    for (size_t c = 0; c < s.k; ++c) mean += static_cast<double>(centers[c * s.d + j]) / static_cast<double>(s.k);
    s.origin[j] = extreme ? 0.0 : static_cast<double>(static_cast<T>(mean));
    s.narrow_origin[j] = static_cast<float>(s.origin[j]);
  }
}

template <class T>
void set_scale(const T* centers, Screen& s) {
  double top = 0;
  for (size_t c = 0; c < s.k; ++c) {
    for (size_t j = 0; j < s.d; ++j) {
      const double value = static_cast<double>(centers[c * s.d + j]) - s.origin[j];
      const double magnitude = value < 0 ? -value : value;
      top = magnitude > top ? magnitude : top;
    }
  }
  s.scale = 1;
  if (top == 0) return;
  // Exact powers of two; the range is cut so that neither the scale nor its inverse leaves float32's by much.
  while (top * s.scale >= 2 && s.scale > 0x1p-600) s.scale *= 0.5;
  while (top * s.scale < 1 && s.scale < 0x1p120) s.scale *= 2;
}

template <class T>
void pack(const T* centers, Screen& s) {
  set_origin(centers, s);
  set_scale(centers, s);
  const double chain = static_cast<double>(kScreenChunk + s.d / kScreenChunk + 8);
  const double rounding = 1.01 * chain * kUnit;
  const double storing = 1.03 * kUnit;
  const double a = 1.1 * (rounding + 2 * storing);
  s.slack = 1.1 * (2 * rounding + 4 * storing);
  s.row_slack = 2 * storing;
  // sqrt(d) <= d; generous, and nothing beside the other terms.
  s.row_absolute = 16 * static_cast<double>(s.d) * kUnderflow;
  s.absolute = 16 * static_cast<double>(s.d + 8) * kUnderflow;
  s.largest_norm = 0;
  const size_t depth = s.d + 1;
  for (size_t lane = 0; lane < s.panels * kLanes; ++lane) {
    float* column = s.packed + lane / kLanes * depth * kLanes + lane % kLanes;
    if (lane >= s.k) {
      for (size_t j = 0; j < depth; ++j) column[j * kLanes] = 0;
      s.start[lane] = kHuge;
      continue;
    }
    double squares = 0;
    for (size_t j = 0; j < s.d; ++j) {
      const float c = screened(centers[lane * s.d + j], s, j);
      squares += static_cast<double>(c) * static_cast<double>(c);
      column[j * kLanes] = -2 * c;
    }
    const double norm = __builtin_sqrt(squares) * (1 + 0x1p-30) + 0x1p-75;
    column[s.d * kLanes] = -next_up(s.slack * norm);
    s.start[lane] = next_down((1 - a) * squares * (1 - 0x1p-30));
    s.width[lane] = 2.5 * a * norm * norm;
    s.width_norm[lane] = 2.5 * s.slack * norm;
    s.largest_norm = norm > s.largest_norm ? norm : s.largest_norm;
  }
}

// Stores a row for the screen: d coordinates, then N.
template <class T>
inline void pack_row(const T* row, const Screen& s, float* out) {
  for (size_t j = 0; j < s.d; ++j) out[j] = screened(row[j], s, j);
  if (!(largest_value(out, s.d) < static_cast<float>(kWidestRow))) {  // infinity too; rows are finite, so no NaN
    for (size_t j = 0; j < s.d; ++j) out[j] = 0;
    out[s.d] = kHuge;
    return;
  }
  Doubles sum = {};
  size_t j = 0;
  for (; j + kDoubleLanes <= s.d; j += kDoubleLanes) {
    const Doubles v = load_doubles(out + j);
    sum += v * v;
  }
  if (j < s.d) {
    const Doubles v = load_doubles(out + j, s.d - j);
    sum += v * v;
  }
  out[s.d] = next_up(__builtin_sqrt(sum_lanes(sum)) * (1 + 0x1p-30) + 0x1p-75);
}

// t of kTileRows rows against the first kVectors vectors of a panel; `take(row, t)` receives those of each row.
template <size_t kVectors, class Take>
inline void tile_of(const float* rows, size_t depth, const float* panel, const float* start, Take&& take) {
  Floats sum[kTileRows][kVectors];
  for (size_t v = 0; v < kVectors; ++v) {
    const Floats initial = load(start + v * kWidth);
    for (size_t r = 0; r < kTileRows; ++r) sum[r][v] = initial;
  }
  const auto add_chunk = [&](size_t begin, size_t end) {
    for (size_t j = begin; j < end; ++j) {
      const float* c = panel + j * kLanes;
      Floats centers[kVectors];
      for (size_t v = 0; v < kVectors; ++v) centers[v] = load(c + v * kWidth);
      for (size_t r = 0; r < kTileRows; ++r) {
        const Floats x = broadcast(rows[r * depth + j]);
        for (size_t v = 0; v < kVectors; ++v) sum[r][v] = multiply_add(x, centers[v], sum[r][v]);
      }
    }
  };
  if (depth <= kScreenChunk) {
    add_chunk(0, depth);
    for (size_t r = 0; r < kTileRows; ++r) take(r, sum[r]);
    return;
  }
  Floats total[kTileRows][kVectors];
  memcpy(total, sum, sizeof total);
  for (size_t j = 0; j < depth; j += kScreenChunk) {
    for (size_t r = 0; r < kTileRows; ++r) {
      for (size_t v = 0; v < kVectors; ++v) sum[r][v] = broadcast(0);
    }
    add_chunk(j, j + kScreenChunk < depth ? j + kScreenChunk : depth);
    for (size_t r = 0; r < kTileRows; ++r) {
      for (size_t v = 0; v < kVectors; ++v) total[r][v] = add(total[r][v], sum[r][v]);
    }
  }
  for (size_t r = 0; r < kTileRows; ++r) take(r, total[r]);
}

template <class Take>
inline void tile(const float* rows, size_t depth, const float* panel, const float* start, Take&& take) {
  tile_of<kTileVectors>(rows, depth, panel, start, take);
}

// Lowest bound, its index, and the lowest of all others, for each row of the block.
struct Leader {
  float lowest;
  float second;
  int32_t index;
};

// The state of each row in `best`: lowest, second lowest and index of the lowest, lane by lane.
template <size_t kVectors>
inline void screen_panel(const float* rows, size_t n, const Screen& s, size_t p, Ints lanes, float* best) {
  const size_t depth = s.d + 1;
  Ints indices[kVectors];
  for (size_t v = 0; v < kVectors; ++v) {
    indices[v] = add_ints(lanes, broadcast_int(static_cast<int32_t>(p * kLanes + v * kWidth)));
  }
  for (size_t i = 0; i < n; i += kTileRows) {
    float* state = best + i * 3 * kWidth;
    const auto take = [&](size_t r, const Floats* t) {
      float* own = state + r * 3 * kWidth;
      Floats lowest = load(own);
      Floats second = load(own + kWidth);
      Ints index = load_ints(own + 2 * kWidth);
      for (size_t v = 0; v < kVectors; ++v) {
        index = select_below(t[v], lowest, indices[v], index);
        if constexpr (kChecked) second = minimum(second, maximum(lowest, t[v]));
        lowest = minimum(lowest, t[v]);
      }
      store(own, lowest);
      store(own + kWidth, second);
      store_ints(own + 2 * kWidth, index);
    };
    tile_of<kVectors>(rows + i * depth, depth, s.packed + p * depth * kLanes, s.start + p * kLanes, take);
  }
}

inline void screen_block(const float* rows, size_t n, const Screen& s, float* best) {
  for (size_t i = 0; i < n * 3 * kWidth; ++i) best[i] = kHuge;
  int32_t lane_numbers[kWidth];
  for (size_t l = 0; l < kWidth; ++l) lane_numbers[l] = static_cast<int32_t>(l);
  float lane_bits[kWidth];
  memcpy(lane_bits, lane_numbers, sizeof lane_bits);
  const Ints lanes = load_ints(lane_bits);
  for (size_t p = 0; p < s.panels; ++p) {
    if (s.k - p * kLanes <= kWidth) {
      screen_panel<1>(rows, n, s, p, lanes, best);  // the other lanes have no centers
    } else {
      screen_panel<kTileVectors>(rows, n, s, p, lanes, best);
    }
  }
}

inline Leader leader_of(const float* state) {
  const Floats lowest = load(state);
  const float least = lowest_of(lowest);
  const auto lane = static_cast<uint32_t>(__builtin_ctz(at_most_mask(lowest, broadcast(least))));
  int32_t index;
  memcpy(&index, state + 2 * kWidth + lane, sizeof index);
  const Floats others = choose_lanes(1u << lane, broadcast(kHuge), lowest);
  return {least, lowest_of(minimum(others, load(state + kWidth))), index};
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
