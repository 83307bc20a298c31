// Some of the centers, as the kernels of boxes and cells want them.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels.hpp"
#include "lines.hpp"

namespace macqueen {

template <class T>
struct CenterList {
  static constexpr size_t kMostLanes = 16;

  size_t count = 0;
  std::vector<int32_t> names;  // (k,), ascending
  Lines<T> columns;      // (d, stride), the last one repeated to whole vectors
  size_t stride() const { return (count + kMostLanes - 1) / kMostLanes * kMostLanes; }

  void gather(const T* centers, size_t d) {
    columns.resize(d * stride());
    for (size_t c = 0; c < stride(); ++c) {
      const T* center = centers + static_cast<size_t>(names[std::min(c, count - 1)]) * d;
      for (size_t j = 0; j < d; ++j) columns[j * stride() + c] = center[j];
    }
  }

  // Takes of the centers `above` those that can be nearest to a point of the box low, high (d,); `centers` (k, d).
  void take(const RowKernels<T>& kernels, const T* low, const T* high, const T* centers, size_t d,
            const CenterList& above) {
    const size_t middle = kernels.middle_center(low, high, above.columns.data(), above.stride(), above.count, d);
    count = kernels.box_candidates(low, high, centers + static_cast<size_t>(above.names[middle]) * d,
                                   above.columns.data(), above.stride(), above.count, d, names.data());
    for (size_t c = 0; c < count; ++c) names[c] = above.names[static_cast<size_t>(names[c])];
  }
};

}  // namespace macqueen
