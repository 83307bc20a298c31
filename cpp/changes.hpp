// Rows that came to a cluster or left it: what one thread adds to the exact sums of the step before.
#pragma once

#include <vector>

#include "exponents.hpp"
#include "grid_buffer.hpp"
#include "step.hpp"

namespace macqueen {

template <class T>
class Changes {
 public:
  void resize(size_t k, size_t d) {
    d_ = d;
    sums_.resize(k * d);
    counts_.resize(k, 0);
  }

  // Notes row x, its coordinates `stride` apart, which went from cluster `before` (-1: from nowhere) to `after`.
  void note(const T* x, size_t stride, int32_t before, int32_t after) {
    ++moved_;
    if (before >= 0) append(x, stride, before, T{-1});
    append(x, stride, after, T{1});
  }

  // Adds what was noted to this thread's sums; what the grids cannot hold goes to `totals` at once.
  void add(const Kernels& kernels, Totals& totals) {
    if (labels_.empty()) return;
    const auto& functions = row_kernels<T>(kernels);
    const uint64_t largest = functions.largest(rows_.data(), rows_.size());
    sums_.prepare(next_exponent(functions, rows_.data(), labels_.size(), d_, largest, sums_), labels_.size(),
                  totals.sums);
    functions.add(rows_.data(), labels_.data(), labels_.size(), d_, sums_.view());
    rows_.clear();
    labels_.clear();
  }

  // Adds rows (n, d) that come from nowhere to the clusters `labels` (n,).
  void add_rows(const Kernels& kernels, const T* rows, const int32_t* labels, size_t n, Totals& totals) {
    const auto& functions = row_kernels<T>(kernels);
    const uint64_t largest = functions.largest(rows, n * d_);
    sums_.prepare(next_exponent(functions, rows, n, d_, largest, sums_), n, totals.sums);
    functions.add(rows, labels, n, d_, sums_.view());
    for (size_t i = 0; i < n; ++i) ++counts_[static_cast<size_t>(labels[i])];
    moved_ += n;
  }

  size_t waiting() const { return rows_.size(); }  // values that `add` will add
  int top() const { return sums_.top(); }

  // Moves this thread's sums and counts to `totals`; returns how many rows moved. Not to be called in parallel.
  size_t flush(Totals& totals) {
    for (size_t c = 0; c < counts_.size(); ++c) {
      totals.counts[c] += counts_[c];
      counts_[c] = 0;
    }
    if (sums_.ready()) {
      sums_.reserve(totals.sums);
      sums_.flush(0, totals.k * totals.d, totals.sums);
      totals.sums.note_adds(kLevels);
      sums_.forget();
    }
    const size_t moved = moved_;
    moved_ = 0;
    return moved;
  }

 private:
  void append(const T* x, size_t stride, int32_t label, T sign) {
    const size_t end = rows_.size();
    rows_.resize(end + d_);
    for (size_t j = 0; j < d_; ++j) rows_[end + j] = sign * x[j * stride];
    labels_.push_back(label);
    counts_[static_cast<size_t>(label)] += sign > 0 ? 1 : -1;
  }

  size_t d_ = 0;
  std::vector<T> rows_;          // (m, d)
  std::vector<int32_t> labels_;  // (m,)
  std::vector<int64_t> counts_;  // (k,) differences
  GridBuffer sums_;              // (k, d)
  size_t moved_ = 0;
};

}  // namespace macqueen
