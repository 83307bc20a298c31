// Rows of few dimensions, sorted along a space-filling curve and cut into boxes: a step looks at the centers that can
// be nearest to a box, not at all of them, and adds up only what has changed since the step before.
#pragma once

#include <memory>
#include <vector>

#include "step.hpp"

namespace macqueen {

template <class T>
class BoxIndex {
 public:
  // Copies rows (n, d), all of which `first_refused_row` lets pass; 1 <= d <= kMostBoxDims.
  BoxIndex(Threads& threads, const Kernels& kernels, const T* rows, size_t n, size_t d);
  ~BoxIndex();
  BoxIndex(const BoxIndex&) = delete;

  size_t d() const { return d_; }
  size_t k() const { return totals_ ? totals_->k : 0; }  // 0 before the first call

  // Labels all rows and adds their exact sums, counts and squares to `totals` (in/out). The number of centers is that
  // of the first call. Returns how many centers were looked at for a row, on average.
  double accumulate(Threads& threads, const Centers<T>& centers, Totals& totals);

 private:
  struct Slot;

  void sort(Threads& threads, const T* rows);
  void add_squares(const Kernels& kernels, const T* rows);
  void step(const Kernels& kernels, const Centers<T>& centers, size_t group, Slot& slot);
  void note_changes(size_t first, size_t count, const int32_t* labels, Slot& slot);
  void add_changes(const Kernels& kernels, Slot& slot);

  size_t n_, d_;                                // n: after folding
  std::vector<int32_t> weights_;                // (n,) how many each row stands for; empty: one each
  std::vector<T> columns_;                      // (boxes, d, kBoxRows): the rows of each box, transposed
  std::vector<double> low_, high_;              // (boxes, d)
  std::vector<double> group_low_, group_high_;  // (groups, d)
  std::vector<int32_t> labels_;                 // (n,) in sorted order; -1 before the first step
  std::unique_ptr<Totals> totals_;              // of the labels
  exact::Sums squares_;
  std::vector<double> center_columns_;  // (d, stride) of the step under way
  size_t stride_ = 0;
  std::vector<std::unique_ptr<Slot>> slots_;
};

}  // namespace macqueen
