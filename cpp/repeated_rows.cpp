#include "repeated_rows.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace macqueen {

namespace {

template <class T>
bool equal_rows(const T* a, const T* b, size_t d) {
  constexpr T kMost = std::numeric_limits<T>::max() / kMostWeight;  // they are multiplied by less
  bool equal = true;  // without a branch: where rows repeat, nobody can foretell which
  for (size_t j = 0; j < d; ++j) equal &= (a[j] == b[j]) & (std::abs(a[j]) <= kMost);
  return equal;
}

// Whether a sample of rows shows that many repeat.
template <class T>
bool many_repeat(const T* rows, size_t d, const uint32_t* order, size_t n) {
  constexpr size_t kStretch = 256, kStretches = 16;
  size_t seen = 0, found = 0;
  for (size_t first = 1; first < n; first += std::max(kStretch, n / kStretches)) {
    for (size_t i = first; i < std::min(n, first + kStretch); ++i, ++seen) {
      found += equal_rows(rows + order[i - 1] * d, rows + order[i] * d, d);
    }
  }
  return seen > 0 && 4 * found >= seen;
}

}  // namespace

template <class T>
std::vector<int32_t> fold_repeats(Threads& threads, const T* rows, size_t d, uint32_t* order, size_t& n) {
  if (!many_repeat(rows, d, order, n)) return {};
  constexpr size_t kParts = 32, kAhead = 16;
  const size_t part_rows = (n + kParts - 1) / kParts, all = n;
  std::vector<int32_t> weights(n);
  size_t kept[kParts] = {};
  threads.run(kParts, [&](int, size_t part) {
    const size_t first = part * part_rows, end = std::min(all, first + part_rows);
    if (first >= end) return;
    size_t next = first;  // the place of the last row that is kept
    int32_t weight = weights[first] = 1;
    for (size_t i = first + 1; i < end; ++i) {
      __builtin_prefetch(rows + order[std::min(i + kAhead, end - 1)] * d);
      const uint32_t row = order[i], last = order[next];
      const bool same = equal_rows(rows + last * d, rows + row * d, d) & (weight + 1 < kMostWeight);
      weight = same ? weight + 1 : 1;
      next += same ? 0 : 1;
      order[next] = same ? last : row;
      weights[next] = weight;
    }
    kept[part] = next - first + 1;
  });
  n = 0;
  for (size_t part = 0; part < kParts; ++part) {
    if (kept[part] == 0) continue;
    std::copy_n(order + part * part_rows, kept[part], order + n);
    std::copy_n(weights.begin() + static_cast<std::ptrdiff_t>(part * part_rows), kept[part],
                weights.begin() + static_cast<std::ptrdiff_t>(n));
    n += kept[part];
  }
  weights.resize(n);
  return weights;
}

template std::vector<int32_t> fold_repeats(Threads&, const float*, size_t, uint32_t*, size_t&);
template std::vector<int32_t> fold_repeats(Threads&, const double*, size_t, uint32_t*, size_t&);

}  // namespace macqueen
