// Labels of a block of rows: the 16-bit screen, or cells, first, and what these leave open to `RowKernels::assign`.
#pragma once

#include <memory>
#include <vector>

#include "kernels.hpp"
#include "lines.hpp"

namespace macqueen {

template <class T>
class Centers;

// The centers as the 16-bit screen sees them.
template <class T>
class ShortCenters {
 public:
  ShortCenters(const Kernels& kernels, const T* centers, const Screen& screen);

  // Null where one grid does not fit all centers.
  const ShortScreen* screen() const { return fits_ ? &screen_ : nullptr; }

 private:
  Lines<int16_t> packed_;
  Lines<float> start_, error_;
  std::vector<double> width_, width_norm_;
  ShortScreen screen_{};
  bool fits_ = false;
};

// What `RowKernels::assign` needs to work with.
class AssignBuffers {
 public:
  void resize(const Kernels& kernels, size_t k, size_t d);
  AssignScratch scratch() {
    return {packed_.data(), best_.data(), threshold_.data(), undecided_.data(), candidates_.data(), counts_.data()};
  }

 private:
  Lines<float> packed_, best_;
  Lines<double> threshold_;
  std::vector<int32_t> undecided_, candidates_, counts_;
};

// What the 16-bit screen needs to work with.
class ShortBuffers {
 public:
  void resize(const Kernels& kernels, size_t d);
  ShortScratch scratch() { return {row_.data(), packed_.data(), numbers_.data(), best_.data()}; }

 private:
  Lines<float> row_, numbers_, best_;
  Lines<int16_t> packed_;
};

// What one thread labels blocks with.
template <class T>
class Labeller {
 public:
  void resize(const Kernels& kernels, size_t k, size_t d);

  // rows (n, d), n <= block; labels (n,) out: index of the nearest center, ties to the lowest. Cells go before the
  // 16-bit screen; both may be null.
  void label(const Centers<T>& centers, const CellTable<T>* cells, const ShortScreen* short_screen, const T* rows,
             size_t n, int32_t* labels);

 private:
  AssignBuffers assigning_;
  ShortBuffers shorts_;
  std::vector<T> open_rows_;
  std::vector<int32_t> open_labels_;
  size_t seen_ = 0, open_ = 0;  // rows, since the last `resize`
};

// Whether the 16-bit screen of these centers is worth making for so many rows, if it is not there yet.
inline bool worth_short_screen(size_t n, size_t k) { return n >= 64 && k >= 8; }

}  // namespace macqueen
