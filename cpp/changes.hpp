// Rows that came to a cluster or left it: what one thread adds to the exact sums of the step before.
#pragma once

#include <algorithm>
#include <utility>
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
    touched_.resize(k, 0);
  }

  // Notes that row x, which must stay where it is until `add`, went from one cluster to another.
  void note(const T* x, int32_t before, int32_t after) {
    ++moved_;
    rows_.push_back(x);
    before_.push_back(before);
    after_.push_back(after);
    count(before, -1);
    count(after, 1);
  }

  // Moves what was noted between this thread's sums; what the grids cannot hold goes to `totals` at once.
  void add(const Kernels& kernels, Totals& totals) {
    if (rows_.empty()) return;
    const auto& functions = row_kernels<T>(kernels);
    constexpr size_t kAhead = 12;  // rows that are asked for before they are read: most lie far apart
    tops_.clear();
    for (size_t i = 0; i < rows_.size(); ++i) {
      const T* const ahead = rows_[std::min(i + kAhead, rows_.size() - 1)];
      __builtin_prefetch(ahead);
      __builtin_prefetch(ahead + d_ - 1);
      tops_.push_back(top_exponent<T>(functions.largest(rows_[i], d_)));
    }
    int top = *std::max_element(tops_.begin(), tops_.end());
    if (!sums_.ready() || top > sums_.top()) top = usual_of(tops_);
    sums_.prepare(top, 2 * rows_.size(), totals.sums);
    functions.move_rows(rows_.data(), before_.data(), after_.data(), rows_.size(), d_, sums_.view());
    rows_.clear();
    before_.clear();
    after_.clear();
  }

  // Readies the grid for rows that are all known to be below 2^top.
  void reach(int top, Totals& totals) { sums_.prepare(top, 0, totals.sums); }

  // Adds rows (n, d) that come from nowhere, all of whose magnitudes are below 2^top, to the clusters `labels` (n,).
  void add_rows(const Kernels& kernels, const T* rows, const int32_t* labels, size_t n, Totals& totals, int top) {
    const auto& functions = row_kernels<T>(kernels);
    sums_.prepare(next_exponent(functions, rows, n, d_, top, sums_), n, totals.sums, top);
    functions.add(rows, labels, n, d_, sums_.view());
    for (size_t i = 0; i < n; ++i) count(labels[i], 1);
    moved_ += n;
  }

  size_t waiting() const { return rows_.size() * d_; }  // values that `add` will move
  int top() const { return sums_.top(); }

  // Moves the sums and counts of all threads to `totals`, clusters shared out among the threads; returns how many rows
  // moved.
  static size_t flush(Threads& threads, const std::vector<Changes*>& all, Totals& totals) {
    size_t moved = 0;
    for (Changes* changes : all) {
      if (changes->sums_.ready()) changes->sums_.reserve(totals.sums);
      moved += std::exchange(changes->moved_, 0);
    }
    constexpr size_t kCellsPerTask = 1 << 14;
    const size_t clusters = std::max<size_t>(1, kCellsPerTask / totals.d);
    threads.run((totals.k + clusters - 1) / clusters, [&](int, size_t i) {
      for (size_t c = i * clusters; c < std::min(totals.k, (i + 1) * clusters); ++c) {
        for (Changes* changes : all) changes->flush_cluster(c, totals);
      }
    });
    for (Changes* changes : all) {
      if (!changes->sums_.ready()) continue;
      totals.sums.note_adds(kLevels);
      changes->sums_.forget();
    }
    return moved;
  }

 private:
  void flush_cluster(size_t c, Totals& totals) {
    if (touched_[c] == 0) return;
    touched_[c] = 0;
    totals.counts[c] += std::exchange(counts_[c], 0);
    sums_.flush(c * totals.d, (c + 1) * totals.d, totals.sums);
  }

  void count(int32_t label, int64_t rows) {
    counts_[static_cast<size_t>(label)] += rows;
    touched_[static_cast<size_t>(label)] = 1;
  }

  size_t d_ = 0;
  std::vector<const T*> rows_;  // (m,) that moved
  std::vector<int32_t> before_, after_;
  std::vector<int> tops_;         // their exponents
  std::vector<int64_t> counts_;   // (k,) differences
  std::vector<uint8_t> touched_;  // (k,) whether anything was added or taken off
  GridBuffer sums_;               // (k, d)
  size_t moved_ = 0;
};

}  // namespace macqueen
