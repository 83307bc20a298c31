// k-means++ over rows in memory: each step looks at all rows and all candidates at once, and computes only the
// distances that may change something. Weights, their sums and what is chosen are those of `lower_to`, `total_weight`
// and `pick_by_weight`.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <cstdlib>
#include <limits>
#include <memory>
#include <vector>

#include "exact.hpp"
#include "kernels.hpp"
#include "parallel.hpp"

namespace macqueen {

template <class T>
class NearRows {
 public:
  // Rows (n, d), d <= kMostNearDims, and nearest (n,), squared distances to the centers so far, all finite, stay the
  // caller's and must outlive this object; `nearest` is written to. `origin` (d,) is a point among the rows. A row may
  // stand for several: counts (n,), or null.
  NearRows(Threads& threads, const Kernels& kernels, const T* rows, size_t n, size_t d, const double* origin,
           const double* counts, double* nearest);
  ~NearRows();
  NearRows(const NearRows&) = delete;

  size_t n() const { return n_; }
  size_t blocks() const { return (n_ + kNearRows - 1) / kNearRows; }
  size_t count() const { return candidates_.size() / form_.d; }  // of candidates

  // First of all: makes the blocks [begin, end) of kNearRows rows ready.
  void prepare(Threads& threads, size_t begin, size_t end);

  // Sum of all weights, on the grid of the largest.
  exact::uint128 total(Threads& threads);
  // The first row whose cumulated weight passes `target` < total.
  size_t pick(exact::uint128 target) const;

  // A step in parts, after `total`. Candidates (count,) are rows.
  void begin_step(const int64_t* candidates, size_t count);
  void look(Threads& threads, size_t begin, size_t end);
  // The candidate that takes most off the total, the first among equals.
  size_t best() const;
  size_t computed() const;  // distances that all `look`s together did not leave out
  // Makes a candidate a center for the blocks [begin, end).
  void lower(Threads& threads, size_t candidate, size_t begin, size_t end);

 private:
  struct Slot;

  void set_scale(Threads& threads);
  void prepare_block(size_t block, Slot& slot);
  void set_reach(size_t row);
  void look_at_block(size_t block, Slot& slot);
  void lower_block(size_t block, size_t candidate);
  void weigh_block(size_t block);
  double weight(size_t row, double squared) const { return counts_ == nullptr ? squared : counts_[row] * squared; }
  double largest_weight(size_t block) const;
  uint64_t saved_weight(size_t row, double squared) const;
  size_t count_of(size_t block) const { return block + 1 < blocks() ? kNearRows : n_ - block * kNearRows; }
  uint8_t* panel_of(size_t row) { return &panels_[row / kNearLanes * form_.panel()]; }
  template <class Use>
  void for_blocks(Threads& threads, size_t begin, size_t end, const Use& use);

  const Kernels& kernels_;
  const T* rows_;
  size_t n_;
  const double* counts_;
  double* nearest_;
  std::vector<double> origin_;
  NearForm form_;

  std::unique_ptr<uint8_t[], decltype(&std::free)> panels_{nullptr, &std::free};  // at whole cache lines
  std::vector<float> squares_, errors_;  // (n,) of the rows on their grids; NearCode, rounded down and up

  int top_ = std::numeric_limits<int>::min();  // the grid of weights, none before the first `total`
  std::vector<exact::uint128> weights_;        // (blocks,) sums
  std::vector<double> largest_;                // (blocks,)

  std::vector<T> candidates_;  // (count, d)
  std::vector<int8_t> codes_;
  std::vector<int32_t> pairs_;
  std::vector<NearCandidates> groups_;  // of kMostNear candidates at most
  std::vector<uint16_t> near_;          // (groups, n): a bit for each candidate that is nearer

  std::vector<std::unique_ptr<Slot>> slots_;
};

}  // namespace macqueen
