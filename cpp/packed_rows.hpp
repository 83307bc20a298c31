// Rows in memory with a copy in 16-bit integers, for few clusters: a step compares all rows with all centers in that
// copy, reads only rows that it cannot decide, and adds up what changed. Once few rows move, or few centers are near a
// row, rows lie sorted by their centers, and a block meets only centers that can be near (cpp/packed_groups.hpp). Where
// the copy would take too much memory, that of some rows is made anew, block by block, in each step.
#pragma once

#include <memory>
#include <vector>

#include "bounded_rows.hpp"
#include "changes.hpp"
#include "lines.hpp"

namespace macqueen {

template <class T>
class PackedRows {
 public:
  // Rows (n, d) stay the caller's and must outlive this object. A copy is kept of the first `copied`, up to a block.
  PackedRows(const T* rows, size_t n, size_t d, size_t copied);
  ~PackedRows();
  PackedRows(const PackedRows&) = delete;

  size_t n() const { return n_; }
  size_t d() const { return form_.d; }
  size_t blocks() const { return (n_ + kPackedRows - 1) / kPackedRows; }
  size_t k() const { return totals_ ? totals_->k : 0; }  // 0 before the first step

  // A step in parts, as that of PairBounds.
  void begin_step(const Centers<T>& centers);
  int64_t step_blocks(Threads& threads, const Centers<T>& centers, size_t begin, size_t end);
  BoundedStep end_step(Threads& threads, Totals& totals);

  // Only labels all rows, as a first step does; nothing else may be called after it. Returns as a part of a step.
  int64_t label(Threads& threads, const Centers<T>& centers, BoundedStep& done);

  std::vector<int32_t> labels() const;  // (n,)

 private:
  struct Slot;
  struct Needs;
  struct Section;
  struct Groups;
  enum class Way {
    kAll,
    kGroup,
    kFew
  };  // all rows meet all centers; then they are also sorted; blocks meet few centers

  void settle_grid(const Kernels& kernels);
  int64_t first_blocks(const Centers<T>& centers, size_t begin, size_t end, Slot& slot);
  void next_blocks(const Centers<T>& centers, size_t begin, size_t end, Slot& slot);
  void pack(const Kernels& kernels, size_t block, int16_t* packed, float* numbers) const;
  void compare(const Centers<T>& centers, size_t block, Slot& slot, int32_t* values);
  void take(size_t block, uint64_t rows, const PackedFound& found, const int32_t* names, Slot& slot);
  bool can_group() const;
  void choose_way(const Centers<T>& centers);
  bool worth_sorting(const Centers<T>& centers) const;
  Way way_after_few();
  double work_of_sorting() const;
  double work_of_sorted(const Centers<T>& centers) const;
  void move_centers(const Centers<T>& centers);
  void move_gaps(Threads& threads, const Kernels& kernels);
  void group(const Centers<T>& centers, size_t begin, size_t end, Slot& slot);
  void order_rows(size_t first, size_t count, Section& section) const;
  void sort_rows(size_t first, size_t count, Section& section);
  void form_group(const Kernels& kernels, size_t block, Slot& slot);
  void compare_few(const Centers<T>& centers, size_t begin, size_t end, Slot& slot);
  void list_needs(const Kernels& kernels, size_t block, Slot& slot);
  void compare_needs(const Centers<T>& centers, size_t block, Slot& slot);
  void compare_strays(const Centers<T>& centers, size_t block, uint64_t rows, Slot& slot);
  void take_few(const Centers<T>& centers, size_t block, uint64_t rows, const PackedFound& found, const Needs& needs,
                Slot& slot);
  size_t row_of(size_t position) const;
  void settle(const Centers<T>& centers, Slot& slot);
  void relabel(size_t position, int32_t label, Slot& slot);
  size_t rows_of(size_t block) const { return std::min(kPackedRows, n_ - block * kPackedRows); }
  int16_t* packed(size_t block) { return packed_.get() + block * kPackedRows * form_.pairs * 2; }

  const T* rows_;
  size_t n_;
  size_t section_;  // blocks whose rows are sorted together
  PackedForm form_{};
  std::vector<double> origin_;  // (d,)
  std::vector<float> narrow_origin_;

  // In the order in which rows lie.
  size_t copied_;                   // blocks
  RawLines<int16_t> packed_;        // (copied, 4, pairs, kPackedLanes, 2)
  RawLines<float> numbers_;         // (copied, 4, 2, kPackedLanes)
  Lines<int32_t> labels_;           // (n,) up to a whole block, -1 before the first step
  std::unique_ptr<Groups> groups_;  // once rows were sorted
  Way way_ = Way::kAll;
  double moved_, most_moved_;  // rows that moved in the step before; with at most how many they may be sorted

  PackedPanels panels_{};
  Lines<int16_t> panel_values_;
  Lines<int32_t> start_;
  std::vector<float> lengths_;
  std::vector<uint8_t> far_;
  bool any_far_ = false;

  std::unique_ptr<Totals> totals_;  // of the labels
  exact::Sums squares_;
  std::vector<std::unique_ptr<Slot>> slots_;
  bool under_way_ = false;  // a step has begun and not ended
  bool adds_ = true;        // what a step finds out; false where rows are only labelled
};

}  // namespace macqueen
