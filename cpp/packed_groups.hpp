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
// values give new gaps and, with |X| <= s (|a| + e), a new R^2 <= |X|^2 + |C|^2 - 2 X.C. Whatever was known before,
//
//   D(j) = |C_j - C|^2 / 2 - (X - C).(C_j - C)  >=  |C_j - C| (|C_j - C| / 2 - R)
//
// so that rows which were sorted a moment ago, or centers that go far, leave only centers nearby. Nothing else is known
// of strays: those of one center are compared with it alone, which gives their R, and then with the centers that R
// leaves. Everything is in steps of the grid of rows, so that nothing vanishes in float32.
#pragma once

#include "packed.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

constexpr float kMostGap = 0x1p126f;  // larger ones would not remain finite

// Rows and centers whose sums fill the registers; with few centers more rows beside each other keep the multipliers
// busy.
constexpr size_t kFewVectors = kWidth == 16 ? 4 : 2, kFewCenters = 4;
constexpr uint64_t kFewLanes = ~uint64_t{0} >> (64 - kFewVectors * kWidth);

// The values of the centers names[i], i < kCenters, for some vectors of rows.
template <size_t kCenters>
inline __attribute__((always_inline)) void few_sums(const int16_t* const (&x)[kFewVectors], const PackedPanels& c,
                                                    const int32_t* names, size_t pairs,
                                                    Ints (&sum)[kFewVectors][kCenters]) {
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
}

// The same centers, called by `number` and up, beside the first one: `own` is what their values must be above. The
// lowest differences (kCenters, kWidth) in/out.
template <size_t kCenters>
inline __attribute__((always_inline)) void few_tile(const int16_t* const (&x)[kFewVectors], const PackedPanels& c,
                                                    const int32_t* names, size_t pairs, size_t number,
                                                    const Floats (&own)[kFewVectors], float* lowest,
                                                    PackedBest<kFewVectors>& best) {
  Ints sum[kFewVectors][kCenters];
  few_sums<kCenters>(x, c, names, pairs, sum);
  const Ints mask = broadcast_int(c.names);
  each<0, kCenters>([&](size_t i) __attribute__((always_inline)) {
    const Ints name = broadcast_int(static_cast<int32_t>(number + i));
    Floats least = load(lowest + i * kWidth);
    for (size_t v = 0; v < kFewVectors; ++v) {
      least = minimum(least, to_floats(sum[v][i]) - own[v]);
      packed_take(sum[v][i], name, mask, v, best);
    }
    store(lowest + i * kWidth, least);
  });
}

// What rows of one vector of lanes say by the value of their block's own center: what others' values must be above for
// these to be farther, which is nothing outside of `lanes`; and the largest R^2.
inline Floats few_own(const PackedPanels& centers, Ints sum, const float* numbers, uint32_t lanes, Floats& square) {
  constexpr float kUp = 0x1p-18f;  // beside a few roundings of float32, each 2^-24 of what is added
  const Floats value = to_floats(sum) + packed_width(centers, numbers), zero = broadcast(0);
  const Floats length = load(numbers) + load(numbers + kPackedLanes), squares = length * length;
  const Floats way = broadcast(2 * centers.ratio) * value;
  const Floats most = multiply_add(squares + maximum(way, zero - way), broadcast(kUp), squares + way);
  square = maximum(square, choose_lanes(lanes, most, zero));
  return choose_lanes(lanes, value, broadcast(-kMostGap));
}

void packed_few(const PackedForm& form, const PackedPanels& centers, const int32_t* names, size_t count,
                const int16_t* rows, const float* numbers, uint64_t lanes, float* gaps, float* radius,
                PackedFound& found) {
  static constexpr int32_t kFirst[kPackedRows] = {};
  constexpr float kUp = 1 + 0x1p-18f;
  const Floats zero = broadcast(0), nowhere = broadcast(kMostGap);
  for (size_t i = 0; i < count + kWidth - 1; ++i) store(gaps + i * kWidth, nowhere);
  found.changed = ~uint64_t{0};
  found.open = kChecked ? ~uint64_t{0} : 0;
  Floats square = zero;
  for (size_t first = 0; first < kPackedRows; first += kFewVectors * kWidth) {
    if ((lanes >> first & kFewLanes) == 0) continue;
    const int16_t* x[kFewVectors];
    PackedBest<kFewVectors> best;
    packed_begin(form, rows, first, x, best);
    Ints value[kFewVectors][1];
    few_sums<1>(x, centers, names, form.pairs, value);
    Floats own[kFewVectors];
    for (size_t v = 0; v < kFewVectors; ++v) {
      const size_t row = first + v * kWidth;
      packed_take(value[v][0], broadcast_int(0), broadcast_int(centers.names), v, best);
      own[v] = few_own(centers, value[v][0], numbers_of(numbers, row), static_cast<uint32_t>(lanes >> row), square);
    }
    size_t i = 1;
    for (; i + kFewCenters <= count; i += kFewCenters) {
      few_tile<kFewCenters>(x, centers, names + i, form.pairs, i, own, gaps + i * kWidth, best);
    }
    for (; i + 2 <= count; i += 2) few_tile<2>(x, centers, names + i, form.pairs, i, own, gaps + i * kWidth, best);
    if (i < count) few_tile<1>(x, centers, names + i, form.pairs, i, own, gaps + i * kWidth, best);
    packed_tell(centers, numbers, kFirst, first, best, found);
  }
  *radius = __builtin_sqrtf(highest_of(square)) * kUp + 0x1p-20f;
  for (size_t i = 0; i < count; i += kWidth) {  // what is written was read before
    Floats lowest[kWidth];
    for (size_t l = 0; l < kWidth; ++l) lowest[l] = load(gaps + (i + l) * kWidth);
    const Floats least = merge_lanes(lowest, [](Floats a, Floats b) { return minimum(a, b); });
    const Floats gap = minimum(least * broadcast(centers.ratio), nowhere) * broadcast(2 - kUp);
    store(gaps + i, choose_below(zero, gap, gap, zero - nowhere));
  }
}

size_t packed_needs(const PackedMoves& moves, size_t own, float radius, float reach, float* gaps, int32_t* names) {
  size_t count = 0;
  const Floats lost = broadcast(0x1p-21f), r = broadcast(radius), zero = broadcast(0), most = broadcast(kMostGap);
  const size_t of_own = own * moves.padded;
  for (size_t j = 0; j < moves.k; j += kWidth) {
    const Floats gap = load(gaps + j) + load(moves.shifts + of_own + j), way = r * load(moves.ways + of_own + j);
    const Floats size = maximum(gap, zero - gap) + way;
    const Floats moved = minimum(most, gap - way - size * lost);  // stays no number
    const Floats between = load(moves.apart + of_own + j),
                 around = between * (between * broadcast(0.5f) - broadcast(reach));
    // Below 0 it may be above the gap, but then its center is compared, and the gap found anew.
    const Floats known = minimum(most, around - maximum(around, zero - around) * lost);
    const Floats least = choose_below(moved, known, known, moved);
    store(gaps + j, least);
    // What is no number is not at least anything.
    uint64_t near = ~uint64_t{at_most_mask(broadcast(0x1p-100f), least)};
    near &= (uint64_t{1} << (moves.k - j < kWidth ? moves.k - j : kWidth)) - 1;
    if (own - j < kWidth) near &= ~(uint64_t{1} << (own - j));
    for (; near != 0; near &= near - 1) names[count++] = static_cast<int32_t>(j) + __builtin_ctzll(near);
  }
  return count;
}

// Sums of d products in float64 are right to d 2^-52 < 2^-32 of the sum of their magnitudes; what squares lose where
// they vanish is next to nothing in steps of the grid.
void packed_moves(const PackedMoves& moves, size_t first, size_t end) {
  constexpr double kLost = 0x1p-30, kNothing = 0x1p-100;
  const size_t padded = moves.padded;
  for (size_t c = first; c < end; ++c) {
    for (size_t j = 0; j < padded; j += kDoubleLanes) {
      Doubles products = {}, squares = {}, gaps = {}, nows = {};
      for (size_t t = 0; t < moves.d; ++t) {
        const double *before = moves.before + t * padded, *now = moves.now + t * padded;
        const Doubles was = load_doubles(before + j), gap = was - before[c];
        const Doubles v = load_doubles(now + j) - was, turn = v - (now[c] - before[c]), between = gap + turn;
        products += v * (gap + v * 0.5);
        squares += turn * turn;
        gaps += gap * gap;
        nows += between * between;
      }
      for (size_t l = 0; l < kDoubleLanes; ++l) {
        const size_t name = j + l, place = c * padded + name;
        const bool other = name < moves.k && name != c;
        const double path = moves.paths[name], own = moves.paths[c], gap = __builtin_sqrt(gaps[l]);
        const double size = path * (gap + path) + own * own;
        const double shift = (products[l] - own * own * 0.5 - kLost * size) / moves.step / moves.step - kNothing;
        const double way = (__builtin_sqrt(squares[l]) + kLost * (path + own)) / moves.step * (1 + kLost) + kNothing;
        const double apart = (__builtin_sqrt(nows[l]) - kLost * (gap + path + own)) / moves.step - kNothing;
        moves.shifts[place] = other ? next_down(shift) : 0;
        moves.ways[place] = other ? next_up(way) : 0;
        moves.apart[place] = other && apart > 0 ? next_down(apart) : 0;
      }
    }
  }
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
