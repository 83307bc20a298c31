// Which centers a block of packed rows must be compared with, where most of its rows have the same center.
//
// Write D(j) = (|X - C_j|^2 - |X - C|^2) / 2 for a row X and the center C of most rows of its block, a linear function
// of X: center j can become the row's nearest one only where D(j) <= 0, whatever center it has now. A block keeps, for
// each center j, a gap: a lower bound of D(j) that holds for all of its rows but the strays, which had another center
// when rows were sorted. A row that moves later stays: its new center has a gap of at most 0. When centers move, C to
// C' = C + v, C_j to C_j' = C_j + v_j,
//
//   D'(j) - D(j) = v_j.((C_j + C_j') / 2 - C) - |v|^2 / 2 - (X - C).(v_j - v)  >=  shift(j) - R |v_j - v|
//
// with R >= |X - C| of these rows: the shift is the same for all blocks of a center, and is rounded down. A center
// whose gap stays positive is farther than the block's own one from all of these rows; where all do, the block's own
// one is the nearest of all. With the others the block is compared anew, in 16-bit integers (cpp/packed.hpp), whose
// values give new gaps and, with |X| <= s (|a| + e), a new R^2 <= |X|^2 + |C|^2 - 2 X.C. Everything is in steps of the
// grid of rows, so that nothing vanishes in float32.
#pragma once

#include "packed.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

constexpr float kMostGap = 0x1p126f;  // larger ones would not remain finite

// With few centers more rows beside each other keep the multipliers busy.
constexpr size_t kFewVectors = kWidth == 16 ? 4 : 2, kFewCenters = kWidth == 16 ? 4 : 2;

// The centers names[i], i < kCenters, called by `number` and up; values (kCenters, rows) out.
template <size_t kCenters>
inline __attribute__((always_inline)) void few_tile(const int16_t* const (&x)[kFewVectors], const PackedPanels& c,
                                                    const int32_t* names, size_t pairs, size_t number, int32_t* values,
                                                    PackedBest<kFewVectors>& best) {
  Ints sum[kFewVectors][kCenters];
  const int16_t* columns[kCenters];
  each<0, kCenters>([&](size_t i) __attribute__((always_inline)) {
    const auto name = static_cast<size_t>(names[i]);
    columns[i] = c.packed + (name / kPackedTile * pairs * kPackedTile + name % kPackedTile) * 2;
    const Ints start = broadcast_int(c.start[name]);
    for (size_t v = 0; v < kFewVectors; ++v) sum[v][i] = start;
  });
  for (size_t p = 0; p < pairs; ++p) {
    Ints rows[kFewVectors];
    for (size_t v = 0; v < kFewVectors; ++v) rows[v] = load_pairs(x[v] + p * kPackedLanes * 2);
    each<0, kCenters>([&](size_t i) __attribute__((always_inline)) {
      const Ints center = broadcast_pair(columns[i] + p * kPackedTile * 2);
      for (size_t v = 0; v < kFewVectors; ++v) add_pairs(sum[v][i], rows[v], center);
    });
  }
  const Ints mask = broadcast_int(c.names);
  each<0, kCenters>([&](size_t i) __attribute__((always_inline)) {
    const Ints name = broadcast_int(static_cast<int32_t>(number + i));
    for (size_t v = 0; v < kFewVectors; ++v) {
      store_words(values + i * kPackedRows + v * kWidth, sum[v][i]);
      packed_take(sum[v][i], name, mask, v, best);
    }
  });
}

void packed_few(const PackedForm& form, const PackedPanels& centers, const int32_t* names, size_t count,
                const int16_t* rows, const float* numbers, int32_t* values, PackedFound& found) {
  static constexpr int32_t kFirst[kPackedRows] = {};
  found.changed = ~uint64_t{0};
  found.open = kChecked ? ~uint64_t{0} : 0;
  for (size_t first = 0; first < kPackedRows; first += kFewVectors * kWidth) {
    const int16_t* x[kFewVectors];
    PackedBest<kFewVectors> best;
    packed_begin(form, rows, first, x, best);
    size_t i = 0;
    for (; i + kFewCenters <= count; i += kFewCenters) {
      few_tile<kFewCenters>(x, centers, names + i, form.pairs, i, values + i * kPackedRows + first, best);
    }
    for (; i + 2 <= count; i += 2) {
      few_tile<2>(x, centers, names + i, form.pairs, i, values + i * kPackedRows + first, best);
    }
    if (i < count) few_tile<1>(x, centers, names + i, form.pairs, i, values + i * kPackedRows + first, best);
    packed_tell(centers, numbers, kFirst, first, best, found);
  }
}

void packed_gaps(const PackedPanels& centers, const int32_t* values, size_t count, uint64_t lanes, const float* numbers,
                 float* gaps, float* radius) {
  constexpr float kUp = 1 + 0x1p-18f;  // beside a few roundings of float32, each 2^-24 of what is added
  constexpr size_t kVectors = kPackedRows / kWidth;
  const Floats zero = broadcast(0), nowhere = broadcast(kMostGap), ratio = broadcast(centers.ratio),
               twice = broadcast(2 * centers.ratio);
  Floats own[kVectors], beside[kVectors], square = broadcast(0);
  for (size_t v = 0; v < kVectors; ++v) {
    const float* of_rows = numbers_of(numbers, v * kWidth);
    const Floats value = to_floats(load_words(values + v * kWidth)), width = packed_width(centers, of_rows);
    const Floats length = load(of_rows) + load(of_rows + kPackedLanes), way = twice * (value + width);
    const Floats outside = choose_lanes(lanes >> (v * kWidth), zero, nowhere), squares = length * length;
    own[v] = value + width;
    beside[v] = outside;
    const Floats sum = multiply_add(squares + maximum(way, broadcast(0) - way), broadcast(kUp - 1), squares + way);
    square = maximum(square, choose_below(outside, broadcast(1), sum, broadcast(0)));
  }
  const float most = highest_of(square);
  *radius = __builtin_sqrtf(most) * kUp + 0x1p-20f;
  for (size_t i = 0; i < count; i += kWidth) {
    const size_t some = count - i < kWidth ? count - i : kWidth;
    Floats lowest[kWidth];
    for (Floats& one : lowest) one = nowhere;
    for (size_t l = 0; l < some; ++l) {
      for (size_t v = 0; v < kVectors; ++v) {
        const Floats gap = to_floats(load_words(values + (i + l) * kPackedRows + v * kWidth)) - own[v];
        lowest[l] = minimum(maximum(gap, beside[v]), lowest[l]);
      }
    }
    const Floats least = merge_lanes(lowest, [](Floats a, Floats b) { return minimum(a, b); });
    const Floats gap = minimum(least * ratio, nowhere) * broadcast(2 - kUp);
    store(gaps + i, choose_below(zero, gap, gap, zero - nowhere));
  }
}

size_t packed_needs(float* gaps, const float* shifts, const float* ways, float radius, size_t own, size_t k,
                    int32_t* names) {
  size_t count = 0;
  const Floats lost = broadcast(0x1p-21f), r = broadcast(radius), zero = broadcast(0), most = broadcast(kMostGap);
  for (size_t j = 0; j < k; j += kWidth) {
    const Floats gap = load(gaps + j) + load(shifts + j), way = r * load(ways + j);
    const Floats size = maximum(gap, zero - gap) + way;
    const Floats moved = minimum(most, gap - way - size * lost);  // stays no number
    store(gaps + j, moved);
    // What is no number is not at least anything.
    uint64_t near = ~uint64_t{at_most_mask(broadcast(0x1p-100f), moved)};
    near &= (uint64_t{1} << (k - j < kWidth ? k - j : kWidth)) - 1;
    if (own - j < kWidth) near &= ~(uint64_t{1} << (own - j));
    for (; near != 0; near &= near - 1) names[count++] = static_cast<int32_t>(j) + __builtin_ctzll(near);
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
