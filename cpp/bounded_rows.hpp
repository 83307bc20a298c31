// Rows in memory with a sketch each and bounds that outlive a step: a step looks at the groups of centers that can have
// come nearest to a row since the step before, decides exactly among the few centers left, and adds up what changed.
#pragma once

#include <string.h>

#include <memory>
#include <vector>

#include "changes.hpp"
#include "lines.hpp"

namespace macqueen {

// How rows are sketched; cpp/sketch.hpp.
struct SketchPlan {
  std::vector<double> origin;  // (d,)
  std::vector<double> axes;    // (heads, d): orthonormal, kept in float32, beside the rest in int8; or empty
  size_t heads;                // without axes: d, all in float32, or 0, all in int8
  size_t share = 1;            // groups of centers that share a stored bound, at least 1
};

// What a step did.
struct BoundedStep {
  double candidates = 0;  // centers that were left for exact decisions, of all rows
  double hard = 0;        // rows with so many candidates that they were compared with all centers, or with a part
  double screened = 0;    // rows times groups that were looked at by heads alone
  double opened = 0;      // rows times groups (`pairs`: centers; `packed`: what takes as long) that were looked at
  double read = 0;        // rows whose distances to their own centers were measured
  double moved = 0;       // rows with another label

  void add(const BoundedStep& other) {
    candidates += other.candidates;
    hard += other.hard;
    screened += other.screened;
    opened += other.opened;
    read += other.read;
    moved += other.moved;
  }
};

template <class T>
class BoundedRows {
 public:
  // Rows (n, d) stay the caller's and must outlive this object. Throws where `first_refused_row` would find one.
  BoundedRows(Threads& threads, const Kernels& kernels, const T* rows, size_t n, size_t d, const SketchPlan& plan);
  ~BoundedRows();
  BoundedRows(const BoundedRows&) = delete;

  size_t n() const { return n_; }
  size_t d() const { return form_.d; }
  size_t blocks() const { return (n_ + kSketchRows - 1) / kSketchRows; }
  size_t k() const { return totals_ ? totals_->k : 0; }  // 0 before the first step

  // A step in parts, so that it can be given up between them; the object is then not to be used again. The number of
  // centers is that of the first step.
  void begin_step(Threads& threads, const Centers<T>& centers);
  // Labels the blocks [begin, end) of kSketchRows rows.
  void step_blocks(Threads& threads, const Centers<T>& centers, size_t begin, size_t end);
  // Adds the exact sums, counts and squares of all rows to `totals` (in/out).
  BoundedStep end_step(Threads& threads, Totals& totals);
  // Only labels all rows, as a first step does; nothing else may be called after it. places (k,) are those of the
  // centers in groups.
  BoundedStep label(Threads& threads, const Centers<T>& centers, std::vector<int32_t> places);

  const std::vector<int32_t>& labels() const { return labels_; }  // (n,)

 private:
  struct Slot;
  enum class Way { kAll, kStore, kLists };  // all rows meet all groups; then bounds are stored, too; these open groups

  void look_at_rows(Threads& threads, const Kernels& kernels);
  void set_scale(const std::vector<double>& origin);
  void sketch_rows(const Kernels& kernels, size_t block, Slot& slot);
  void begin(const Centers<T>& centers, std::vector<int32_t> places, bool adds);
  void move_centers(Threads& threads, const Centers<T>& centers);
  void sketch_centers(Threads& threads, const Centers<T>& centers);
  void choose_way(Threads& threads, const Kernels& kernels);
  void step(const Centers<T>& centers, size_t block, Slot& slot);
  void set_room();
  void forget_paths(Threads& threads, const Kernels& kernels);
  void make_bounds();
  uint16_t* bounds(size_t block) const { return &bounds_[block * kSketchRows * spans_]; }
  void open_groups(const Kernels& kernels, size_t block, Slot& slot);
  void store_bounds(const Kernels& kernels, size_t block, Slot& slot);
  void open(const Centers<T>& centers, size_t first, size_t count, Slot& slot);
  void measure(const Centers<T>& centers, size_t first, size_t count, Slot& slot);
  void follow(const Kernels& kernels, size_t first, size_t count, Slot& slot);
  void look(const Centers<T>& centers, size_t first, size_t count, Slot& slot);
  void look_first(const Kernels& kernels, const SketchBlock& work, size_t first, size_t count, Slot& slot);
  void look_at_lists(const Kernels& kernels, const SketchBlock& work, bool screens, Slot& slot);
  void finish(const Centers<T>& centers, size_t row, size_t place, Slot& slot);
  void label_hard_rows(const Centers<T>& centers, size_t first, Slot& slot);
  SketchRows sketches(size_t block) const {
    const size_t first = block * kSketchRows;
    return {&numbers_[block], &heads_[first * form_.heads], &tails_[first * form_.padded_tails()]};
  }
  int32_t nearest(const Centers<T>& centers, size_t row, size_t place, Slot& slot);

  const T* rows_;
  size_t n_;
  SketchForm form_;
  std::vector<float> shift_, basis_, axes_;
  RawLines<SketchNumbers> numbers_;  // (blocks,)
  RawLines<float> heads_;            // (n, heads)
  RawLines<int8_t> tails_;           // (n, padded_tails)
  std::vector<int> tops_;            // (blocks,) all magnitudes are below 2^top

  // Of the rows; the bounds are stored beside the paths at that time, so that a step need not touch them.
  std::vector<int32_t> labels_;  // -1 before the first step
  std::vector<float> upper_;     // at least the distance to the own center, less its path
  std::vector<float> doubts_;    // how much less than `upper_` that distance may be, less its path
  std::vector<float> least_;     // at most the distance to any other center, plus the longest path
  Lines<float> units_;           // of `bounds_`
  // (blocks, spans, rows): at most the distance to the nearest other center of the span, plus the span's path
  RawLines<uint16_t> bounds_;

  // Of the centers: places are those in groups, -1 where nobody is. A span is `share` groups side by side.
  size_t groups_ = 0, spans_ = 0;
  const size_t share_;
  std::vector<int32_t> places_, centers_at_;
  std::vector<T> before_;            // (k, d) of the step before
  std::vector<float> paths_;         // (k,) how far each has come, rounded up
  std::vector<float> paths_before_;  // of the step before
  std::vector<float> span_paths_;
  float longest_path_ = 0;
  double room_ = 0;     // the longest path that `bounds_` have room for
  bool tiled_ = false;  // rows can meet all groups by tiles
  Way way_ = Way::kLists;
  double moved_ = 0, calm_;  // rows that moved in the step before; with at most how many it is worth storing bounds
  Lines<uint8_t> panel_tails_;
  Lines<int8_t> panel_tiles_;
  Lines<float> panel_numbers_;
  SketchPanels panels_{};
  Lines<uint8_t> move_tails_;
  std::vector<float> move_heads_;
  std::vector<MoveNumbers> move_numbers_;
  MovePanels moves_{};

  int32_t most_candidates_ = kFewCandidates;
  bool screens_ = false;  // whether to look at heads first

  std::unique_ptr<Totals> totals_;  // of the labels; null where rows are only labelled
  exact::Sums squares_;
  std::vector<std::unique_ptr<Slot>> slots_;
  bool under_way_ = false;  // a step has begun and not ended
};

}  // namespace macqueen
