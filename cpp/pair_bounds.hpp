// Rows in memory with a bound of the distance from each row to each center, for few clusters: a step computes only
// those distances that can have become the smallest, and adds up what changed.
#pragma once

#include <memory>
#include <vector>

#include "bounded_rows.hpp"
#include "byte_rows.hpp"
#include "changes.hpp"
#include "lines.hpp"

namespace macqueen {

template <class T>
class PairBounds {
 public:
  // Rows (n, d) stay the caller's and must outlive this object.
  PairBounds(const T* rows, size_t n, size_t d);
  ~PairBounds();
  PairBounds(const PairBounds&) = delete;

  size_t n() const { return n_; }
  size_t d() const { return d_; }
  size_t blocks() const { return (n_ + kPairRows - 1) / kPairRows; }
  size_t k() const { return totals_ ? totals_->k : 0; }  // 0 before the first step

  // A step in parts, so that it can be given up between them; the object is then not to be used again. The number of
  // centers is that of the first step.
  void begin_step(const Centers<T>& centers);
  // Labels the blocks [begin, end) of kPairRows rows. Returns kAllFinite, or in the first step the first row that
  // cannot be clustered; then nothing else may be called.
  int64_t step_blocks(Threads& threads, const Centers<T>& centers, size_t begin, size_t end);
  // Adds the exact sums, counts and squares of all rows to `totals` (in/out).
  BoundedStep end_step(Threads& threads, Totals& totals);

  const std::vector<int32_t>& labels() const { return labels_; }  // (n,), and those of no row up to a whole block

 private:
  struct Slot;

  void begin(const Centers<T>& centers);
  void move_centers(const Centers<T>& centers);
  void step(const Centers<T>& centers, size_t block, Slot& slot);
  void compare_plainly(const Centers<T>& centers, size_t block, Slot& slot);
  void bring_down(size_t block);
  int64_t begin_block(const Kernels& kernels, size_t block, Slot& slot);
  void first_step(const Centers<T>& centers, size_t block, Slot& slot);
  void compare(const Centers<T>& centers, size_t block, uint64_t open, bool whole, Slot& slot);
  void compare_columns(const Centers<T>& centers, size_t block, bool whole, Slot& slot);
  void refresh_columns(const Centers<T>& centers, size_t block, Slot& slot);
  void store_columns(const Centers<T>& centers, size_t block, Slot& slot);
  void compare_pairs(const Centers<T>& centers, size_t block, uint64_t open, Slot& slot);
  void tighten(const Centers<T>& centers, size_t block, uint64_t open, Slot& slot);
  int32_t nearest(const Centers<T>& centers, size_t row, size_t place, const std::vector<uint64_t>& needs, Slot& slot);
  void compare_copies(const Centers<T>& centers, size_t block, uint64_t open, Slot& slot);
  uint64_t decide_left(const Centers<T>& centers, size_t first, const ByteBlock& rows, Slot& slot);
  void tighten_left(const Centers<T>& centers, size_t block, const ByteBlock& rows, uint64_t left, Slot& slot);
  void store_bounds(const Centers<T>& centers, size_t block, const ByteBlock& rows, Slot& slot);
  void compute_pairs(const Centers<T>& centers, size_t block, Slot& slot);
  void mark_own(size_t block);
  void move_mark(const Kernels& kernels, size_t block, size_t place, int32_t before, int32_t label, Slot& slot);
  bool narrow() const;
  size_t rows_of(size_t block) const { return n_ - block * kPairRows < kPairRows ? n_ - block * kPairRows : kPairRows; }

  const T* rows_;
  size_t n_, d_;
  PairGrid grid_{};
  double unit_ = 0;

  std::unique_ptr<ByteRows<T>> copy_;  // of the rows, where there is room for one

  // Of the rows, whole blocks.
  std::vector<int32_t> labels_;  // -1 before the first step
  Lines<float> upper_;           // at least the distance to the own center, less its path
  Lines<float> bases_;           // what bounds are counted from
  Lines<uint8_t> bounds_;        // (blocks, k, rows)
  std::vector<uint8_t> hard_;    // (blocks,) too large for bounds

  // Of the centers.
  std::vector<T> before_;                           // (k, d) of the step before
  std::vector<double> paths_;                       // (k,) how far each has come, rounded up
  std::vector<float> paths_up_;                     // (k,) the same in float32
  std::vector<double> low_paths_;                   // (k,) how far since the bounds were last brought down
  std::vector<float> stored_;                       // (k,) the same rounded down, to be stored beside bounds
  std::vector<uint8_t> path_bytes_, brought_down_;  // (k,) the same in units, rounded up; what this step takes off

  bool copy_decides_few_ = false;                  // it left most rows undecided that were last compared by it
  bool large_before_ = false, hard_step_ = false;  // some center was too large for bounds; it is, or has just been

  std::unique_ptr<Totals> totals_;  // of the labels
  exact::Sums squares_;
  std::vector<std::unique_ptr<Slot>> slots_;
  bool under_way_ = false;  // a step has begun and not ended
};

}  // namespace macqueen
