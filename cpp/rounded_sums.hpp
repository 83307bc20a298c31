// Exact sums as float64, eight cells side by side: the nearest one, and what that leaves.
//
// Digits are first balanced, |digit| <= 2^39 but for the highest, so that one that is small beside the number does not
// fill those above it. Each is then a float64, and they are added from the highest down: high + low is exact, by
// two-sums, unless `low` itself had to be rounded. The few cells where it had to are left to exact::Sums::rounded.
#pragma once

#include "cost_terms.hpp"
#include "exact.hpp"
#include "kernels.hpp"
#include "simd.hpp"
#include "unchecked.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

inline Longs load_longs(const int64_t* p, size_t count) {
  int64_t values[kDoubleLanes] = {};
  for (size_t l = 0; l < count; ++l) values[l] = p[l];
  return load_as<Longs>(values);
}

// value / 2^kDigitBits, to the nearest integer, for signed values below 2^62.
inline Longs carry_of(const Longs& value) {
  constexpr uint64_t kOffset = (uint64_t{1} << 62) + (uint64_t{1} << (exact::kDigitBits - 1));
  return ((value + kOffset) >> exact::kDigitBits) - (uint64_t{1} << (62 - exact::kDigitBits));
}

// As float64, for signed values below 2^51.
inline Doubles doubles_of(const Longs& value) {
  constexpr double kShift = 0x1.8p52;
  uint64_t bits;
  memcpy(&bits, &kShift, sizeof bits);
  return as_doubles(value + bits) - kShift;
}

// Rounds eight cells with the digits `values`; a lane of the result is not 0 where that cannot be told.
template <int kPlanes>
inline Longs round_lanes(Longs (&values)[kPlanes], const double* units, Doubles& high, Doubles& low) {
  constexpr uint64_t kMost = uint64_t{1} << 51;
  for (int place = 0; place + 1 < kPlanes; ++place) {
    const Longs above = carry_of(values[place]);
    values[place] -= above << exact::kDigitBits;
    values[place + 1] += above;
  }
  Longs open = (values[kPlanes - 1] + kMost) & ~(2 * kMost - 1);
  high = doubles_of(values[kPlanes - 1]) * units[kPlanes - 1];
  DoubleDoubles rest;
  for (int place = kPlanes - 2; place >= 0; --place) {
    const Doubles value = doubles_of(values[place]) * units[place];
    const Doubles total = high + value, part = total - high;
    rest.add((high - (total - part)) + (value - part));
    high = total;
  }
  open |= nonzero(rest.low);
  DoubleDoubles sum{high, {}};
  sum.add(rest.high);
  high = sum.high;
  low = sum.low;
  return open;
}

// Rounds `lanes` <= 8 cells from `cell` on; returns how many are left.
template <int kPlanes>
inline size_t round_some(const int64_t* const* planes, const double* units, size_t cell, size_t lanes, double* high,
                         double* low) {
  const bool whole = lanes == kDoubleLanes;
  Longs values[kPlanes];
  for (int place = 0; place < kPlanes; ++place) {
    values[place] = whole ? load_as<Longs>(planes[place] + cell) : load_longs(planes[place] + cell, lanes);
  }
  Doubles h, l;
  const Longs open = round_lanes<kPlanes>(values, units, h, l);
  if (whole) {
    memcpy(high, &h, sizeof h);
    memcpy(low, &l, sizeof l);
  }
  for (size_t lane = 0; lane < lanes && !whole; ++lane) {
    high[lane] = h[lane];
    low[lane] = l[lane];
  }
  if (!any_set(open)) return 0;
  size_t left = 0;
  for (size_t lane = 0; lane < lanes; ++lane) {
    if (open[lane] == 0) continue;
    low[lane] = __builtin_nan("");
    ++left;
  }
  return left;
}

template <int kPlanes>
size_t round_planes(const int64_t* const* planes, const double* units, size_t begin, size_t count, double* high,
                    double* low) {
  size_t left = 0, i = 0;
  for (; i + kDoubleLanes <= count; i += kDoubleLanes) {
    left += round_some<kPlanes>(planes, units, begin + i, kDoubleLanes, high + i, low + i);
  }
  if (i < count) left += round_some<kPlanes>(planes, units, begin + i, count - i, high + i, low + i);
  return left;
}

size_t round_cells(const int64_t* const* planes, int width, int first, size_t begin, size_t count, double* high,
                   double* low) {
  constexpr int kMostPlanes = 5, kLowest = -24, kHighest = 20;  // of digits whose units are far from float64's ends
  double units[kMostPlanes];
  if constexpr (!kChecked) {
    memcpy(high, planes[0] + begin, count * sizeof(double));
    memset(low, 0, count * sizeof(double));
    return 0;
  }
  if (width > kMostPlanes || first < kLowest || first + width > kHighest) {
    for (size_t i = 0; i < count; ++i) low[i] = __builtin_nan("");
    return count;
  }
  for (int place = 0; place < width; ++place) {
    const uint64_t bits = static_cast<uint64_t>((first + place) * exact::kDigitBits + 1023) << 52;
    memcpy(units + place, &bits, sizeof bits);
  }
  using Round = size_t (*)(const int64_t* const*, const double*, size_t, size_t, double*, double*);
  constexpr Round kRounds[kMostPlanes] = {round_planes<1>, round_planes<2>, round_planes<3>, round_planes<4>,
                                          round_planes<5>};
  return kRounds[width - 1](planes, units, begin, count, high, low);
}

template <class T>
void mean(const double* sums, double count, size_t d, T* out) {
  for (size_t j = 0; j < d; ++j) out[j] = static_cast<T>(sums[j] / count);
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
