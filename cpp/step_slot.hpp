// What a thread holds during a step that adds up what changed, whichever way that goes: cpp/bounded_rows.cpp,
// cpp/packed_rows.cpp, cpp/pair_bounds.cpp.
#pragma once

#include <memory>
#include <vector>

#include "bounded_rows.hpp"
#include "changes.hpp"
#include "square_sums.hpp"

namespace macqueen {

constexpr size_t kMostWaiting = 1 << 13;  // values noted as changed before they are added

template <class T>
struct StepSlot {
  AssignBuffers assigning;
  std::vector<int32_t> labels;  // of a block that is labelled plainly
  SquareSums<T> square_sums;
  Changes<T> changes;
  BoundedStep done;

  // Adds rows (n, d) that come from nowhere, all of whose magnitudes are below 2^top, with their labels (n,), to the
  // sums of clusters and of squares.
  void add_first(const Kernels& kernels, const T* rows, const int32_t* names, size_t n, Totals& totals,
                 exact::Sums& squares, int top) {
    changes.add_rows(kernels, rows, names, n, totals, top);
    // The grid of squares follows that of rows, as in a pass.
    square_sums.add(kernels, rows, n, totals.d, changes.top(), top, squares);
  }
};

// Moves what all threads have added to `kept` and `squares`, which outlive the step, and adds these to `totals`.
template <class T, class Slot>
BoundedStep end_step(Threads& threads, std::vector<std::unique_ptr<Slot>>& slots, Totals& kept, exact::Sums& squares,
                     Totals& totals) {
  BoundedStep sum;
  std::vector<Changes<T>*> changes;
  for (auto& slot : slots) {
    sum.add(slot->done);
    changes.push_back(&slot->changes);
    slot->square_sums.flush(squares);
  }
  sum.moved = static_cast<double>(Changes<T>::flush(threads, changes, kept));
  totals.merge(kept);
  totals.squares.merge(squares);
  return sum;
}

}  // namespace macqueen
