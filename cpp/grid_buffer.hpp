// The sums of one thread on their two grids, and how they reach the exact totals.
#pragma once

#include <algorithm>
#include <cmath>
#include <mutex>
#include <vector>

#include "exact.hpp"
#include "kernels.hpp"

namespace macqueen {

// One grid-sum buffer of a thread, and where it flushes to.
class GridBuffer {
 public:
  void resize(size_t cells) {
    if (first_.size() == cells) return;
    first_.assign(cells, 0);
    second_.assign(cells, 0);
  }

  // Readies the grid for `rows` more rows, most of whose magnitudes are below 2^top.
  void prepare(int top, size_t rows, exact::Sums& sums) {
    constexpr size_t kRowsBeforeFlush = size_t{1} << 22;
    if (ready_ && top <= top_ && rows_ + rows <= kRowsBeforeFlush) {
      rows_ += rows;
      return;
    }
    if (ready_) {
      top = std::max(top, top_);
      const std::lock_guard<std::mutex> lock(sums.mutex());
      reserve(sums);
      flush(0, first_.size(), sums);
      sums.note_adds(2);
      forget();
    }
    ready_ = true;
    top_ = top;
    rows_ = rows;
    view_.first = first_.data();
    view_.second = second_.data();
    view_.shift1 = std::ldexp(1.5, 52 + top - 40);
    view_.shift2 = std::ldexp(1.5, 52 + top - 80);
    view_.limit = std::ldexp(1.0, top);
    view_.exact = &sums;
  }

  bool ready() const { return ready_; }
  int top() const { return top_; }
  SumBuffer& view() { return view_; }

  void reserve(exact::Sums& sums) const { sums.reserve(top_ - (view_.second_used ? 80 : 40), top_ + 23); }

  // Moves cells [begin, end) to the sums; ranges may be flushed in parallel once room is reserved.
  void flush(size_t begin, size_t end, exact::Sums& sums) {
    for (size_t cell = begin; cell < end; ++cell) {
      if (first_[cell] != 0) sums.add_reserved(cell, first_[cell], top_ - 40);
      first_[cell] = 0;
    }
    if (!view_.second_used) return;
    for (size_t cell = begin; cell < end; ++cell) {
      if (second_[cell] != 0) sums.add_reserved(cell, second_[cell], top_ - 80);
      second_[cell] = 0;
    }
  }

  void forget() {
    ready_ = false;
    view_.second_used = false;
  }

 private:
  std::vector<int64_t> first_, second_;
  SumBuffer view_{};
  bool ready_ = false;
  int top_ = 0;
  size_t rows_ = 0;
};

}  // namespace macqueen
