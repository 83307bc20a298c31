// BoundedRows: how rows and centers are sketched.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "blocks.hpp"
#include "bounded_slot.hpp"

namespace macqueen {

namespace {

constexpr double kLargestScale = 0x1p126;  // a float32
constexpr double kCalm = 0.035;            // of the rows that move: bounds that are stored now open few groups

// How far axes (a, d), rounded to float32, are from orthonormal: the largest row sum of |W'W - 1|.
double departure(const std::vector<double>& axes, size_t d) {
  double most = 0;
  const size_t count = axes.size() / d;
  for (size_t a = 0; a < count; ++a) {
    double sum = 0;
    for (size_t b = 0; b < count; ++b) {
      double dot = a == b ? -1 : 0;
      for (size_t j = 0; j < d; ++j) {
        dot += static_cast<double>(static_cast<float>(axes[a * d + j])) *
               static_cast<double>(static_cast<float>(axes[b * d + j]));
      }
      sum += std::abs(dot) + 0x1p-45;
    }
    most = std::max(most, sum);
  }
  return most;
}

}  // namespace

template <class T>
BoundedRows<T>::BoundedRows(Threads& threads, const Kernels& kernels, const T* rows, size_t n, size_t d,
                            const SketchPlan& plan)
    : rows_(rows),
      n_(n),
      form_{},
      tops_((n + kSketchRows - 1) / kSketchRows),
      labels_(n, -1),
      share_(plan.share),
      calm_(kCalm * static_cast<double>(n)),
      squares_(d) {
  const PinFloatingPoint pin;
  const size_t used = plan.axes.size() / d;
  form_.d = d;
  look_at_rows(threads, kernels);
  form_.columns = (used + kernels.lanes - 1) / kernels.lanes * kernels.lanes;
  form_.heads = plan.heads;
  form_.tails = used == 0 ? d - plan.heads : d;
  const size_t padded = form_.padded();
  basis_.assign(form_.columns * padded, 0.0f);
  axes_.assign(used * padded, 0.0f);
  for (size_t c = 0; c < used; ++c) {
    for (size_t j = 0; j < d; ++j) {
      const auto value = static_cast<float>(plan.axes[c * d + j]);
      axes_[c * padded + j] = -value;
      basis_[(c / kernels.lanes * padded + j) * kernels.lanes + c % kernels.lanes] = value;
    }
  }
  form_.basis = basis_.data();
  form_.axes = axes_.data();
  const double chain = (form_.heads == 0 ? 0.0 : kSketchChunk + static_cast<double>(form_.heads) / kSketchChunk) + 12;
  // Each head is wrong by up to `product` of |X|, so all of them by sqrt(heads) times that; tails by a rounding a head.
  const double product = kScreenChunk + static_cast<double>(d) / kScreenChunk + 8, heads = static_cast<double>(used);
  const double basis = used == 0 ? 0.0 : 2 * (std::sqrt(heads) * (product + 1) + heads);
  form_.slack = 1.1 * 0x1p-24 * (3 * chain + basis) + (used == 0 ? 0.0 : 2 * departure(plan.axes, d));
  set_scale(plan.origin);
  numbers_ = raw_lines<SketchNumbers>(blocks());
  heads_ = raw_lines<float>(n_ * form_.heads);
  tails_ = raw_lines<int8_t>(n_ * form_.padded_tails());
  upper_.resize(n_);
  doubts_.resize(n_);
  least_.resize(n_);
  units_.assign(blocks() * kSketchRows, 1);
}

// Finds the tops of all blocks. Nothing else is asked of rows that are read from far away.
template <class T>
void BoundedRows<T>::look_at_rows(Threads& threads, const Kernels& kernels) {
  std::atomic<bool> refused = false;
  threads.run(blocks(), [&](int, size_t block) {
    const size_t first = block * kSketchRows, count = std::min(kSketchRows, n_ - first);
    const uint64_t largest = row_kernels<T>(kernels).largest(rows_ + first * form_.d, count * form_.d);
    tops_[block] = top_exponent<T>(largest);
    if (largest >= first_refused_bits<T>()) refused = true;
  });
  if (refused) throw std::invalid_argument("rows must be finite and within 1e150");
}

// The power of two that brings the largest coordinate to about 1.
template <class T>
void BoundedRows<T>::set_scale(const std::vector<double>& origin) {
  const size_t d = form_.d;
  double top = std::ldexp(1.0, *std::max_element(tops_.begin(), tops_.end()));
  for (const double o : origin) top = std::max(top, std::abs(o));
  form_.scale = top > 0 ? std::min(std::ldexp(1.0, -std::ilogb(2 * top)), kLargestScale) : 1.0;
  shift_.assign(form_.padded(), 0.0f);
  for (size_t j = 0; j < d; ++j) shift_[j] = static_cast<float>(origin[j] * form_.scale);
  form_.shift = shift_.data();
}

template <class T>
void BoundedRows<T>::sketch_rows(const Kernels& kernels, size_t block, Slot& slot) {
  const size_t first = block * kSketchRows, count = std::min(kSketchRows, n_ - first);
  slot.scratch.resize(form_.scratch(kernels.tile));
  if (count < kSketchRows) numbers_[block] = {};
  row_kernels<T>(kernels).sketch(rows_ + first * form_.d, count, form_, slot.scratch.data(), sketches(block));
}

template <class T>
void BoundedRows<T>::sketch_centers(Threads& threads, const Centers<T>& centers) {
  const Kernels& kernels = centers.kernels();
  std::vector<std::vector<float>> scratch(static_cast<size_t>(threads.count()));
  threads.run(groups_, [&](int index, size_t group) {
    auto& own = scratch[static_cast<size_t>(index)];
    own.resize(form_.scratch(kernels.tile));
    row_kernels<T>(kernels).sketch_centers(centers.values(), &centers_at_[group * kGroup], group, form_, own.data(),
                                           panels_);
  });
}

template BoundedRows<float>::BoundedRows(Threads&, const Kernels&, const float*, size_t, size_t, const SketchPlan&);
template void BoundedRows<float>::sketch_rows(const Kernels&, size_t, Slot&);
template void BoundedRows<float>::sketch_centers(Threads&, const Centers<float>&);
template BoundedRows<double>::BoundedRows(Threads&, const Kernels&, const double*, size_t, size_t, const SketchPlan&);
template void BoundedRows<double>::sketch_rows(const Kernels&, size_t, Slot&);
template void BoundedRows<double>::sketch_centers(Threads&, const Centers<double>&);

}  // namespace macqueen
