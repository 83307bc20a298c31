// Some of the centers, as the kernels of boxes and cells want them.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels.hpp"
#include "lines.hpp"

namespace macqueen {

template <class T>
class CenterList {
 public:
  size_t count() const { return count_; }
  const int32_t* names() const { return names_.data(); }  // (count,), ascending
  CenterColumns<T> columns() const { return {columns_.data(), stride_, names_.data(), count_}; }

  // Room for k centers of d values.
  void reserve(size_t k, size_t d) {
    constexpr size_t kLanes = CenterColumns<T>::kMostLanes;
    // A whole vector more than the centers; odd, so that columns do not meet in the same sets of the cache.
    stride_ = (((k + kLanes - 1) / kLanes + 1) | 1) * kLanes;
    names_.resize(stride_);
    columns_.resize(d * stride_);
  }

  // Centers `names` (count,) of `centers` (., d).
  void gather(const int32_t* names, size_t count, const T* centers, size_t d) {
    reserve(count, d);
    count_ = count;
    std::copy_n(names, count, names_.begin());
    for (size_t c = 0; c < stride_; ++c) {
      const T* center = centers + static_cast<size_t>(names[std::min(c, count - 1)]) * d;
      for (size_t j = 0; j < d; ++j) columns_[j * stride_ + c] = center[j];
    }
  }

  // The name of the center nearest to the middle of the box low, high (d,), or almost.
  int32_t middle(const RowKernels<T>& kernels, const T* low, const T* high, size_t d) const {
    return names_[kernels.middle_center(low, high, columns_.data(), stride_, count_, d)];
  }

  // Takes of the centers `above`, which are no more than there is room for, those that can be nearest to a point of the
  // box low, high (d,); near (d,): any center; nearest out.
  void take(const RowKernels<T>& kernels, const T* low, const T* high, const T* near, size_t d, const CenterList& above,
            int32_t* nearest) {
    count_ =
        kernels.box_candidates(low, high, near, above.columns(), d, {names_.data(), columns_.data(), stride_}, nearest);
  }

 private:
  size_t count_ = 0, stride_ = 0;
  std::vector<int32_t> names_;
  Lines<T> columns_;  // (d, stride)
};

}  // namespace macqueen
