// Rows as 16-bit integers on one grid, kPackedLanes rows side by side: all rows are compared with all centers, and what
// this leaves open goes to the float32 screen. For few clusters, where bounds cost more than such a comparison.
//
// Write X, C for row and center less the origin, as real numbers. A row is stored as x^ = s a and a center as c^ = s'
// b, a and b integers, |a|, |b| < 2^15 as vectors, so that the products a.b are exact. In units of 2 s s' the
// difference of |X - C|^2 and |X|^2 is S = |C|^2 / (2 s s') - X.C / (s s'), and
//
//   |S - (|C|^2 / (2 s s') - a.b)| <= e L + |a| g,   |X - x^| <= e s,   |C| <= L s',   |C - c^| <= g s'
//
// since X.C = x^.c^ + (X - x^).C + x^.(C - c^). With the largest L and g of all centers, a center is ruled out by
// another whose value is lower by more than 2 (e L + |a| g), beside what is lost of the values themselves: |C|^2 / (2 s
// s') is rounded to an integer, up to 2^30 by the choice of s'; the last bits of each value make room for the name of
// the center, m of them; and the difference of two values is taken in float32. All that is below 2 (1 + 2^m) + 2^9.
#pragma once

#include "pairs.hpp"
#include "short_screen.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

constexpr int32_t kMostValue = 0x7fffffff;
constexpr size_t kMostPackedDims = size_t{1} << 20;  // rounding adds sqrt(d) / 2 to |a| and |b|, which must fit

// Rows and centers whose sums fill the registers.
constexpr size_t kPackedVectors = kWidth == 1 ? 1 : 2, kPackedCenters = kWidth == 16 ? 8 : 4;

inline const float* origin_of(const PackedForm& form, const float*) { return form.narrow_origin; }
inline const double* origin_of(const PackedForm& form, const double*) { return form.origin; }

// What storing the rows of one vector of lanes found out, a vector for each row.
struct PackedSums {
  Floats norm[kWidth], error[kWidth];  // squares of X and X - x^, in steps of the grid
};

// The whole numbers that stand for up to kWidth values of row i, which has `left` from x on; the others are 0.
template <class T>
inline Floats pack_values(const T* x, const T* origin, size_t left, float inverse, size_t i, PackedSums& sums) {
  const Floats round = broadcast(12582912);  // 1.5 * 2^23: adding it rounds to an integer
  const Floats gap_of = left < kWidth ? difference(x, origin, left) : difference(x, origin);
  const Floats scaled = gap_of * broadcast(inverse), rounded = (scaled + round) - round, gap = scaled - rounded;
  sums.norm[i] = multiply_add(scaled, scaled, sums.norm[i]);
  sums.error[i] = multiply_add(gap, gap, sums.error[i]);
  return rounded;
}

// packed (pairs, kPackedLanes, 2) out, numbers (2, kPackedLanes) out: e and |a|, rounded up; e is infinite where a row
// does not fit the grid.
template <class T>
void pack_lanes(const T* rows, size_t n, const PackedForm& form, int16_t* packed, float* numbers) {
  // Sums of d squares in float32 are right to (d + 2) 2^-24 of them; `scaled` is right to 3 2^-24, and to the unit of
  // float32 where it vanishes.
  const float up = 1 + static_cast<float>(form.d + 8) * 0x1p-22f, least = static_cast<float>(form.d) * 0x1p-40f;
  const float inverse = 1 / form.step;  // |a| is at most what X and X - x^ come to together
  for (size_t first = 0; first < kPackedLanes; first += kWidth) {
    const size_t present = first < n ? (n - first < kWidth ? n - first : kWidth) : 0;
    PackedSums sums;
    for (size_t i = 0; i < kWidth; ++i) sums.norm[i] = sums.error[i] = broadcast(0);
    for (size_t j = 0; j < form.d; j += 2 * kWidth) {
      const T* origin = origin_of(form, rows) + j;
      const size_t left = form.d - j, pairs = left < 2 * kWidth ? form.pairs - j / 2 : kWidth;
      Ints words[kWidth];
      for (size_t i = 0; i < kWidth; ++i) {
        Floats low = broadcast(0), high = low;
        if (i < present) {
          const T* x = rows + (first + i) * form.d + j;
          low = pack_values(x, origin, left, inverse, i, sums);
          if (left > kWidth) high = pack_values(x + kWidth, origin + kWidth, left - kWidth, inverse, i, sums);
        }
        words[i] = to_pairs(low, high);
      }
      transpose(words);
      for (size_t p = 0; p < pairs; ++p) store_pairs(packed + ((j / 2 + p) * kPackedLanes + first) * 2, words[p]);
    }
    const Floats scale = broadcast(up), norm = square_root(lane_sums(sums.norm)) * scale;
    const Floats error = multiply_add(norm, broadcast(4 * static_cast<float>(kUnit)),
                                      multiply_add(square_root(lane_sums(sums.error)), scale, broadcast(least)));
    const Floats grid = broadcast(form.d <= kMostPackedDims ? static_cast<float>(kGridNorm) : 0);
    store(numbers + first, choose_below(norm, grid, error * scale, broadcast(__builtin_inff())));
    store(numbers + kPackedLanes + first, choose_below(norm, grid, (norm + error) * scale, broadcast(0)));
    const uint32_t fits = at_most_mask(norm, grid);
    for (size_t i = 0; i < kWidth; ++i) {
      if ((fits >> i & 1) != 0) continue;
      for (size_t p = 0; p < form.pairs; ++p) {
        memset(packed + (p * kPackedLanes + first + i) * 2, 0, 2 * sizeof *packed);
      }
    }
  }
}

// As load_pairs: by way of a copy, g++ 12 stores halves of a vector and waits to load it whole.
inline Ints load_words(const int32_t* p) { return load_ints(reinterpret_cast<const float*>(p)); }
inline void store_words(int32_t* p, Ints v) { store_ints(reinterpret_cast<float*>(p), v); }

// The lowest value of each of some rows among all centers, and the second lowest; each ends with the name of its
// center.
template <size_t kVectors>
struct PackedBest {
  Ints lowest[kVectors], second[kVectors];
};

template <size_t kVectors>
inline __attribute__((always_inline)) void packed_take(Ints sum, Ints name, Ints names, size_t v,
                                                       PackedBest<kVectors>& best) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  const Ints value = _mm256_or_si256(_mm256_andnot_si256(names, sum), name);  // which has no other bits
#else
  const Ints value = mix_bits(sum, name, names);
#endif
  if constexpr (kChecked) best.second[v] = least_ints(best.second[v], most_ints(best.lowest[v], value));
  best.lowest[v] = least_ints(best.lowest[v], value);
}

// kCenters of a tile of centers, from the center `first` on; x: where each vector of rows begins.
template <size_t kCenters, size_t kVectors>
inline __attribute__((always_inline)) void packed_tile(const int16_t* const (&x)[kVectors], const PackedPanels& c,
                                                       size_t pairs, size_t first, PackedBest<kVectors>& best) {
  Ints sum[kVectors][kCenters];
  each<0, kCenters>([&](size_t i) __attribute__((always_inline)) {
    const Ints start = broadcast_int(c.start[first + i]);
    for (size_t v = 0; v < kVectors; ++v) sum[v][i] = start;
  });
  const int16_t* panel = c.packed + (first / kPackedTile * pairs * kPackedTile + first % kPackedTile) * 2;
  for (size_t p = 0; p < pairs; ++p) {
    Ints rows[kVectors];
    for (size_t v = 0; v < kVectors; ++v) rows[v] = load_pairs(x[v] + p * kPackedLanes * 2);
    each<0, kCenters>([&](size_t i) __attribute__((always_inline)) {
      const Ints center = broadcast_pair(panel + (p * kPackedTile + i) * 2);
      for (size_t v = 0; v < kVectors; ++v) add_pairs(sum[v][i], rows[v], center);
    });
  }
  const Ints names = broadcast_int(c.names);
  each<0, kCenters>([&](size_t i) __attribute__((always_inline)) {
    const Ints name = broadcast_int(static_cast<int32_t>(first + i));
    for (size_t v = 0; v < kVectors; ++v) {
      packed_take(sum[v][i], name, names, v, best);
    }
  });
}

// Where each of some vectors of rows begins, and nothing found yet.
template <size_t kVectors>
inline void packed_begin(const PackedForm& form, const int16_t* rows, size_t first, const int16_t* (&x)[kVectors],
                         PackedBest<kVectors>& best) {
  for (size_t v = 0; v < kVectors; ++v) {
    const size_t row = first + v * kWidth;
    x[v] = rows + (row / kPackedLanes * form.pairs * kPackedLanes + row % kPackedLanes) * 2;
    best.lowest[v] = best.second[v] = broadcast_int(kMostValue);
  }
}

// What a row's values may differ from the real ones by, together, those of two centers; numbers (2, kPackedLanes) of
// its lanes.
inline Floats packed_width(const PackedPanels& centers, const float* numbers) {
  return multiply_add(
      load(numbers), broadcast(centers.length),
      multiply_add(load(numbers + kPackedLanes), broadcast(centers.error), broadcast(centers.rounding)));
}
inline const float* numbers_of(const float* numbers, size_t row) {
  return numbers + row / kPackedLanes * 2 * kPackedLanes + row % kPackedLanes;
}

// What the best values of some rows of a block, from `first` on, say about them.
template <size_t kVectors>
inline void packed_tell(const PackedPanels& centers, const float* numbers, const int32_t* before, size_t first,
                        const PackedBest<kVectors>& best, PackedFound& found) {
  for (size_t v = 0; v < kVectors; ++v) {
    const size_t row = first + v * kWidth;
    const Ints none = broadcast_int(0), names = broadcast_int(centers.names);
    const Ints index = mix_bits(none, best.lowest[v], names);
    store_words(found.labels + row, index);
    store_words(found.values + row, best.lowest[v]);
    const Floats own_label = to_floats(load_words(before + row)), label = to_floats(index);
    const uint32_t same = at_most_mask(own_label, label) & at_most_mask(label, own_label);
    const Floats width = packed_width(centers, numbers_of(numbers, row));
    // What is no number is not at most anything.
    const uint32_t decided = at_most_mask(width, to_floats(best.second[v]) - to_floats(best.lowest[v]));
    found.changed &= ~(static_cast<uint64_t>(same) << row);
    if constexpr (kChecked) found.open &= ~(static_cast<uint64_t>(decided) << row);
  }
}

void packed_labels(const PackedForm& form, const PackedPanels& centers, const int16_t* rows, const float* numbers,
                   const int32_t* before, PackedFound& found) {
  found.changed = ~uint64_t{0};
  found.open = kChecked ? ~uint64_t{0} : 0;
  for (size_t first = 0; first < kPackedRows; first += kPackedVectors * kWidth) {
    const int16_t* x[kPackedVectors];
    PackedBest<kPackedVectors> best;
    packed_begin(form, rows, first, x, best);
    size_t c = 0;
    for (; kPackedCenters == 8 && c + 4 < centers.k; c += 8)
      packed_tile<kPackedCenters>(x, centers, form.pairs, c, best);
    for (; c + 2 < centers.k; c += 4) packed_tile<4>(x, centers, form.pairs, c, best);
    if (c < centers.k) packed_tile<2>(x, centers, form.pairs, c, best);
    packed_tell(centers, numbers, before, first, best, found);
  }
}

// The least of the lengths (k,) that at least half of them do not pass.
inline float middle_of(const float* lengths, size_t k) {
  uint32_t low = 0, high = 0x7fffffff;  // bits of numbers that are not negative are in their order
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    size_t within = 0;
    for (size_t c = 0; c < k; ++c) within += __builtin_bit_cast(uint32_t, lengths[c]) <= middle ? 1 : 0;
    if (within > k / 2) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return __builtin_bit_cast(float, low);
}

// The origin less up to kDoubleLanes values of a center from j on; zeros beyond.
template <class T>
inline Doubles from_center(const T* center, const PackedForm& form, size_t j) {
  const size_t left = form.d - j;
  if (left < kDoubleLanes) return load_doubles(form.origin + j, left) - load_doubles(center + j, left);
  return load_doubles(form.origin + j) - load_doubles(center + j);
}

template <class T>
inline double center_squares(const T* center, const PackedForm& form) {
  Doubles squares = {};
  for (size_t j = 0; j < form.d; j += kDoubleLanes) {
    const Doubles v = from_center(center, form, j);
    squares += v * v;
  }
  return sum_lanes(squares);
}

// One center onto its grid, in units of 1 / `inverse`; returns the length of what that changes, in these.
template <class T>
inline double pack_center(const T* center, const PackedForm& form, double inverse, int16_t* column) {
  const Doubles round = Doubles{} + 0x1.8p52;  // adding it rounds to an integer
  Doubles error = {};
  for (size_t j = 0; j < form.d; j += kDoubleLanes) {
    const Doubles scaled = from_center(center, form, j) * inverse, rounded = (scaled + round) - round;
    error += (scaled - rounded) * (scaled - rounded);
    const size_t count = 2 * form.pairs - j < kDoubleLanes ? 2 * form.pairs - j : kDoubleLanes;
    int16_t* const values = column + j * kPackedTile;
    for (size_t l = 0; l < count; ++l) values[l / 2 * kPackedTile * 2 + l % 2] = static_cast<int16_t>(rounded[l]);
  }
  return __builtin_sqrt(sum_lanes(error));
}

// Centers (k, d) -> panels (out), as the proof above wants them; lengths (k,) is scratch. A center that lies much
// farther away than most would coarsen the grid of all: its products are taken to be the most they can be, and rows
// that it is nearest to are open.
template <class T>
void pack_panels(const T* centers, const PackedForm& form, float* lengths, PackedPanels& out) {
  constexpr double kUp = 1 + 0x1p-20;      // beside the roundings of float64 here, and those of the width
  constexpr double kShortest = 0x1p-100;   // of the grid: what is shorter is rounded too coarsely in float32
  constexpr double kMostStart = 0x1p1000;  // infinite ones would give differences that are no numbers
  constexpr float kFar = 8;
  for (size_t c = 0; c < out.k; ++c) {
    lengths[c] = static_cast<float>(__builtin_sqrt(center_squares(centers + c * form.d, form)));
  }
  const float most = kFar * middle_of(lengths, out.k);
  double longest = kShortest;
  for (size_t c = 0; c < out.k; ++c) {
    out.far[c] = lengths[c] > most ? 1 : 0;
    if (out.far[c] == 0) longest = __builtin_fmax(longest, static_cast<double>(lengths[c]) * kUp);
  }
  const double row_step = static_cast<double>(form.step), most_start = 0x1p30;
  const double step = __builtin_fmax(longest / kGridNorm, longest * longest / (2 * row_step * most_start) * kUp);
  double most_error = 0;
  for (size_t lane = 0; lane < out.tiles * kPackedTile; ++lane) {
    int16_t* column = out.packed + (lane / kPackedTile * form.pairs * kPackedTile + lane % kPackedTile) * 2;
    if (lane >= out.k || out.far[lane] != 0) {
      for (size_t p = 0; p < form.pairs; ++p) column[p * kPackedTile * 2] = column[p * kPackedTile * 2 + 1] = 0;
    }
    out.start[lane] = kMostValue;
    if (lane >= out.k) continue;
    const T* center = centers + lane * form.d;
    const double squares = center_squares(center, form);
    double start = __builtin_fmin(squares / (2 * row_step * step), kMostStart);
    if (out.far[lane] != 0) {
      start -=
          1.1 * kGridNorm * __builtin_sqrt(squares) / step * kUp;  // no product of a row that fits the grid is more
    } else {
      most_error = __builtin_fmax(most_error, pack_center(center, form, 1 / step, column));
    }
    out.start[lane] = static_cast<int32_t>(start < -most_start          ? -most_start
                                           : start < 2 * most_start - 1 ? start
                                                                        : 2 * most_start - 1);
  }
  out.ratio = static_cast<float>(step / row_step);
  out.names = 1;
  while (static_cast<size_t>(out.names) < out.k - 1) out.names = 2 * out.names + 1;
  out.length = next_up(2 * kUp * (longest / step));
  out.error = next_up(2 * kUp * (most_error + 0x1p-30));
  out.rounding = next_up(2 * (2.0 + out.names) + 0x1p9);
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
