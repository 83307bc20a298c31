// The space that most of some rows take, from a sample of them.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace macqueen {

// low, high (d,) out: the extremes of a sample of rows (n, d), where finite, but no farther beyond its bulk than that
// is wide, so that a few outliers do not decide.
template <class T>
void sample_span(const T* rows, size_t n, size_t d, T* low, T* high) {
  constexpr size_t kSample = 1024, kLeastStride = 16, kTail = 64;
  const size_t stride = std::max((n + kSample - 1) / kSample, kLeastStride);
  std::vector<T> values;
  for (size_t j = 0; j < d; ++j) {
    values.clear();
    for (size_t i = 0; i < n; i += stride) {
      if (std::isfinite(rows[i * d + j])) values.push_back(rows[i * d + j]);
    }
    if (values.empty()) values.push_back(0);
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    low[j] = *least;
    high[j] = *most;
    const auto tail = static_cast<std::ptrdiff_t>(values.size() / kTail);
    const auto ranked = [&](std::ptrdiff_t rank) {
      std::nth_element(values.begin(), values.begin() + rank, values.end());
      return values[static_cast<size_t>(rank)];
    };
    const T lower = ranked(tail), upper = ranked(static_cast<std::ptrdiff_t>(values.size()) - 1 - tail);
    if (!(upper > lower)) continue;
    low[j] = std::max(low[j], lower - (upper - lower));
    high[j] = std::min(high[j], upper + (upper - lower));
  }
}

}  // namespace macqueen
