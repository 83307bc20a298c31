// Rows of one dimension, sorted once: the rows of a center are a range of them, from the middle between it and the
// center below to the middle between it and the center above, and their sum is a difference of sums of all rows below
// a place. Sums are kept at every 128th place. A step takes O(k log n), no row is labelled.
#pragma once

#include <vector>

#include "step.hpp"

namespace macqueen {

template <class T>
class SortedRows {
 public:
  // Copies rows (n,), all of which `first_refused_row` lets pass.
  SortedRows(Threads& threads, const T* rows, size_t n);

  size_t n() const { return rows_.size(); }

  // Adds the exact sums, counts and squares of all rows under centers (k, 1) to `totals` (in/out).
  void accumulate(Threads& threads, const Centers<T>& centers, Totals& totals) const;

 private:
  void add_up(Threads& threads);
  void add_below(size_t place, int64_t* digits) const;

  std::vector<T> rows_;         // (n,) ascending
  std::vector<int64_t> below_;  // (n / kBlock + 1, width): digits of the sum of all rows before each block
  int first_ = 0;               // the place of the lowest digit
  size_t width_ = 0;
  exact::Sums squares_;  // (1,)
};

}  // namespace macqueen
