#include "grouping.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace macqueen {

namespace {

constexpr size_t kValuesPerTask = 1 << 16;  // of centers that one thread looks at, or all of a range at a time

using Range = std::pair<size_t, size_t>;

template <class T>
class Splitter {
 public:
  Splitter(Threads& threads, const Kernels& kernels, const T* centers, size_t k, size_t d)
      : threads_(threads),
        kernels_(row_kernels<T>(kernels)),
        centers_(centers),
        d_(d),
        names_(k),
        from_one_(k),
        from_other_(k) {
    std::iota(names_.begin(), names_.end(), 0);
  }

  // Orders all names so that each group lies together: large ranges by all threads, each small one by one.
  const std::vector<int32_t>& split() {
    std::vector<Range> large = {{0, names_.size()}}, small;
    while (!large.empty()) {
      const Range range = large.back();
      large.pop_back();
      if (range.second - range.first <= std::max(kGroup, kValuesPerTask / d_)) {
        small.push_back(range);
        continue;
      }
      const size_t middle = halve(range, [this](auto... arguments) { measure_shared(arguments...); });
      large.push_back({range.first, middle});
      large.push_back({middle, range.second});
    }
    threads_.run(small.size(), [&](int, size_t i) { split_alone(small[i]); });
    return names_;
  }

 private:
  void split_alone(Range range) {
    if (range.second - range.first <= kGroup) return;
    const size_t middle = halve(range, [this](auto... arguments) { measure(arguments...); });
    split_alone({range.first, middle});
    split_alone({middle, range.second});
  }

  // Cuts a range of names across the line between two far centers; returns where the second half begins. measure(begin,
  // end, from, out) finds squared distances.
  template <class Measure>
  size_t halve(Range range, const Measure& measure) {
    const auto [begin, end] = range;
    measure(begin, end, names_[begin], &from_one_[begin]);
    const int32_t one = farthest(range);
    measure(begin, end, one, &from_one_[begin]);
    const int32_t other = farthest(range);
    measure(begin, end, other, &from_other_[begin]);
    std::vector<std::pair<double, int32_t>> keys(end - begin);
    for (size_t i = begin; i < end; ++i) keys[i - begin] = {from_one_[i] - from_other_[i], names_[i]};
    std::sort(keys.begin(), keys.end());
    for (size_t i = begin; i < end; ++i) names_[i] = keys[i - begin].second;
    const size_t groups = (end - begin + kGroup - 1) / kGroup;
    return begin + groups / 2 * kGroup;
  }

  int32_t farthest(Range range) const {
    const auto from = from_one_.begin();
    const auto first = from + static_cast<std::ptrdiff_t>(range.first);
    const auto last = from + static_cast<std::ptrdiff_t>(range.second);
    return names_[static_cast<size_t>(std::max_element(first, last) - from)];
  }

  void measure(size_t begin, size_t end, int32_t from, double* out) const {
    kernels_.listed_distances(centers_ + static_cast<size_t>(from) * d_, centers_, d_, &names_[begin], end - begin,
                              out);
  }

  void measure_shared(size_t begin, size_t end, int32_t from, double* out) const {
    const size_t each = std::max<size_t>(1, kValuesPerTask / d_);
    threads_.run((end - begin + each - 1) / each, [&](int, size_t i) {
      const size_t first = begin + i * each;
      measure(first, std::min(end, first + each), from, out + i * each);
    });
  }

  Threads& threads_;
  const RowKernels<T>& kernels_;
  const T* centers_;
  size_t d_;
  std::vector<int32_t> names_;                 // (k,)
  std::vector<double> from_one_, from_other_;  // (k,) squared distances
};

}  // namespace

template <class T>
std::vector<int32_t> grouped_places(Threads& threads, const Kernels& kernels, const T* centers, size_t k, size_t d) {
  Splitter<T> splitter(threads, kernels, centers, k, d);
  const std::vector<int32_t>& names = splitter.split();
  std::vector<int32_t> places(k);
  for (size_t place = 0; place < k; ++place) places[static_cast<size_t>(names[place])] = static_cast<int32_t>(place);
  return places;
}
template std::vector<int32_t> grouped_places<float>(Threads&, const Kernels&, const float*, size_t, size_t);
template std::vector<int32_t> grouped_places<double>(Threads&, const Kernels&, const double*, size_t, size_t);

}  // namespace macqueen
