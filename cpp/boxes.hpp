// Rows in boxes: which centers can be nearest to any row of a box, which of these is nearest to each row, and for how
// long that is certain.
//
// Everything is computed in the type T of the rows, whose roundings are u = 2^-24 or 2^-53. A sum of d squares of
// differences, fused or not, has a relative error of at most (d + 3) u and, where squares underflow, an absolute one of
// d times the smallest number. It may overflow to infinity, which compares as the larger side or, against itself, as
// what cannot be told.
//
// Candidates. s is a center near the middle m of the box, h its half widths, so that |x_j - m_j| <= h_j for every x of
// it. For another center c, with y = x - m,
//
//   |x - s|^2 - |x - c|^2 = |m - s|^2 - |m - c|^2 + 2 sum_j y_j (c_j - s_j)
//                        <= |m - s|^2 - |m - c|^2 + 2 sum_j h_j |c_j - s_j|,
//
// and some x comes as close to that as rounding of m lets it (Kanungo et al., 2002). Where it is negative, c is nearest
// to no row of the box. m is rounded, h upward from it; each of the three sums has only positive terms, and a relative
// error of (d + 3) u at most. So c is left out if |m - c|^2 > (|m - s|^2 + 2 sum) (1 + 4 (d + 8) u) + kTiny, which is
// beyond the errors of both sides. Half widths are at least kTiny: 0 times an infinite difference would be no number.
//
// Labels. Of the computed squares the lowest is that of the nearest center if the second lowest is above it by
// 2 (d + 8) u times their sum, and kTiny; an infinite second counts as the largest finite number, which it is not below
// either. Other rows are decided in float64 and, where that cannot tell, exactly (`decide`).
//
// Bounds. `upper` of a row is at least its distance to its own center, `lower` at most that to any other candidate of
// its box: roots of the lowest and second lowest square, (d + 8) u further apart, and 2^-70 or 2^-530 for what
// underflowed (a root of d 2^-149 or d 2^-1074 is less). A row that `decide` labelled may have any of the candidates
// within the doubt as its own. That center is the nearest, so the root of the lowest square bounds its distance, too;
// and bounds those to the others from below. When centers have moved, by the triangle inequality,
// upper + (path of its own) and lower - (longest path of the others) are such bounds again, and the label is certain
// while upper < lower, strictly. Both are rounded outward: (upper + m)(1 + 4u) >= upper + m after two roundings, and
// lower (1 - 4u) - m <= lower - m; a negative one lets no row pass. Centers that are no candidates of the box at that
// step are nearest to none of its rows, and need no bound.
#pragma once

#include "assign.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

// float64 as wide as the registers: comparisons of wider vectors would be taken apart lane by lane.
constexpr size_t kWideLanes = kWidth < 4 ? 2 : kWidth / 2;
typedef double Wides __attribute__((vector_size(kWideLanes * sizeof(double))));
typedef int64_t WideInts __attribute__((vector_size(kWideLanes * sizeof(int64_t))));

inline Wides load(const double* p) {
  Wides v;
  memcpy(&v, p, sizeof v);
  return v;
}
inline void store(double* p, Wides v) { memcpy(p, &v, sizeof v); }
inline void store_indices(int32_t* p, WideInts v) {
  for (size_t l = 0; l < kWideLanes; ++l) p[l] = static_cast<int32_t>(v[l]);
}
inline Wides multiply_add(Wides a, Wides b, Wides c) { return a * b + c; }
inline Wides minimum(Wides a, Wides b) { return a < b ? a : b; }
inline Wides maximum(Wides a, Wides b) { return a < b ? b : a; }
inline WideInts select_below(Wides a, Wides b, WideInts then, WideInts otherwise) { return a < b ? then : otherwise; }
inline Wides choose_below(Wides a, Wides b, Wides then, Wides otherwise) { return a < b ? then : otherwise; }
inline Wides square_root(Wides a) {
  for (size_t l = 0; l < kWideLanes; ++l) a[l] = __builtin_sqrt(a[l]);
  return a;
}
inline uint32_t at_most_mask(Wides a, Wides b) {
  uint32_t mask = 0;
  for (size_t l = 0; l < kWideLanes; ++l) mask |= static_cast<uint32_t>(a[l] <= b[l]) << l;
  return mask;
}
inline Wides magnitude(Wides a) { return a < 0 ? -a : a; }
inline void store_indices(int32_t* p, Ints v) { memcpy(p, &v, sizeof v); }
inline Wides choose_equal(WideInts a, WideInts b, Wides then, Wides otherwise) { return a == b ? then : otherwise; }

// Vectors of T and what the comment above says of it. kTiny is far more than underflow can lose, as it must not be
// denormal: some processors take more than a hundred cycles for a fused multiply and add of such a number.
template <class T>
struct Side;
template <>
struct Side<float> {
  using Values = Floats;
  using Indices = Ints;
  static constexpr size_t kLanes = kWidth;
  static constexpr float kRounding = 0x1p-24f, kTiny = 0x1p-126f, kTinyRoot = 0x1p-70f, kLargest = 0x1.fffffep127f;
  static Indices load_indices(const int32_t* p) {
    Indices v;
    memcpy(&v, p, sizeof v);
    return v;
  }
  static Values all(float value) { return broadcast(value); }
  static Indices indices(size_t i) { return broadcast_int(static_cast<int32_t>(i)); }
};
template <>
struct Side<double> {
  using Values = Wides;
  using Indices = WideInts;
  static constexpr size_t kLanes = kWideLanes;
  static constexpr double kRounding = 0x1p-53, kTiny = 0x1p-1022, kTinyRoot = 0x1p-530,
                          kLargest = 0x1.fffffffffffffp1023;
  static Indices load_indices(const int32_t* p) {
    Indices v;
    for (size_t l = 0; l < kLanes; ++l) v[l] = p[l];
    return v;
  }
  static Values all(double value) { return value - Wides{}; }
  static Indices indices(size_t i) { return static_cast<int64_t>(i) - WideInts{}; }
};

// The lane of the lowest value, the first of them.
template <class T>
inline size_t lowest_lane_of(typename Side<T>::Values values) {
  T lanes[Side<T>::kLanes];
  store(lanes, values);
  size_t best = 0;
  for (size_t l = 1; l < Side<T>::kLanes; ++l) best = lanes[l] < lanes[best] ? l : best;
  return best;
}

// The center nearest to the middle of a box, as far as T can tell.
template <class T, size_t D>
size_t middle_center_of(const T* low, const T* high, const T* columns, size_t stride, size_t k) {
  using S = Side<T>;
  typename S::Values middle[D], lowest = S::all(S::kLargest);
  typename S::Indices index = S::indices(0);
  for (size_t j = 0; j < D; ++j) middle[j] = S::all(low[j] / 2 + high[j] / 2);
  for (size_t c = 0; c < k; c += S::kLanes) {
    typename S::Values sum = middle[0] - load(columns + c);
    sum = sum * sum;
    for (size_t j = 1; j < D; ++j) {
      const typename S::Values difference = middle[j] - load(columns + j * stride + c);
      sum = multiply_add(difference, difference, sum);
    }
    index = select_below(sum, lowest, S::indices(c), index);
    lowest = minimum(sum, lowest);
  }
  int32_t indices[S::kLanes];
  store_indices(indices, index);
  const size_t lane = lowest_lane_of<T>(lowest);
  const size_t nearest = static_cast<size_t>(indices[lane]) + lane;
  return nearest < k ? nearest : k - 1;
}

// Appends to `kept` (count) the centers first + 0, 1, ... of `from` that a mask of lanes names.
template <class T, size_t D>
inline void keep(const CenterColumns<T>& from, size_t first, uint32_t mask, size_t count, const KeptCenters<T>& kept) {
  // Whole vectors are stored: what follows the centers kept is overwritten by the next ones.
  const int32_t* names = from.names + first;
  if constexpr (sizeof(T) == 4) {
    store_indices(kept.names + count, compressed(mask, Side<T>::load_indices(names)));
    for (size_t j = 0; j < D && kept.columns != nullptr; ++j) {
      store(kept.columns + j * kept.stride + count, compressed(mask, load(from.columns + j * from.stride + first)));
    }
    return;
  }
#if defined(__AVX512F__)  // float64
  const auto lanes = static_cast<__mmask8>(mask);
  const auto at = reinterpret_cast<__m256i*>(kept.names + count);
  const __m256i all = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(names));
  _mm256_storeu_si256(at, _mm256_maskz_compress_epi32(lanes, all));
  for (size_t j = 0; j < D && kept.columns != nullptr; ++j) {
    const __m512d column = _mm512_loadu_pd(from.columns + j * from.stride + first);
    _mm512_storeu_pd(kept.columns + j * kept.stride + count, _mm512_maskz_compress_pd(lanes, column));
  }
#else
  for (; mask != 0; mask &= mask - 1, ++count) {
    const auto c = static_cast<size_t>(__builtin_ctz(mask));
    kept.names[count] = names[c];
    for (size_t j = 0; j < D && kept.columns != nullptr; ++j) {
      kept.columns[j * kept.stride + count] = from.columns[j * from.stride + first + c];
    }
  }
#endif
}

template <class T, size_t D>
size_t box_candidates_of(const T* low, const T* high, const T* near, const CenterColumns<T>& centers,
                         const KeptCenters<T>& wanted, int32_t* nearest) {
  using S = Side<T>;
  using Values = typename S::Values;
  const Values half = S::all(T{1} / 2), outward = S::all(1 + 4 * S::kRounding);
  const Values tiny = S::all(S::kTiny), largest = S::all(S::kLargest);
  const Values twice = S::all(2 + 8 * static_cast<T>(D + 8) * S::kRounding);
  Values center[D], middle[D], reach[D], base = S::all(T{0});
  for (size_t j = 0; j < D; ++j) {
    const Values lows = S::all(low[j]), highs = S::all(high[j]);
    center[j] = S::all(near[j]);
    middle[j] = lows * half + highs * half;
    reach[j] = minimum(maximum(maximum(middle[j] - lows, highs - middle[j]), tiny) * outward, largest);
    const Values gap = middle[j] - center[j];
    base = multiply_add(gap, gap, base);
  }
  base = base * half;
  const CenterColumns<T> from = centers;  // copies of these stay in registers
  const KeptCenters<T> kept = wanted;
  Values lowest = largest;
  typename S::Indices index = S::indices(0);
  size_t count = 0;
  for (size_t c = 0; c < from.count; c += S::kLanes) {
    Values away = S::all(T{0}), limit = base;
    for (size_t j = 0; j < D; ++j) {
      const Values other = load(from.columns + j * from.stride + c);
      const Values gap = middle[j] - other;
      away = multiply_add(gap, gap, away);
      limit = multiply_add(reach[j], magnitude(center[j] - other), limit);
    }
    uint32_t mask = at_most_mask(away, multiply_add(limit, twice, tiny));
    if (from.count - c < S::kLanes) mask &= (1u << (from.count - c)) - 1;
    keep<T, D>(from, c, mask, count, kept);
    count += static_cast<size_t>(__builtin_popcount(mask));
    index = select_below(away, lowest, S::indices(c), index);
    lowest = minimum(away, lowest);
  }
  for (size_t j = 0; j < D && kept.columns != nullptr; ++j) {
    T* column = kept.columns + j * kept.stride;
    store(column + count, S::all(column[count - 1]));
  }
  if (nearest != nullptr) {
    const size_t lane = lowest_lane_of<T>(lowest);
    int32_t indices[S::kLanes];
    store_indices(indices, index);
    const size_t at = static_cast<size_t>(indices[lane]) + lane;
    *nearest = from.names[at < from.count ? at : from.count - 1];
  }
  return count;
}

template <class T>
size_t middle_center(const T* low, const T* high, const T* columns, size_t stride, size_t k, size_t d) {
  using Function = size_t (*)(const T*, const T*, const T*, size_t, size_t);
  static constexpr Function kFunctions[kMostBoxDims] = {
      middle_center_of<T, 1>, middle_center_of<T, 2>, middle_center_of<T, 3>, middle_center_of<T, 4>,
      middle_center_of<T, 5>, middle_center_of<T, 6>, middle_center_of<T, 7>, middle_center_of<T, 8>};
  return kFunctions[d - 1](low, high, columns, stride, k);
}

template <class T>
size_t box_candidates(const T* low, const T* high, const T* near, const CenterColumns<T>& from, size_t d,
                      const KeptCenters<T>& kept, int32_t* nearest) {
  using Function = size_t (*)(const T*, const T*, const T*, const CenterColumns<T>&, const KeptCenters<T>&, int32_t*);
  static constexpr Function kFunctions[kMostBoxDims] = {
      box_candidates_of<T, 1>, box_candidates_of<T, 2>, box_candidates_of<T, 3>, box_candidates_of<T, 4>,
      box_candidates_of<T, 5>, box_candidates_of<T, 6>, box_candidates_of<T, 7>, box_candidates_of<T, 8>};
  return kFunctions[d - 1](low, high, near, from, kept, nearest);
}

// A vector of rows of a box: its labels, and a bit for each lane whose label is another than before.
template <class T, size_t D>
inline uint32_t look_at(const BoxRows<T>& box, size_t i, const T* centers) {
  using S = Side<T>;
  using Values = typename S::Values;
  Values x[D], lowest = S::all(static_cast<T>(__builtin_inff())), second = lowest;
  typename S::Indices index = S::indices(0);
  for (size_t j = 0; j < D; ++j) x[j] = load(box.columns + j * kBoxRows + i);
  for (size_t c = 0; c < box.count; ++c) {
    const T* center = centers + static_cast<size_t>(box.names[c]) * D;
    Values sum = x[0] - S::all(center[0]);
    sum = sum * sum;
    for (size_t j = 1; j < D; ++j) {
      const Values difference = x[j] - S::all(center[j]);
      sum = multiply_add(difference, difference, sum);
    }
    second = minimum(second, maximum(lowest, sum));
    index = select_below(sum, lowest, S::indices(static_cast<size_t>(box.names[c])), index);
    lowest = minimum(sum, lowest);
  }
  constexpr T kPart = static_cast<T>(D + 8) * S::kRounding;
  const Values next = minimum(second, S::all(S::kLargest)), tiny = S::all(S::kTinyRoot);
  const Values doubt = multiply_add(S::all(2 * kPart), next + lowest, S::all(S::kTiny));
  uint32_t doubtful = ~at_most_mask(doubt, next - lowest) & ((uint32_t{1} << S::kLanes) - 1);
  T* upper = box.upper + i;
  T* lower = box.lower + i;
  store(upper, multiply_add(square_root(lowest), S::all(1 + kPart), tiny));
  store(lower, maximum(square_root(next) * S::all(1 - kPart) - tiny, S::all(T{0})));
  int32_t labels[S::kLanes];
  store_indices(labels, index);
  for (; doubtful != 0; doubtful &= doubtful - 1) {
    const auto l = static_cast<size_t>(__builtin_ctz(doubtful));
    T row[D];
    for (size_t j = 0; j < D; ++j) row[j] = box.columns[j * kBoxRows + i + l];
    labels[l] = decide(row, centers, D, box.names, box.count);
    // upper = root (1 + kPart) + tiny, as seen from below.
    const T root = upper[l] < S::kLargest ? upper[l] * (1 - 4 * kPart) - 4 * S::kTinyRoot : T{0};
    lower[l] = root > 0 ? root : T{0};
  }
  uint32_t changed = 0;
  for (size_t l = 0; l < S::kLanes; ++l) {
    changed |= static_cast<uint32_t>(labels[l] != box.before[i + l]) << l;
    box.labels[i + l] = labels[l];
  }
  return changed;
}

// The lanes of a vector of rows whose label is no longer certain after the centers have moved; moves the bounds.
template <class T>
inline uint32_t move_bounds(const BoxRows<T>& box, size_t i, const T* paths) {
  using S = Side<T>;
  using Values = typename S::Values;
  constexpr size_t kFew = 8;  // so many comparisons of labels cost less than a gather
  const Values most = S::all(paths[box.fastest]), next = S::all(box.next);
  const auto before = S::load_indices(box.before + i);
  const auto fastest = S::indices(static_cast<size_t>(box.fastest));
  const Values others = choose_equal(before, fastest, next, most);
  Values own = choose_equal(before, fastest, most, next);
  for (size_t c = 0; c < box.count && box.count <= kFew; ++c) {
    const auto name = static_cast<size_t>(box.names[c]);
    own = choose_equal(before, S::indices(name), S::all(paths[name]), own);
  }
  const Values upper = (load(box.upper + i) + own) * S::all(1 + 4 * S::kRounding);
  const Values lower = load(box.lower + i) * S::all(1 - 4 * S::kRounding) - others;
  store(box.upper + i, upper);
  store(box.lower + i, lower);
  return at_most_mask(lower, upper);
}

template <class T, size_t D>
uint64_t box_labels_of(const BoxRows<T>& box, const T* centers, const T* paths, size_t* looked_at) {
  uint64_t changed = 0;
  for (size_t i = 0; i < kBoxRows; i += Side<T>::kLanes) {
    if (paths != nullptr && move_bounds(box, i, paths) == 0) continue;
    changed |= uint64_t{look_at<T, D>(box, i, centers)} << i;
    *looked_at += Side<T>::kLanes * box.count;
  }
  return changed;
}

template <class T>
uint64_t box_labels(const BoxRows<T>& box, size_t d, const T* centers, const T* paths, size_t* looked_at) {
  using Function = uint64_t (*)(const BoxRows<T>&, const T*, const T*, size_t*);
  static constexpr Function kFunctions[kMostBoxDims] = {box_labels_of<T, 1>, box_labels_of<T, 2>, box_labels_of<T, 3>,
                                                        box_labels_of<T, 4>, box_labels_of<T, 5>, box_labels_of<T, 6>,
                                                        box_labels_of<T, 7>, box_labels_of<T, 8>};
  return kFunctions[d - 1](box, centers, paths, looked_at);
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
