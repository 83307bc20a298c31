// Which centers a block of packed rows must be compared with, where most of its rows have the same center.
//
// Write D(j) = (|X - C_j|^2 - |X - C|^2) / 2 for a row X whose own center is C, a linear function of X: center j can
// become the nearest one only where D(j) <= 0. A block keeps, for each center j, a gap: a lower bound of D(j) that holds
// for all of its rows whose center is that of most of them. When centers move, C to C' = C + v, C_j to C_j' = C_j + v_j,
//
//   D'(j) - D(j) = v_j.((C_j + C_j') / 2 - C) - |v|^2 / 2 - (X - C).(v_j - v)  >=  shift(j) - R |v_j - v|
//
// with R >= |X - C| of these rows: the shift is the same for all blocks of a center, and is rounded down. A center whose
// gap stays positive is farther than the block's own one from all of these rows. With the others the block is compared
// anew, in 16-bit integers (cpp/packed.hpp), whose values give new gaps and, with |X| <= s (|a| + e), a new
// R^2 <= |X|^2 + |C|^2 - 2 X.C. Everything is in steps of the grid of rows, so that nothing vanishes in float32.
#pragma once

#include "packed.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

constexpr float kMostGap = 0x1p126f;  // larger ones would not remain finite

// Values (count, rows) of the centers names[i]; `few` has room for their panels.
void packed_few(const PackedForm& form, const PackedPanels& centers, const int32_t* names, size_t count,
                const int16_t* rows, const float* numbers, PackedPanels& few, int32_t* values, PackedFound& found) {
  constexpr size_t kPair = 2 * sizeof(int16_t);
  static constexpr int32_t kNone[kPackedRows] = {};
  few.k = count;
  few.tiles = (count + kPackedTile - 1) / kPackedTile;
  few.names = centers.names;
  few.length = centers.length;
  few.error = centers.error;
  few.rounding = centers.rounding;
  for (size_t i = 0; i < few.tiles * kPackedTile; ++i) {
    const size_t name = static_cast<size_t>(names[i < count ? i : 0]);
    const int16_t* from = centers.packed + (name / kPackedTile * form.pairs * kPackedTile + name % kPackedTile) * 2;
    int16_t* to = few.packed + (i / kPackedTile * form.pairs * kPackedTile + i % kPackedTile) * 2;
    for (size_t p = 0; p < form.pairs; ++p) {
      if (i < count) {
        memcpy(to + p * kPackedTile * 2, from + p * kPackedTile * 2, kPair);
      } else {
        memset(to + p * kPackedTile * 2, 0, kPair);
      }
    }
    few.start[i] = i < count ? centers.start[name] : kMostValue;
  }
  packed_compare(form, few, rows, numbers, kNone, values, found);
}

// The lowest of all lanes.
inline float lowest_of(Floats v) {
  float lanes[kWidth];
  store(lanes, v);
  float lowest = lanes[0];
  for (size_t l = 1; l < kWidth; ++l) lowest = lanes[l] < lowest ? lanes[l] : lowest;
  return lowest;
}

void packed_gaps(const PackedPanels& centers, const int32_t* values, size_t count, uint64_t lanes,
                 const float* numbers, float* gaps, float* radius) {
  constexpr float kUp = 1 + 0x1p-18f;  // beside a few roundings of float32, each 2^-24 of what is added
  constexpr size_t kVectors = kPackedRows / kWidth;
  const Floats nowhere = broadcast(kMostGap), twice = broadcast(2 * centers.ratio);
  Floats own[kVectors], beside[kVectors], square = broadcast(0);
  for (size_t v = 0; v < kVectors; ++v) {
    float in[kWidth];
    for (size_t l = 0; l < kWidth; ++l) in[l] = (lanes >> (v * kWidth + l) & 1) != 0 ? 0 : kMostGap;
    const float* of_rows = numbers_of(numbers, v * kWidth);
    const Floats value = to_floats(load_words(values + v * kWidth)), width = packed_width(centers, of_rows);
    const Floats length = load(of_rows) + load(of_rows + kPackedLanes), way = twice * (value + width);
    const Floats outside = load(in), squares = length * length;
    own[v] = value + width;
    beside[v] = outside;
    const Floats sum = multiply_add(squares + maximum(way, broadcast(0) - way), broadcast(kUp - 1), squares + way);
    square = maximum(square, choose_below(outside, broadcast(1), sum, broadcast(0)));
  }
  float squares[kWidth], most = 0;
  store(squares, square);
  for (size_t l = 0; l < kWidth; ++l) most = squares[l] > most ? squares[l] : most;
  *radius = __builtin_sqrtf(most) * kUp + 0x1p-20f;
  for (size_t i = 0; i < count; ++i) {
    Floats lowest = nowhere;
    for (size_t v = 0; v < kVectors; ++v) {
      const Floats gap = to_floats(load_words(values + i * kPackedRows + v * kWidth)) - own[v];
      lowest = minimum(maximum(gap, beside[v]), lowest);
    }
    const float gap = lowest_of(lowest) * centers.ratio;
    gaps[i] = gap > 0 ? (gap < kMostGap ? gap * (2 - kUp) : kMostGap) : -kMostGap;
  }
}

size_t packed_needs(float* gaps, const float* shifts, const float* ways, float radius, size_t k, int32_t* names) {
  size_t count = 0;
  const Floats lost = broadcast(0x1p-21f), r = broadcast(radius), zero = broadcast(0), most = broadcast(kMostGap);
  for (size_t j = 0; j < k; j += kWidth) {
    const Floats gap = load(gaps + j) + load(shifts + j), way = r * load(ways + j);
    const Floats size = maximum(gap, zero - gap) + way;
    const Floats moved = minimum(gap - way - size * lost, most);
    store(gaps + j, moved);
    uint32_t far = at_most_mask(broadcast(0x1p-100f), moved);  // what is no number is not
    for (uint32_t near = ~far & static_cast<uint32_t>((uint64_t{1} << kWidth) - 1); near != 0; near &= near - 1) {
      names[count++] = static_cast<int32_t>(j) + __builtin_ctz(near);
    }
  }
  return count;
}

// |v| of each center, right to 2^-30 of it: (padded,) out.
inline void packed_paths(const double* moved, size_t padded, size_t d, double* out) {
  for (size_t j = 0; j < padded; j += kDoubleLanes) {
    Doubles sum = {};
    for (size_t t = 0; t < d; ++t) {
      const Doubles v = load_doubles(moved + t * padded + j);
      sum += v * v;
    }
    for (size_t l = 0; l < kDoubleLanes; ++l) out[j + l] = __builtin_sqrt(sum[l]);
  }
}

// Sums of d products in float64 are right to d 2^-52 < 2^-32 of the sum of their magnitudes; what squares lose where
// they vanish is next to nothing in steps of the grid.
void packed_moves(const double* before, const double* moved, size_t k, size_t padded, size_t d, double step,
                  double* paths, float* shifts, float* ways) {
  constexpr double kLost = 0x1p-30, kNothing = 0x1p-100;
  packed_paths(moved, padded, d, paths);
  for (size_t c = 0; c < k; ++c) {
    for (size_t j = 0; j < padded; j += kDoubleLanes) {
      Doubles products = {}, squares = {}, gaps = {};
      for (size_t t = 0; t < d; ++t) {
        const Doubles v = load_doubles(moved + t * padded + j), turn = v - moved[t * padded + c];
        const Doubles gap = load_doubles(before + t * padded + j) - before[t * padded + c];
        products += v * (gap + v * 0.5);
        squares += turn * turn;
        gaps += gap * gap;
      }
      for (size_t l = 0; l < kDoubleLanes; ++l) {
        const size_t name = j + l;
        const bool other = name < k && name != c;
        const double path = paths[name], own = paths[c], size = path * (__builtin_sqrt(gaps[l]) + path) + own * own;
        const double shift = (products[l] - own * own * 0.5 - kLost * size) / step / step - kNothing;
        const double way = (__builtin_sqrt(squares[l]) + kLost * (path + own)) / step * (1 + kLost) + kNothing;
        shifts[c * padded + name] = other ? next_down(shift) : 0;
        ways[c * padded + name] = other ? next_up(way) : 0;
      }
    }
  }
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
