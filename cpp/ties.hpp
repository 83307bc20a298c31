// Which of two centers is nearer to a row where the distances that float64 computes cannot tell: nearly always a true
// tie, of which images, counts and categories have many.
//
// Where the centers differ, let all values of both and of the row be multiples of h = 2^e, and the sums of squares of
// row - one and row - other over these columns below 2^53 h^2. Then differences are multiples of h and below 2^27 h,
// their squares multiples of h^2, and sums of these, in any order, below 2^53 h^2: float64 has every one of them.
#pragma once

#include "distances.hpp"
#include "exact.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

// M, so that a value v with v + M - M == v is a multiple of h, 4 most below 2^53 h^2; 0 where squares might leave
// float64. With most below 2^(E + 1), h is 2^floor((E - 49) / 2), and M 1.5 * 2^53 h: v + M is a multiple of h from
// -2^53 h on, below which every v is one.
inline double multiples_rounder(double most) {
  uint64_t bits;
  memcpy(&bits, &most, sizeof bits);
  const uint64_t biased = bits >> 52;  // E + 1023
  if (biased < 63 || biased > 2000) return 0;
  bits = ((biased >> 1) + 540) << 52 | uint64_t{1} << 51;
  double rounder;
  memcpy(&rounder, &bits, sizeof rounder);
  return rounder;
}

// -1, 0 or 1: is |row - one|^2 below, equal to or above |row - other|^2, as real numbers. `most`: the larger of both,
// as `squared_distance` gives it.
template <class T>
int compare_distances(const T* row, const T* one, const T* other, size_t d, double most) {
  if (const double rounder = multiples_rounder(most); rounder > 0) {
    Doubles gap = {};
    Longs rest = {};
    const auto add = [&](const Doubles& x, const Doubles& a, const Doubles& b) {
      const auto off = [&](const Doubles& v) { return nonzero(v + rounder - rounder - v); };
      rest |= nonzero(a - b) & (off(x) | off(a) | off(b));
      gap += (x - a) * (x - a) - (x - b) * (x - b);
    };
    size_t j = 0;
    for (; j + kDoubleLanes <= d; j += kDoubleLanes) {
      add(load_doubles(row + j), load_doubles(one + j), load_doubles(other + j));
    }
    if (j < d) add(load_doubles(row + j, d - j), load_doubles(one + j, d - j), load_doubles(other + j, d - j));
    if (const double sum = sum_lanes(gap); !any_set(rest)) return sum < 0 ? -1 : sum > 0 ? 1 : 0;
  }
  return exact::compare_distances(row, one, other, d);
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
