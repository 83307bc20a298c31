// BoundedRows: the stored bounds, each for the groups of a span.
#include <string.h>

#include <algorithm>

#include "bounded_slot.hpp"

namespace macqueen {

template <class T>
void BoundedRows<T>::make_bounds() {
  if (!bounds_) bounds_ = raw_lines<uint16_t>(blocks() * kSketchRows * spans_);
}

// Lists the rows of each group that their bounds open: all groups of a span have the same.
template <class T>
void BoundedRows<T>::open_groups(const Kernels& kernels, size_t block, Slot& slot) {
  kernels.open_groups(bounds(block), &units_[block * kSketchRows], slot.upper.data(), span_paths_.data(), spans_,
                      slot.least.data(), slot.lists.data(), slot.list_counts.data());
  for (size_t g = groups_; share_ > 1 && g-- > 0;) {  // backwards: the lists of spans lie where those of groups will
    const size_t span = g / share_;
    slot.list_counts[g] = slot.list_counts[span];
    memmove(&slot.lists[g * kListStride], &slot.lists[span * kListStride], static_cast<size_t>(slot.list_counts[g]));
  }
}

// Stores what was found in the groups that were opened, and leaves `found` as untouched again.
template <class T>
void BoundedRows<T>::store_bounds(const Kernels& kernels, size_t block, Slot& slot) {
  for (size_t s = 0; share_ > 1 && s < spans_; ++s) {  // forwards: what a span takes lies behind those before it
    const size_t first = s * share_, last = std::min(groups_, first + share_);
    const auto counts = slot.list_counts.begin();
    const auto at = [](size_t group) { return static_cast<std::ptrdiff_t>(group); };
    const int32_t most = *std::max_element(counts + at(first), counts + at(last));
    slot.list_counts[s] = most;
    if (most == 0) continue;
    float* const least = &slot.found[first * kSketchRows];
    for (size_t g = first + 1; g < last; ++g) {
      float* const found = &slot.found[g * kSketchRows];
      for (size_t i = 0; i < kSketchRows; ++i) least[i] = std::min(least[i], found[i]);
      std::fill_n(found, kSketchRows, kUntouched);
    }
    if (s == first) continue;
    std::copy_n(least, kSketchRows, &slot.found[s * kSketchRows]);
    std::fill_n(least, kSketchRows, kUntouched);
  }
  kernels.store_groups(slot.found.data(), slot.squares.data(), &units_[block * kSketchRows], span_paths_.data(), spans_,
                       slot.list_counts.data(), slot.least.data(), bounds(block));
}

template void BoundedRows<float>::make_bounds();
template void BoundedRows<float>::open_groups(const Kernels&, size_t, Slot&);
template void BoundedRows<float>::store_bounds(const Kernels&, size_t, Slot&);
template void BoundedRows<double>::make_bounds();
template void BoundedRows<double>::open_groups(const Kernels&, size_t, Slot&);
template void BoundedRows<double>::store_bounds(const Kernels&, size_t, Slot&);

}  // namespace macqueen
