// The sums of one thread on their grids, and how they reach the exact totals.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <mutex>
#include <new>

#include "exact.hpp"
#include "kernels.hpp"

namespace macqueen {

constexpr int kUnknownTop = std::numeric_limits<int>::max();

// One grid-sum buffer of a thread, and where it flushes to.
class GridBuffer {
 public:
  // Zeroed by the system, so that levels which nothing reaches cost no memory.
  void resize(size_t cells) {
    if (cells == cells_) return;
    cells_ = 0;  // until there is memory for all
    for (Level& level : levels_) {
      level.reset(static_cast<int64_t*>(std::calloc(cells + kLineCells, sizeof(int64_t))));
      if (!level) throw std::bad_alloc();
    }
    cells_ = cells;
    // A page that is read before it is written is mapped twice, the second time with a word to all other threads.
    constexpr size_t kPage = 4096 / sizeof(int64_t);
    for (size_t cell = 0; cell < cells; cell += kPage) static_cast<volatile int64_t&>(cells_of(0)[cell]) = 0;
  }

  // Readies the grid for `rows` <= kMostRows more rows, most of whose magnitudes are below 2^top, and all below 2^all:
  // where the grid reaches so far, nobody looks at them again.
  void prepare(int top, size_t rows, exact::Sums& sums, int all = kUnknownTop) {
    if (ready_ && top <= top_ && rows_ + rows <= most_rows_) {
      rows_ += rows;
      view_.fits = all <= top_;
      return;
    }
    if (ready_) {
      top = std::max(top, top_);
      const std::lock_guard<std::mutex> lock(sums.mutex());
      reserve(sums);
      flush(0, cells_, sums);
      sums.note_adds(kLevels);
      forget();
    }
    ready_ = true;
    top_ = top;
    rows_ = rows;
    most_rows_ = std::bit_ceil(std::clamp(std::max(cells_ / 2, rows), kLeastRows, kMostRows));
    bits_ = kCellBits - std::countr_zero(most_rows_);
    for (int level = 0; level < kLevels; ++level) {
      view_.levels[level] = cells_of(level);
      view_.shifts[level] = std::ldexp(1.5, 52 + grid(level));
    }
    view_.limit = std::ldexp(1.0, top);
    view_.fits = all <= top;
    view_.exact = &sums;
  }

  bool ready() const { return ready_; }
  int top() const { return top_; }
  SumBuffer& view() { return view_; }

  void reserve(exact::Sums& sums) const { sums.reserve(grid(view_.used - 1), top_); }

  // Moves cells [begin, end) to the sums; ranges may be flushed in parallel once room is reserved. Parts that no row
  // reached are not written to.
  void flush(size_t begin, size_t end, exact::Sums& sums) {
    constexpr size_t kPart = 256;
    for (int level = 0; level < view_.used; ++level) {
      for (size_t first = begin; first < end; first += kPart) {
        const size_t count = std::min(kPart, end - first);
        int64_t* cells = cells_of(level) + first;
        int64_t any = 0;
        for (size_t i = 0; i < count; ++i) any |= cells[i];
        if (any == 0) continue;
        sums.add_cells(first, cells, count, grid(level));
        std::fill_n(cells, count, 0);
      }
    }
  }

  void forget() {
    ready_ = false;
    view_.used = 1;
  }

 private:
  struct Free {
    void operator()(int64_t* cells) const { std::free(cells); }
  };
  using Level = std::unique_ptr<int64_t[], Free>;

  // From the beginning of a line of the cache on: vectors that lie across two lines take longer.
  static constexpr size_t kLineCells = 64 / sizeof(int64_t);
  int64_t* cells_of(int level) const {
    const auto begin = reinterpret_cast<uintptr_t>(levels_[level].get());
    return reinterpret_cast<int64_t*>((begin + 63) / 64 * 64);
  }

  // A cell holds the sum of 2^(kCellBits - b) values of b bits. The fewer rows are added before the cells are moved on,
  // the fewer of them leave something to the second grid; moving a cell takes about as long as adding two values to it.
  static constexpr int kCellBits = 62;
  static constexpr size_t kLeastRows = size_t{1} << 14, kMostRows = size_t{1} << 22;

  // Exponent of a level's grid.
  int grid(int level) const { return top_ - bits_ - kGridBits * level; }

  size_t cells_ = 0;
  Level levels_[kLevels];
  SumBuffer view_{{}, {}, 0, 1, nullptr, false};
  bool ready_ = false;
  int top_ = 0;
  size_t rows_ = 0, most_rows_ = 0;
  int bits_ = 0;
};

}  // namespace macqueen
