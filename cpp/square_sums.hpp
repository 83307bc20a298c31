// The exact squares of rows that one thread adds up, column by column.
#pragma once

#include <algorithm>
#include <vector>

#include "exponents.hpp"
#include "grid_buffer.hpp"

namespace macqueen {

template <class T>
class SquareSums {
 public:
  // Adds the squares of rows (n, d), d at most the cells of `sums`, which takes what the grid cannot hold.
  void add(const Kernels& kernels, const T* rows, size_t n, size_t d, exact::Sums& sums) {
    const auto& functions = row_kernels<T>(kernels);
    const int all = top_exponent<T>(functions.largest(rows, n * d));
    if (all > top_) top_ = std::max(top_, usual_exponent(functions, rows, n, d));
    add(kernels, rows, n, d, top_, all, sums);
  }

  // The same for rows most of whose magnitudes are known to be below 2^top, and all below 2^all.
  void add(const Kernels& kernels, const T* rows, size_t n, size_t d, int top, int all, exact::Sums& sums) {
    labels_.resize(std::max(n, labels_.size()), 0);
    grid_.resize(sums.cells());
    grid_.prepare(std::max(2 * top, kLowestTop), 2 * n, sums, 2 * all);
    row_kernels<T>(kernels).add_squares(rows, labels_.data(), n, d, grid_.view());
  }

  // Moves what was added to `sums`; not to be called in parallel.
  void flush(exact::Sums& sums) {
    if (!grid_.ready()) return;
    grid_.reserve(sums);
    grid_.flush(0, sums.cells(), sums);
    sums.note_adds(kLevels);
    grid_.forget();
  }

 private:
  GridBuffer grid_;
  int top_ = kLowestTop - 1;     // of the rows so far: below that of any
  std::vector<int32_t> labels_;  // zeros
};

}  // namespace macqueen
