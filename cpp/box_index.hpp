// Rows of few dimensions, sorted along a space-filling curve and cut into boxes: a step looks at the centers that can
// be nearest to a box, not at all of them, then at the rows whose label may have changed, and adds up what has.
#pragma once

#include <memory>
#include <vector>

#include "huge_memory.hpp"
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

  // The centers that the rows of a box were compared with; their bounds hold for these (cpp/boxes.hpp).
  struct Compared {
    static constexpr size_t kMost = 62;
    int32_t middle = -1;  // the center nearest to the middle of the box, -1: not known yet
    int32_t count = 0;    // of names; 0: none yet, or too many to remember
    int32_t names[kMost];
    bool all_of(const int32_t* wanted, size_t count) const;
  };

  // Boxes of a few boxes each, and so on: which centers can be near is asked from the largest to the smallest, each
  // time of those that were left.
  struct Level {
    size_t boxes = 1;             // of a node
    std::vector<T> low, high;     // (nodes, d)
    std::vector<int32_t> middle;  // (nodes,) the center nearest to the middle in the last step, -1: not known yet
  };

  void sort(Threads& threads, const Kernels& kernels, const T* rows, const int32_t* weights);
  void add_levels();
  void add_squares(Threads& threads, const Kernels& kernels, const T* rows);
  void begin_step(const Centers<T>& centers);
  void step_node(const Centers<T>& centers, size_t level, size_t node, Slot& slot);
  void step_box(const Centers<T>& centers, size_t box, Slot& slot);
  void find_fastest(BoxRows<T>& box) const;
  void move_rows(const Kernels& kernels, size_t box, uint64_t changed, Slot& slot);
  int usual_top() const;

  T* upper(size_t box) { return &bounds_[box * 2 * kBoxRows]; }
  T* lower(size_t box) { return upper(box) + kBoxRows; }
  size_t boxes() const { return (n_ + kBoxRows - 1) / kBoxRows; }

  size_t n_, d_;  // rows that repeat are one
  std::unique_ptr<HugeMemory> memory_;
  T* columns_;                      // (boxes, d, kBoxRows): the rows of each box, transposed
  std::vector<Level> levels_;       // the boxes themselves, and larger ones
  int32_t* labels_;                 // (boxes, kBoxRows) in sorted order; -1 before the first step
  std::vector<int32_t> weights_;    // (boxes, kBoxRows) how many rows each stands for; empty: none repeats
  int top_ = 0;                     // of the grid of sums: few rows have a value of 2^top_ or more
  T* bounds_;                       // (boxes, 2, kBoxRows): upper and lower bounds of distances
  std::vector<Compared> compared_;  // (boxes,)
  std::unique_ptr<Totals> totals_;  // of the labels
  exact::Sums squares_;
  std::vector<T> before_, paths_;  // (k, d) centers of the step before; (k,) how far each has moved since
  std::vector<std::unique_ptr<Slot>> slots_;
  bool under_way_ = false;  // a step has begun and not ended
};

}  // namespace macqueen
