// BoundedRows: how rows and centers are sketched.
#include <algorithm>
#include <cmath>

#include "bounded_slot.hpp"
#include "square_sums.hpp"

namespace macqueen {

namespace {

constexpr double kLargestScale = 0x1p126;  // a float32

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
    : rows_(rows), n_(n), form_{}, labels_(n, -1), squares_(d) {
  const PinFloatingPoint pin;
  const size_t used = plan.axes.size() / d;
  form_.d = d;
  form_.columns = (used + kernels.lanes - 1) / kernels.lanes * kernels.lanes;
  form_.heads = plan.heads;
  form_.tails = used == 0 ? d - plan.heads : d;
  const size_t padded = form_.padded();
  basis_.assign(form_.columns * padded, 0.0f);
  axes_.assign(used * padded, 0.0f);
  for (size_t c = 0; c < used; ++c) {
    for (size_t j = 0; j < d; ++j) {
      axes_[c * padded + j] = static_cast<float>(plan.axes[c * d + j]);
      basis_[(c / kernels.lanes * padded + j) * kernels.lanes + c % kernels.lanes] = axes_[c * padded + j];
    }
  }
  form_.basis = basis_.data();
  form_.axes = axes_.data();
  const double chain = (form_.heads == 0 ? 0.0 : 64 + static_cast<double>(form_.heads) / 64) + 12;
  // Each head is wrong by up to `product` of |X|, so all of them by sqrt(heads) times that; tails by a rounding a head.
  const double product = 80 + static_cast<double>(d) / 80 + 8, heads = static_cast<double>(used);
  const double basis = used == 0 ? 0.0 : 2 * (std::sqrt(heads) * (product + 1) + heads);
  form_.slack = 1.1 * 0x1p-24 * (3 * chain + basis) + (used == 0 ? 0.0 : 2 * departure(plan.axes, d));
  set_scale(threads, kernels, plan.origin);
  sketch_rows(threads, kernels);
}

// The power of two that brings the largest coordinate to about 1.
template <class T>
void BoundedRows<T>::set_scale(Threads& threads, const Kernels& kernels, const std::vector<double>& origin) {
  const auto& functions = row_kernels<T>(kernels);
  std::vector<double> tops(static_cast<size_t>(threads.count()), 0.0);
  const size_t d = form_.d, blocks = (n_ + kSketchRows - 1) / kSketchRows;
  threads.run(blocks, [&](int slot, size_t block) {
    const size_t first = block * kSketchRows, count = std::min(kSketchRows, n_ - first);
    const uint64_t bits = functions.largest(rows_ + first * d, count * d);
    double& top = tops[static_cast<size_t>(slot)];
    top = std::max(top, std::ldexp(1.0, top_exponent<T>(bits)));
  });
  double top = *std::max_element(tops.begin(), tops.end());
  for (const double o : origin) top = std::max(top, std::abs(o));
  form_.scale = top > 0 ? std::min(std::ldexp(1.0, -std::ilogb(2 * top)), kLargestScale) : 1.0;
  shift_.assign(form_.padded(), 0.0f);
  for (size_t j = 0; j < d; ++j) shift_[j] = static_cast<float>(origin[j] * form_.scale);
  form_.shift = shift_.data();
}

template <class T>
void BoundedRows<T>::sketch_rows(Threads& threads, const Kernels& kernels) {
  const auto& functions = row_kernels<T>(kernels);
  const size_t d = form_.d, blocks = (n_ + kSketchRows - 1) / kSketchRows;
  numbers_ = std::make_unique_for_overwrite<SketchNumbers[]>(blocks);
  heads_ = std::make_unique_for_overwrite<float[]>(n_ * form_.heads);
  tails_ = std::make_unique_for_overwrite<int8_t[]>(n_ * form_.padded_tails());
  upper_.resize(n_);
  doubts_.resize(n_);
  least_.resize(n_);
  units_.assign(blocks * kSketchRows, 1);
  std::vector<std::vector<float>> scratch(static_cast<size_t>(threads.count()));
  std::vector<SquareSums<T>> squares(scratch.size());
  threads.run(blocks, [&](int index, size_t block) {
    const auto slot = static_cast<size_t>(index);
    const size_t first = block * kSketchRows, count = std::min(kSketchRows, n_ - first);
    const T* rows = rows_ + first * d;
    scratch[slot].resize(form_.scratch(kernels.tile));
    if (count < kSketchRows) numbers_[block] = {};
    functions.sketch(rows, count, form_, scratch[slot].data(), sketches(block));
    squares[slot].add(kernels, rows, count, d, squares_);
  });
  for (SquareSums<T>& sums : squares) sums.flush(squares_);
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
template void BoundedRows<float>::sketch_centers(Threads&, const Centers<float>&);
template BoundedRows<double>::BoundedRows(Threads&, const Kernels&, const double*, size_t, size_t, const SketchPlan&);
template void BoundedRows<double>::sketch_centers(Threads&, const Centers<double>&);

}  // namespace macqueen
