// Rows in boxes: which centers can be nearest to any row of a box, and which of these is nearest to each row.
//
// The squared distance from any row of the box [low, high] to a center c lies between near = sum_j max(low_j - c_j,
// c_j - high_j, 0)^2 and far = sum_j max(c_j - low_j, high_j - c_j)^2. A center whose near is beyond the smallest far
// of all centers is nearest to no row of the box. Computed in float64, near and far have a relative error below
// (d + 8) 2^-53, and squares may underflow; the comparison leaves several times that to the safe side. What is left
// is decided row by row in float64 in difference form, and where that cannot tell, exactly (`decide`).
#pragma once

#include "assign.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

// As wide as the registers: comparisons of wider vectors would be taken apart lane by lane.
constexpr size_t kBoxLanes = kWidth < 4 ? 2 : kWidth / 2;
typedef double Lanes __attribute__((vector_size(kBoxLanes * sizeof(double))));
typedef int64_t LaneNumbers __attribute__((vector_size(kBoxLanes * sizeof(int64_t))));

inline Lanes all(double value) { return value - Lanes{}; }
inline Lanes larger(Lanes a, Lanes b) { return a < b ? b : a; }
inline Lanes smaller(Lanes a, Lanes b) { return a < b ? a : b; }
inline Lanes load_lanes(const double* p) {
  Lanes v;
  memcpy(&v, p, sizeof v);
  return v;
}

// Centers in columns (d, stride), stride a multiple of 8, beyond k padded with values that are far from
// everything. Fills `kept` (k,) with those that can be nearest to a row of the box, ascending; returns how many.
inline size_t box_candidates(const double* low, const double* high, const double* columns, size_t stride, size_t k,
                             size_t d, double* near, int32_t* kept) {
  Lanes least = all(__builtin_inf());
  for (size_t c = 0; c < k; c += kBoxLanes) {
    Lanes near_sum = {}, far_sum = {};
    for (size_t j = 0; j < d; ++j) {
      const Lanes center = load_lanes(columns + j * stride + c);
      const Lanes below = low[j] - center, above = center - high[j];
      const Lanes inside = larger(larger(below, above), Lanes{});
      const Lanes across = larger(-below, -above);
      near_sum += inside * inside;
      far_sum += across * across;
    }
    memcpy(near + c, &near_sum, sizeof near_sum);
    least = smaller(least, far_sum);
  }
  double far = least[0];
  for (size_t l = 1; l < kBoxLanes; ++l) far = least[l] < far ? least[l] : far;
  const double relative = static_cast<double>(d + 8) * 0x1p-50;
  const double limit = far * (1 + 2 * relative) + 0x1p-1000;
  size_t count = 0;
  for (size_t c = 0; c < k; ++c) {
    kept[count] = static_cast<int32_t>(c);
    count += near[c] <= limit;
  }
  return count;
}

// The nearest of `count` candidates for rows in columns (d, stride), in lanes side by side; D = d at compile time.
template <class T, size_t D>
void box_labels_of(const T* columns, size_t stride, size_t n, const double* candidates, size_t candidate_stride,
                   const int32_t* names, size_t count, const T* centers, int32_t* labels) {
  const double relative = static_cast<double>(D + 8) * 0x1p-52;
  const double absolute = static_cast<double>(D) * 0x1p-1073;
  for (size_t i = 0; i < n; i += kBoxLanes) {
    Lanes x[D];
    for (size_t j = 0; j < D; ++j) {
      Lanes values = {};
      for (size_t l = 0; l < kBoxLanes; ++l) values[l] = static_cast<double>(columns[j * stride + i + l]);
      x[j] = values;
    }
    Lanes lowest = all(__builtin_inf()), second = lowest;
    LaneNumbers index = {};
    for (size_t c = 0; c < count; ++c) {
      Lanes distance = {};
      for (size_t j = 0; j < D; ++j) {
        const Lanes difference = x[j] - candidates[j * candidate_stride + c];
        distance += difference * difference;
      }
      second = smaller(second, larger(lowest, distance));
      index = distance < lowest ? static_cast<int64_t>(c) - LaneNumbers{} : index;
      lowest = smaller(lowest, distance);
    }
    const size_t lanes = n - i < kBoxLanes ? n - i : kBoxLanes;
    for (size_t l = 0; l < lanes; ++l) {
      labels[i + l] = names[index[l]];
      if (!kChecked || second[l] - lowest[l] > relative * (second[l] + lowest[l]) + absolute) continue;
      T row[D];
      for (size_t j = 0; j < D; ++j) row[j] = columns[j * stride + i + l];
      labels[i + l] = decide(row, centers, D, names, count);
    }
  }
}

// Labels of n rows in columns (d, stride) with d <= kMostBoxDims, among candidates (d, candidate_stride) that are
// the centers `names` (count,), ascending; `centers` (k, d) are all of them.
template <class T>
void box_labels(const T* columns, size_t stride, size_t n, size_t d, const double* candidates, size_t candidate_stride,
                const int32_t* names, size_t count, const T* centers, int32_t* labels) {
  using Function =
      void (*)(const T*, size_t, size_t, const double*, size_t, const int32_t*, size_t, const T*, int32_t*);
  static constexpr Function kFunctions[kMostBoxDims] = {box_labels_of<T, 1>, box_labels_of<T, 2>, box_labels_of<T, 3>,
                                                        box_labels_of<T, 4>, box_labels_of<T, 5>, box_labels_of<T, 6>,
                                                        box_labels_of<T, 7>, box_labels_of<T, 8>};
  kFunctions[d - 1](columns, stride, n, candidates, candidate_stride, names, count, centers, labels);
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
