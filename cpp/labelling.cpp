#include "labelling.hpp"

#include <algorithm>

#include "step.hpp"

namespace macqueen {

template <class T>
ShortCenters<T>::ShortCenters(const Kernels& kernels, const T* centers, const Screen& screen)
    : width_(screen.k), width_norm_(screen.k) {
  const PinFloatingPoint pin;
  screen_.pairs = (screen.d + 1) / 2;
  packed_.resize(screen.panels * screen_.pairs * kernels.lanes * 2);
  start_.resize(screen.panels * kernels.lanes);
  error_.resize(start_.size());
  screen_.packed = packed_.data();
  screen_.start = start_.data();
  screen_.error = error_.data();
  screen_.width = width_.data();
  screen_.width_norm = width_norm_.data();
  std::vector<float> scratch(2 * screen.d + 2);
  fits_ = row_kernels<T>(kernels).pack_short(centers, screen, scratch.data(), screen_);
}

void AssignBuffers::resize(const Kernels& kernels, size_t k, size_t d) {
  packed_.resize((kernels.block + kernels.tile) * (d + 1));
  best_.resize(kernels.block * 3 * kernels.width);
  threshold_.resize(kernels.block);
  undecided_.resize(kernels.block);
  candidates_.resize(kernels.tile * k);
  counts_.resize(kernels.tile);
}

void ShortBuffers::resize(const Kernels& kernels, size_t d) {
  const size_t rows = kernels.block + kernels.tile;
  row_.resize(d + kernels.width);
  packed_.resize(rows * ((d + 1) / 2) * 2);
  numbers_.resize(rows * 2);
  best_.resize(rows * 3 * kernels.width);
}

template <class T>
void Labeller<T>::resize(const Kernels& kernels, size_t k, size_t d) {
  assigning_.resize(kernels, k, d);
  shorts_.resize(kernels, d);
  open_rows_.resize(kernels.block * d);
  open_labels_.resize(kernels.block);
  seen_ = open_ = 0;
}

template <class T>
void Labeller<T>::label(const Centers<T>& centers, const CellTable<T>* cells, const ShortScreen* short_screen,
                        const T* rows, size_t n, int32_t* labels) {
  const auto& kernels = row_kernels<T>(centers.kernels());
  const size_t d = centers.d();
  const auto assign = [&](const T* some, size_t count, int32_t* found) {
    kernels.assign(some, count, centers.values(), centers.screen(), assigning_.scratch(), found);
  };
  // Where most rows are left open it is given up; the labels are the same either way.
  constexpr size_t kEnough = 512;
  if ((cells == nullptr && short_screen == nullptr) || (seen_ >= kEnough && 2 * open_ > seen_)) {
    assign(rows, n, labels);
    return;
  }
  size_t looked_at = 0;
  const size_t open = cells != nullptr
                          ? kernels.cell_labels(rows, n, *cells, centers.values(), labels, &looked_at)
                          : kernels.assign_short(rows, n, centers.screen(), *short_screen, shorts_.scratch(), labels);
  seen_ += n;
  open_ += open;
  if (open == 0) return;
  size_t next = 0;
  for (size_t i = 0; i < n; ++i) {
    if (labels[i] < 0) std::copy(rows + i * d, rows + (i + 1) * d, &open_rows_[next++ * d]);
  }
  assign(open_rows_.data(), open, open_labels_.data());
  next = 0;
  for (size_t i = 0; i < n; ++i) {
    if (labels[i] < 0) labels[i] = open_labels_[next++];
  }
}

template class ShortCenters<float>;
template class ShortCenters<double>;
template class Labeller<float>;
template class Labeller<double>;

}  // namespace macqueen
