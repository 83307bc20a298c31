// Rows in boxes: which centers can be nearest to any row of a box, which of these is nearest to each row, and for how
// long that is certain.
//
// Everything is computed in the type T of the rows, whose roundings are u = 2^-24 or 2^-53. A sum of d squares of
// differences, fused or not, has a relative error of at most (d + 3) u and, where squares underflow, an absolute one of
// d times the smallest number. It may overflow to infinity, which compares as the larger side or, against itself, as
// what cannot be told.
//
// Candidates. s is the center nearest to the middle of the box [low, high]; any other choice would be as right. Over x,
// |x - s|^2 - |x - c|^2 = sum_j 2 x_j (c_j - s_j) + s_j^2 - c_j^2 is linear, so it is largest where each x_j is high_j
// if c_j > s_j and low_j otherwise: comparisons without rounding. Where even there |x - c|^2 is the larger one, c is
// nearest to no row of the box (Kanungo et al., 2002). Both sides are computed in difference form; c is left out only
// if q > p (1 + 4 (d + 8) u) + kTiny, which is beyond the errors of both, so strictly.
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
inline void store_indices(int32_t* p, Ints v) { memcpy(p, &v, sizeof v); }

// Vectors of T and what the comment above says of it.
template <class T>
struct Side;
template <>
struct Side<float> {
  using Values = Floats;
  using Indices = Ints;
  static constexpr size_t kLanes = kWidth;
  static constexpr float kRounding = 0x1p-24f, kTiny = 0x1p-140f, kTinyRoot = 0x1p-70f, kLargest = 0x1.fffffep127f;
  static Values all(float value) { return broadcast(value); }
  static Indices indices(size_t i) { return broadcast_int(static_cast<int32_t>(i)); }
};
template <>
struct Side<double> {
  using Values = Wides;
  using Indices = WideInts;
  static constexpr size_t kLanes = kWideLanes;
  static constexpr double kRounding = 0x1p-53, kTiny = 0x1p-1060, kTinyRoot = 0x1p-530,
                          kLargest = 0x1.fffffffffffffp1023;
  static Values all(double value) { return value - Wides{}; }
  static Indices indices(size_t i) { return static_cast<int64_t>(i) - WideInts{}; }
};

// The center nearest to the middle of a box, as far as T can tell; the arguments are those of box_candidates.
template <class T, size_t D>
inline size_t middle_center(const T* low, const T* high, const T* columns, size_t stride, size_t k) {
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
  T lows[S::kLanes];
  int32_t indices[S::kLanes];
  store(lows, lowest);
  store_indices(indices, index);
  size_t best = 0;
  for (size_t l = 1; l < S::kLanes; ++l) best = lows[l] < lows[best] ? l : best;
  const size_t nearest = static_cast<size_t>(indices[best]) + best;
  return nearest < k ? nearest : k - 1;
}

template <class T, size_t D>
size_t box_candidates_of(const T* low, const T* high, const T* columns, size_t stride, size_t k, int32_t* kept) {
  using S = Side<T>;
  using Values = typename S::Values;
  const size_t s = middle_center<T, D>(low, high, columns, stride, k);
  Values center[D], lows[D], highs[D], from_lows[D], from_highs[D];
  for (size_t j = 0; j < D; ++j) {
    const T at = columns[j * stride + s], below = low[j] - at, above = high[j] - at;
    center[j] = S::all(at);
    lows[j] = S::all(low[j]);
    highs[j] = S::all(high[j]);
    from_lows[j] = S::all(below * below);
    from_highs[j] = S::all(above * above);
  }
  const Values relative = S::all(1 + 4 * static_cast<T>(D + 8) * S::kRounding), tiny = S::all(S::kTiny);
  size_t count = 0;
  for (size_t c = 0; c < k; c += S::kLanes) {
    Values p = S::all(T{0}), q = p;
    for (size_t j = 0; j < D; ++j) {
      const Values other = load(columns + j * stride + c);
      const Values difference = choose_below(center[j], other, highs[j], lows[j]) - other;
      p = p + choose_below(center[j], other, from_highs[j], from_lows[j]);
      q = multiply_add(difference, difference, q);
    }
    uint32_t mask = at_most_mask(q, multiply_add(p, relative, tiny));
    if (k - c < S::kLanes) mask &= (1u << (k - c)) - 1;
    for (; mask != 0; mask &= mask - 1) kept[count++] = static_cast<int32_t>(c) + __builtin_ctz(mask);
  }
  return count;
}

// Centers in columns (d, stride), stride a multiple of the lanes; beyond k they repeat the last one. Fills `kept`
// (k,) with those that can be nearest to a row of the box, ascending; returns how many, at least one.
template <class T>
size_t box_candidates(const T* low, const T* high, const T* columns, size_t stride, size_t k, size_t d, int32_t* kept) {
  using Function = size_t (*)(const T*, const T*, const T*, size_t, size_t, int32_t*);
  static constexpr Function kFunctions[kMostBoxDims] = {box_candidates_of<T, 1>, box_candidates_of<T, 2>,
                                                        box_candidates_of<T, 3>, box_candidates_of<T, 4>,
                                                        box_candidates_of<T, 5>, box_candidates_of<T, 6>,
                                                        box_candidates_of<T, 7>, box_candidates_of<T, 8>};
  return kFunctions[d - 1](low, high, columns, stride, k, kept);
}

// V vectors of rows side by side: bounds, places of the nearest among the candidates; returns a bit for each lane that
// is still in doubt.
template <class T, size_t D, size_t V>
inline uint32_t nearest_of(const T* columns, size_t stride, const int32_t* names, size_t count, const T* centers,
                           int32_t* places, T* upper, T* lower) {
  using S = Side<T>;
  using Values = typename S::Values;
  Values x[V][D], lowest[V], second[V];
  typename S::Indices index[V];
  for (size_t v = 0; v < V; ++v) {
    for (size_t j = 0; j < D; ++j) x[v][j] = load(columns + j * stride + v * S::kLanes);
    lowest[v] = second[v] = S::all(static_cast<T>(__builtin_inff()));
    index[v] = S::indices(0);
  }
  for (size_t c = 0; c < count; ++c) {
    const T* center = centers + static_cast<size_t>(names[c]) * D;
    const typename S::Indices here = S::indices(c);
    for (size_t v = 0; v < V; ++v) {
      Values sum = x[v][0] - S::all(center[0]);
      sum = sum * sum;
      for (size_t j = 1; j < D; ++j) {
        const Values difference = x[v][j] - S::all(center[j]);
        sum = multiply_add(difference, difference, sum);
      }
      second[v] = minimum(second[v], maximum(lowest[v], sum));
      index[v] = select_below(sum, lowest[v], here, index[v]);
      lowest[v] = minimum(sum, lowest[v]);
    }
  }
  constexpr T kPart = static_cast<T>(D + 8) * S::kRounding;
  const Values tiny = S::all(S::kTinyRoot);
  uint32_t doubtful = 0;
  for (size_t v = 0; v < V; ++v) {
    const Values next = minimum(second[v], S::all(S::kLargest));
    const Values doubt = multiply_add(S::all(2 * kPart), next + lowest[v], S::all(S::kTiny));
    const uint32_t decided = at_most_mask(doubt, next - lowest[v]);
    doubtful |= (~decided & ((uint32_t{1} << S::kLanes) - 1)) << (v * S::kLanes);
    const Values apart = square_root(next);
    store(upper + v * S::kLanes, multiply_add(square_root(lowest[v]), S::all(1 + kPart), tiny));
    store(lower + v * S::kLanes, maximum(apart * S::all(1 - kPart) - tiny, S::all(T{0})));
    store_indices(places + v * S::kLanes, index[v]);
  }
  return doubtful;
}

template <class T, size_t D>
void box_labels_of(const T* columns, size_t stride, size_t n, const int32_t* names, size_t count, const T* centers,
                   int32_t* labels, T* upper, T* lower) {
  constexpr size_t kLanesHere = Side<T>::kLanes, kVectors = 2;
  constexpr T kPart = static_cast<T>(D + 8) * Side<T>::kRounding;
  int32_t places[kVectors * kLanesHere];
  T uppers[kVectors * kLanesHere], lowers[kVectors * kLanesHere];
  for (size_t i = 0; i < n;) {
    const size_t left = n - i, vectors = left > kLanesHere ? kVectors : 1;
    const size_t rows = left < vectors * kLanesHere ? left : vectors * kLanesHere;
    uint32_t doubtful;
    if (vectors == 1) {
      doubtful = nearest_of<T, D, 1>(columns + i, stride, names, count, centers, places, uppers, lowers);
    } else {
      doubtful = nearest_of<T, D, kVectors>(columns + i, stride, names, count, centers, places, uppers, lowers);
    }
    for (size_t l = 0; l < rows; ++l) labels[i + l] = names[places[l]];
    if (rows < 32) doubtful &= (uint32_t{1} << rows) - 1;
    for (; doubtful != 0; doubtful &= doubtful - 1) {
      const auto l = static_cast<size_t>(__builtin_ctz(doubtful));
      T row[D];
      for (size_t j = 0; j < D; ++j) row[j] = columns[j * stride + i + l];
      labels[i + l] = decide(row, centers, D, names, count);
      // upper = root (1 + kPart) + tiny, as seen from below.
      const T root = uppers[l] < Side<T>::kLargest ? uppers[l] * (1 - 4 * kPart) - 4 * Side<T>::kTinyRoot : T{0};
      lowers[l] = root > 0 ? root : T{0};
    }
    memcpy(upper + i, uppers, rows * sizeof(T));
    memcpy(lower + i, lowers, rows * sizeof(T));
    i += rows;
  }
}

// Labels and bounds of n rows in columns (d, stride) with d <= kMostBoxDims, among the centers `names` (count,),
// ascending, of centers (k, d). Whole vectors are read.
template <class T>
void box_labels(const T* columns, size_t stride, size_t n, size_t d, const int32_t* names, size_t count,
                const T* centers, int32_t* labels, T* upper, T* lower) {
  using Function = void (*)(const T*, size_t, size_t, const int32_t*, size_t, const T*, int32_t*, T*, T*);
  static constexpr Function kFunctions[kMostBoxDims] = {box_labels_of<T, 1>, box_labels_of<T, 2>, box_labels_of<T, 3>,
                                                        box_labels_of<T, 4>, box_labels_of<T, 5>, box_labels_of<T, 6>,
                                                        box_labels_of<T, 7>, box_labels_of<T, 8>};
  kFunctions[d - 1](columns, stride, n, names, count, centers, labels, upper, lower);
}

// Bounds (n,) of rows after their centers have moved by paths (k,): of the candidates, `fastest` by most, the others
// by no more than `next`. Lists in `open` the rows whose label is no longer certain; returns how many. n is a multiple
// of the lanes.
template <class T>
size_t move_bounds(const int32_t* labels, size_t n, const T* paths, int32_t fastest, T next, T* upper, T* lower,
                   uint8_t* open) {
  using S = Side<T>;
  const T most = paths[fastest];
  size_t count = 0;
  for (size_t i = 0; i < n; i += S::kLanes) {
    T own[S::kLanes], others[S::kLanes];
    for (size_t l = 0; l < S::kLanes; ++l) {
      own[l] = paths[labels[i + l]];
      others[l] = labels[i + l] == fastest ? next : most;
    }
    const typename S::Values up = (load(upper + i) + load(own)) * S::all(1 + 4 * S::kRounding);
    const typename S::Values low = load(lower + i) * S::all(1 - 4 * S::kRounding) - load(others);
    store(upper + i, up);
    store(lower + i, low);
    for (uint32_t mask = at_most_mask(low, up); mask != 0; mask &= mask - 1) {
      open[count++] = static_cast<uint8_t>(i + static_cast<size_t>(__builtin_ctz(mask)));
    }
  }
  return count;
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
