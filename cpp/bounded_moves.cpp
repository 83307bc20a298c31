// BoundedRows: what moves of the centers do to the bounds.
#include <algorithm>
#include <cmath>

#include "bounded_slot.hpp"
#include "rounding.hpp"

namespace macqueen {

template <class T>
void BoundedRows<T>::move_centers(Threads& threads, const Centers<T>& centers) {
  constexpr size_t kPart = kSketchPart;  // centers of a task
  const size_t k = centers.k(), d = form_.d;
  const auto& functions = row_kernels<T>(centers.kernels());
  std::vector<double> moves(k);
  std::vector<std::vector<float>> scratch(static_cast<size_t>(threads.count()));
  paths_before_ = paths_;
  threads.run((k + kPart - 1) / kPart, [&](int index, size_t part) {
    const size_t begin = part * kPart, end = std::min(k, begin + kPart);
    if (form_.follows()) {
      auto& own = scratch[static_cast<size_t>(index)];
      own.resize(form_.scratch(centers.kernels().tile));
      functions.sketch_moves(before_.data(), centers.values(), begin, end - begin, form_, own.data(), moves_);
    }
    for (size_t c = begin; c < end; ++c) {
      const T* now = centers.values() + c * d;
      const int32_t first = 0;
      double squares;
      functions.own_distances(now, &first, &before_[c * d], 1, d, &squares);
      moves[c] = std::sqrt(squares) * form_.scale * kUp;
      std::copy_n(now, d, &before_[c * d]);
    }
  });
  std::vector<double> longest(spans_, 0);
  for (size_t c = 0; c < k; ++c) {
    if (moves[c] > 0) paths_[c] = rounded_up((static_cast<double>(paths_[c]) + moves[c]) * kUp);
    double& most = longest[static_cast<size_t>(places_[c]) / (kGroup * share_)];
    most = std::max(most, moves[c]);
  }
  double most = 0;
  for (size_t s = 0; s < spans_; ++s) {
    if (longest[s] > 0) span_paths_[s] = rounded_up((static_cast<double>(span_paths_[s]) + longest[s]) * kUp);
    most = std::max(most, longest[s]);
  }
  if (most > 0) longest_path_ = rounded_up((static_cast<double>(longest_path_) + most) * kUp);
}

// Follows the own centers of the opened rows without reading these; what is below 0 after it must be measured.
template <class T>
void BoundedRows<T>::follow(const Kernels& kernels, size_t first, size_t count, Slot& slot) {
  if (!form_.follows()) {
    std::fill(slot.upper.begin(), slot.upper.end(), -kFar);
    return;
  }
  for (size_t i = 0; i < count; ++i) {
    const float path = paths_before_[static_cast<size_t>(labels_[first + i])];
    slot.upper[i] = (upper_[first + i] + path) * kFloatUp;
    slot.doubts[i] = doubts_[first + i] + path;
  }
  kernels.moved_bounds(form_, moves_, sketches(first / kSketchRows), slot.opened.data(), slot.opened.size(),
                       &labels_[first], slot.upper.data(), slot.doubts.data());
}

// Bounds of the distances of the opened rows to their own centers; rows that these leave far from all others are closed
// again.
template <class T>
void BoundedRows<T>::measure(const Centers<T>& centers, size_t first, size_t count, Slot& slot) {
  follow(centers.kernels(), first, count, slot);
  slot.measured.resize(kSketchRows);
  size_t measured = 0;
  for (const uint8_t i : slot.opened) {
    slot.measured[measured] = i;
    measured += slot.upper[i] < 0 ? 1 : 0;
  }
  slot.done.read += static_cast<double>(measured);
  row_kernels<T>(centers.kernels())
      .own_bounds(rows_ + first * form_.d, slot.measured.data(), measured, &labels_[first], centers.values(), form_.d,
                  form_.scale, slot.upper.data());
  for (size_t m = 0; m < measured; ++m) slot.doubts[slot.measured[m]] = 0;
  std::fill(slot.limit.begin(), slot.limit.end(), -kInfinity);  // to which nothing is near
  for (size_t i = 0; i < count; ++i) {
    const float own = slot.upper[i], path = slot.paths[i], rest = own - path;
    const bool opened = own >= 0;
    upper_[first + i] = opened ? rest + std::abs(rest) * kFloatSlack : upper_[first + i];
    doubts_[first + i] = opened ? slot.doubts[i] - path : doubts_[first + i];
    const bool far = own < (least_[first + i] - longest_path_) * kFloatDown;
    const float limit = own * own * kFloatUp - slot.squares[i] * kFloatDown + 0x1p-88f;
    slot.limit[i] = opened && !far ? limit : -kInfinity;
    slot.upper[i] = far ? -kFar : own;
  }
  const auto closed = [&slot](uint8_t i) { return slot.upper[i] < 0; };
  slot.opened.erase(std::remove_if(slot.opened.begin(), slot.opened.end(), closed), slot.opened.end());
}

// Paths grow without end, and the stored bounds must have room for them: now and then all are counted from 0 again.
template <class T>
void BoundedRows<T>::forget_paths(Threads& threads, const Kernels& kernels) {
  threads.run(units_.size() / kSketchRows, [&](int, size_t block) {
    const size_t first = block * kSketchRows, count = std::min(kSketchRows, n_ - first);
    if (way_ == Way::kLists) {
      kernels.take_off_paths(bounds(block), &units_[first], span_paths_.data(), spans_);
    }
    for (size_t row = first; row < first + count; ++row) {
      const float rest = least_[row] - longest_path_, path = paths_[static_cast<size_t>(labels_[row])];
      least_[row] = rest - std::abs(rest) * kFloatSlack;
      upper_[row] = (upper_[row] + path) * kFloatUp;
      doubts_[row] += path;
    }
  });
  for (size_t c = 0; c < paths_.size(); ++c) {  // below 0 from now on: the own center is behind where it counts from
    const float rest = paths_before_[c] - paths_[c];
    paths_before_[c] = rest + std::abs(rest) * kFloatSlack;
  }
  std::fill(span_paths_.begin(), span_paths_.end(), 0.0f);
  std::fill(paths_.begin(), paths_.end(), 0.0f);
  longest_path_ = 0;
}

template void BoundedRows<float>::move_centers(Threads&, const Centers<float>&);
template void BoundedRows<float>::measure(const Centers<float>&, size_t, size_t, Slot&);
template void BoundedRows<float>::forget_paths(Threads&, const Kernels&);
template void BoundedRows<double>::move_centers(Threads&, const Centers<double>&);
template void BoundedRows<double>::measure(const Centers<double>&, size_t, size_t, Slot&);
template void BoundedRows<double>::forget_paths(Threads&, const Kernels&);

}  // namespace macqueen
