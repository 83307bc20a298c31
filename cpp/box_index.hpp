// Rows of few dimensions, sorted along a space-filling curve and cut into boxes: a step looks at the centers that can
// be nearest to a box, not at all of them, then at the rows whose label may have changed, and adds up what has.
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

  size_t n() const { return n_; }
  size_t d() const { return d_; }
  size_t k() const { return totals_ ? totals_->k : 0; }  // 0 before the first call

  // Labels all rows and adds their exact sums, counts and squares to `totals` (in/out). The number of centers is that
  // of the first call. Returns how many centers were looked at for a row, on average.
  double accumulate(Threads& threads, const Centers<T>& centers, Totals& totals);

 private:
  struct Slot;

  // The centers that the rows of a box were compared with; their bounds hold for these (cpp/boxes.hpp).
  struct Compared {
    static constexpr size_t kMost = 16;
    int32_t count = 0;  // 0: none yet, or too many to remember
    int32_t names[kMost];
    bool all_of(const int32_t* wanted, size_t count) const;
  };

  void sort(Threads& threads, const T* rows);
  void add_squares(Threads& threads, const Kernels& kernels, const T* rows);
  void begin_step(const Centers<T>& centers);
  void step(const Centers<T>& centers, size_t group, Slot& slot);
  void step_box(const Centers<T>& centers, size_t box, size_t candidates, Slot& slot);
  bool update_box(const Centers<T>& centers, size_t box, Slot& slot);
  void note_changes(size_t first, size_t count, const int32_t* labels, Slot& slot);
  void note_change(size_t row, int32_t label, Slot& slot);
  void add_changes(const Kernels& kernels, Slot& slot);

  size_t boxes() const { return (n_ + kBoxRows - 1) / kBoxRows; }

  size_t n_, d_;
  std::unique_ptr<T[]> columns_;             // (boxes, d, kBoxRows): the rows of each box, transposed
  std::vector<T> low_, high_;                // (boxes, d)
  std::vector<T> group_low_, group_high_;    // (groups, d)
  std::unique_ptr<int32_t[]> labels_;        // (boxes, kBoxRows) in sorted order; -1 before the first step
  std::unique_ptr<T[]> upper_, lower_;       // (boxes, kBoxRows): bounds of distances
  std::vector<Compared> compared_;           // (boxes,)
  std::unique_ptr<Totals> totals_;           // of the labels
  exact::Sums squares_;
  std::vector<T> before_, paths_;            // (k, d) centers of the step before; (k,) how far each has moved since
  std::vector<T> center_columns_;            // (d, stride) of the step under way
  size_t stride_ = 0;
  std::vector<std::unique_ptr<Slot>> slots_;
};

}  // namespace macqueen
