#include "grouping.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace macqueen {

namespace {

template <class T>
class Splitter {
 public:
  Splitter(const T* centers, size_t d, size_t size) : centers_(centers), d_(d), size_(size), axis_(d) {}

  // Orders names [begin, end) so that each run of `size` lies together: cuts across the line between two far centers.
  void split(std::vector<int32_t>& names, size_t begin, size_t end) {
    const size_t groups = (end - begin + size_ - 1) / size_;
    if (groups <= 1) return;
    const int32_t one = farthest(names, begin, end, names[begin]);
    const int32_t other = farthest(names, begin, end, one);
    for (size_t j = 0; j < d_; ++j) axis_[j] = value(other, j) - value(one, j);
    keys_.clear();
    for (size_t i = begin; i < end; ++i) {
      double key = 0;
      for (size_t j = 0; j < d_; ++j) key += axis_[j] * value(names[i], j);
      keys_.push_back({key, names[i]});
    }
    std::sort(keys_.begin(), keys_.end());
    for (size_t i = begin; i < end; ++i) names[i] = keys_[i - begin].second;
    const size_t middle = begin + groups / 2 * size_;
    split(names, begin, middle);
    split(names, middle, end);
  }

 private:
  double value(int32_t name, size_t j) const {
    return static_cast<double>(centers_[static_cast<size_t>(name) * d_ + j]);
  }

  int32_t farthest(const std::vector<int32_t>& names, size_t begin, size_t end, int32_t from) const {
    int32_t result = from;
    double most = -1;
    for (size_t i = begin; i < end; ++i) {
      double distance = 0;
      for (size_t j = 0; j < d_; ++j) {
        const double gap = value(names[i], j) - value(from, j);
        distance += gap * gap;
      }
      if (distance > most) {
        most = distance;
        result = names[i];
      }
    }
    return result;
  }

  const T* centers_;
  size_t d_, size_;
  std::vector<double> axis_;
  std::vector<std::pair<double, int32_t>> keys_;
};

}  // namespace

template <class T>
std::vector<int32_t> grouped_places(const T* centers, size_t k, size_t d, size_t size) {
  std::vector<int32_t> names(k), places(k);
  std::iota(names.begin(), names.end(), 0);
  Splitter<T>(centers, d, size).split(names, 0, k);
  for (size_t place = 0; place < k; ++place) places[static_cast<size_t>(names[place])] = static_cast<int32_t>(place);
  return places;
}
template std::vector<int32_t> grouped_places<float>(const float*, size_t, size_t, size_t);
template std::vector<int32_t> grouped_places<double>(const double*, size_t, size_t, size_t);

}  // namespace macqueen
