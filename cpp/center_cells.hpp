// Few dimensions, many rows: the space they take is cut into cells, and each cell has a list of the centers that can be
// nearest to a point of it, so that a row is compared with these alone. Made anew for each pass of `assign` or
// `accumulate` that is worth it.
#pragma once

#include <vector>

#include "center_list.hpp"
#include "lines.hpp"
#include "parallel.hpp"

namespace macqueen {

template <class T>
class Centers;

template <class T>
class CenterCells {
 public:
  // Whether so many rows are worth it.
  static bool worth(size_t n, size_t k, size_t d) { return d <= 6 && k >= 16 && n >= 4096 && n * k >= (1u << 20); }

  // Over the space that a sample of rows (n, d) takes; these need not be finite.
  CenterCells(Threads& threads, const Centers<T>& centers, const T* rows, size_t n);

  // Null where the lists leave too many centers of a row.
  const CellTable<T>* table() const { return useful_ ? &table_ : nullptr; }

 private:
  // A cell whose list is known, while smaller ones are made.
  struct Part {
    size_t node;
    size_t cell[kMostBoxDims];
    std::vector<int32_t> names;
    size_t begin, end;  // of the rows of the sample that are in it
  };

  bool span(const T* rows, size_t n);
  std::vector<uint32_t> sample_codes(const T* rows, size_t n) const;
  void box_of(const size_t* cell, unsigned level, T* low, T* high) const;
  void split(Threads& threads, const Centers<T>& centers, size_t n, const std::vector<uint32_t>& codes);
  std::vector<Part> parts_of(const Centers<T>& centers, const Part& whole, unsigned level,
                             const std::vector<uint32_t>& codes) const;
  void fill_lists(Threads& threads, const Centers<T>& centers);
  void fill_tops();

  size_t d_;
  bool useful_ = false;
  CellTable<T> table_{};
  std::vector<T> low_, scale_;   // (d,)
  std::vector<CellNode> nodes_;  // the first is the whole space
  std::vector<Part> leaves_;     // with their lists
  std::vector<int32_t> tops_;
  Lines<T> columns_;
  std::vector<int32_t> names_;
};

}  // namespace macqueen
