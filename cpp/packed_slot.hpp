// What one thread holds during a step over packed rows, and what is kept of rows that are sorted; for
// cpp/packed_rows.cpp and cpp/packed_grouping.cpp.
#pragma once

#include <memory>
#include <vector>

#include "packed_rows.hpp"
#include "step_slot.hpp"

namespace macqueen {

// Rows are sorted by their centers within sections, so that what is sorted stays in the cache.
constexpr size_t kSectionBlocks = 512;
constexpr size_t kFewBlocks = 4;  // that are asked for before they are read
constexpr size_t kSectionRows = kSectionBlocks * kPackedRows;

template <class T>
struct PackedRows<T>::Slot : StepSlot<T> {
  std::vector<size_t> open;  // positions of rows that the integers did not decide
  std::vector<T> open_rows;  // (block, d)
  // Of blocks and the centers they are compared with.
  struct Needs {
    size_t count;
    std::vector<int32_t> names;  // (count,), with room for all and a vector more
  };
  Needs needs[kFewBlocks];
  Lines<int32_t> values;  // (k, rows)
  Lines<float> gaps;      // (k,) and a vector more
  // The copy of a block, where none is kept.
  Lines<int16_t> block_rows;
  float block_numbers[2 * kPackedRows];
  // Rows whose center is not that of their block, side by side as a block of their own.
  size_t strays = 0;
  Lines<int16_t> stray_rows;  // as a block
  float stray_numbers[2 * kPackedRows];
  int32_t stray_labels[kPackedRows];
  size_t stray_positions[kPackedRows];
  // Of a section that is sorted.
  std::vector<int32_t> seconds, section_labels;
  std::vector<uint32_t> ends, from;
  Lines<int16_t> section_rows;
  Lines<float> section_numbers;
  std::vector<uint16_t> section_order;

  Slot(size_t k, size_t d) { this->changes.resize(k, d); }

  // Makes room for rows that are labelled plainly: few steps have so many, and it takes longer than a step on few rows.
  void make_room(const Kernels& kernels, size_t k, size_t d) {
    open_rows.resize(kernels.block * d);
    this->labels.resize(kernels.block);
    this->assigning.resize(kernels, k, d);
  }

  // Readies what only sorted rows need.
  void begin_groups(size_t k, size_t pairs) {
    for (Needs& one : needs) one.names.resize(k + kPackedLanes);
    gaps.resize(k + kPackedLanes);
    values.resize(k * kPackedRows);
    stray_rows.resize(kPackedRows * pairs * 2);
  }
};

// Rows in the order in which they lie, sorted by their centers.
template <class T>
struct PackedRows<T>::Groups {
  size_t padded;                 // k up to a whole vector
  bool ordered = false;          // `order` is filled
  std::vector<uint16_t> order;   // (n,) of each position the row, counted from the beginning of its section
  RawLines<float> gaps;          // (blocks, padded); cpp/packed_groups.hpp
  std::vector<float> radius;     // (blocks,) R
  std::vector<int32_t> owners;   // (blocks,) the center of most rows
  std::vector<uint64_t> strays;  // (blocks,) rows that gaps do not hold for
  std::vector<uint64_t> movers;  // (blocks,) rows whose center is not the block's
  double debt = 0;               // what movers have cost since rows were sorted, in steps over all rows
  bool fresh = false;            // sorted in the step before: all gaps are still to be found

  // Of the centers, in this step.
  std::vector<T> centers;       // (k, d) of the step before
  Lines<double> before, moved;  // (d, padded)
  Lines<double> paths;          // (padded,)
  Lines<float> shifts, ways;    // (k, padded)

  Groups(size_t blocks, size_t k, size_t d)
      : padded((k + kPackedLanes - 1) / kPackedLanes * kPackedLanes),
        order(blocks * kPackedRows),
        gaps(raw_lines<float>(blocks * padded)),
        radius(blocks),
        owners(blocks),
        strays(blocks),
        movers(blocks),
        before(d * padded),
        moved(d * padded),
        paths(padded),
        shifts(k * padded),
        ways(k * padded) {}

  // A row has another center.
  void note(size_t position, int32_t label) {
    const size_t block = position / kPackedRows;
    const uint64_t row = uint64_t{1} << position % kPackedRows;
    movers[block] = label == owners[block] ? movers[block] & ~row : movers[block] | row;
  }
};

}  // namespace macqueen
