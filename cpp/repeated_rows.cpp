#include "repeated_rows.hpp"

#include <algorithm>

#include "equal_rows.hpp"
#include "kernels.hpp"

namespace macqueen {

namespace {

// Whether a sample of rows shows that many repeat.
template <class T, size_t D>
bool many_repeat(const T* rows, const uint32_t* order, size_t n) {
  constexpr size_t kStretch = 256, kStretches = 16;
  size_t seen = 0, found = 0;
  for (size_t first = 1; first < n; first += std::max(kStretch, n / kStretches)) {
    for (size_t i = first; i < std::min(n, first + kStretch); ++i, ++seen) {
      found += equal_rows<T, D>(rows + order[i - 1] * D, rows + order[i] * D);
    }
  }
  return seen > 0 && 4 * found >= seen;
}

// Keeps one of each row of order [first, end), and returns how many that are. Rows stand for `before` (null: 1)
// already.
template <class T, size_t D>
size_t fold(const T* rows, const int32_t* before, uint32_t* order, size_t first, size_t end, int32_t* weights) {
  constexpr size_t kAhead = 32;
  size_t next = first;  // the place of the last row that is kept
  const auto weight_of = [&](size_t i) { return before == nullptr ? 1 : before[order[i]]; };
  const T* last = rows + order[first] * D;
  int32_t weight = weights[first] = weight_of(first);
  for (size_t i = first + 1; i < end; ++i) {
    const uint32_t ahead = order[std::min(i + kAhead, end - 1)];
    __builtin_prefetch(rows + ahead * D);
    if (before != nullptr) __builtin_prefetch(before + ahead);
    const T* row = rows + order[i] * D;
    const int32_t own = weight_of(i);
    const bool same = equal_rows<T, D>(last, row) & (weight + own < kMostWeight);
    weight = (weight & -static_cast<int32_t>(same)) + own;
    next += size_t{!same};
    order[next] = order[i];
    weights[next] = weight;
    last = row;
  }
  return next - first + 1;
}

template <class T, size_t D>
std::vector<int32_t> fold_all(Threads& threads, const T* rows, const int32_t* before, uint32_t* order, size_t& n,
                              int32_t* scratch) {
  if (before == nullptr && !many_repeat<T, D>(rows, order, n)) return {};
  constexpr size_t kParts = 32;
  const size_t part_rows = (n + kParts - 1) / kParts, all = n;
  size_t kept[kParts] = {};
  threads.run(kParts, [&](int, size_t part) {
    const size_t first = part * part_rows, end = std::min(all, first + part_rows);
    if (first < end) kept[part] = fold<T, D>(rows, before, order, first, end, scratch);
  });
  n = 0;
  std::vector<int32_t> weights;
  for (const size_t count : kept) n += count;
  weights.reserve(n);
  for (size_t part = 0; part < kParts; ++part) {
    const size_t first = part * part_rows;
    std::copy_n(order + first, kept[part], order + weights.size());
    weights.insert(weights.end(), scratch + first, scratch + first + kept[part]);
  }
  return weights;
}

}  // namespace

template <class T>
std::vector<int32_t> fold_repeats(Threads& threads, const T* rows, const int32_t* before, size_t d, uint32_t* order,
                                  size_t& n, int32_t* scratch) {
  using Function = std::vector<int32_t> (*)(Threads&, const T*, const int32_t*, uint32_t*, size_t&, int32_t*);
  static constexpr Function kFunctions[kMostBoxDims] = {fold_all<T, 1>, fold_all<T, 2>, fold_all<T, 3>, fold_all<T, 4>,
                                                        fold_all<T, 5>, fold_all<T, 6>, fold_all<T, 7>, fold_all<T, 8>};
  return kFunctions[d - 1](threads, rows, before, order, n, scratch);
}

template std::vector<int32_t> fold_repeats(Threads&, const float*, const int32_t*, size_t, uint32_t*, size_t&,
                                           int32_t*);
template std::vector<int32_t> fold_repeats(Threads&, const double*, const int32_t*, size_t, uint32_t*, size_t&,
                                           int32_t*);

}  // namespace macqueen
