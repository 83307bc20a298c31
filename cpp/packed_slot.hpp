// What one thread holds during a step over packed rows, and what is kept of rows that are sorted; for
// cpp/packed_rows.cpp, cpp/packed_grouping.cpp and cpp/packed_few.cpp.
#pragma once

#include <limits>
#include <memory>
#include <vector>

#include "packed_rows.hpp"
#include "step_slot.hpp"

namespace macqueen {

constexpr size_t kFewBlocks = 4;  // that are asked for before they are read

// What it takes to compare a block with `count` of k centers, in centers that it takes as long to compare it with where
// it meets all: beside more for each, something for the block and for each center that may be near.
inline double work_of_few(double count, size_t k, size_t pairs) {
  constexpr double kEach = 4, kFewEach = 9, kBlock = 150, kCenter = 0.4;  // beside pairs of columns
  const auto columns = static_cast<double>(pairs);
  return (count * (columns + kFewEach) + kBlock + kCenter * static_cast<double>(k)) / (columns + kEach);
}

// It stays below 0 whatever is added in a step: rows are sorted only where grids of rows and centers are much alike.
constexpr float kUnknownGap = -0x1p126f;

// The centers that rows of a block are compared with.
template <class T>
struct PackedRows<T>::Needs {
  size_t count;
  std::vector<int32_t> names;  // (count,), with room for all
};

// What sorting the rows of a section takes; given back after that step.
template <class T>
struct PackedRows<T>::Section {
  std::vector<int32_t> values, labels;  // of its rows: the integers of their centers, and these
  std::vector<float> squares;           // of the distances from these, or almost
  std::vector<double> rings;            // (k,) of these squares, a unit
  std::vector<uint32_t> ends, from;
  Lines<int16_t> rows;
  Lines<float> numbers;
  std::vector<uint16_t> order;
};

template <class T>
struct PackedRows<T>::Slot : StepSlot<T> {
  std::vector<size_t> open;         // positions of rows that the integers did not decide
  std::vector<int32_t> candidates;  // for the next of these
  std::vector<T> open_rows;         // (block, d)
  Needs needs[kFewBlocks];
  Lines<float> gaps;  // (k and a vector more, width)
  // The copy of a block of which none is kept.
  Lines<int16_t> block_rows;
  float block_numbers[2 * kPackedRows];
  Section section;

  Slot(size_t k, size_t d) { this->changes.resize(k, d); }

  // Makes room for rows that are labelled plainly: few steps have so many, and it takes longer than a step on few rows.
  void make_room(const Kernels& kernels, size_t k, size_t d) {
    open_rows.resize(kernels.block * d);
    this->labels.resize(kernels.block);
    this->assigning.resize(kernels, k, d);
  }

  // Readies what only sorted rows need.
  void begin_groups(size_t k) {
    for (Needs& one : needs) one.names.resize(k);
    gaps.resize((k + kPackedLanes) * kPackedLanes);
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
  std::vector<uint64_t> strays;  // (blocks,) rows that gaps do not hold for: they had another center,
  std::vector<uint64_t> unfit;   // (blocks,) or do not fit the grid
  std::vector<uint64_t> movers;  // (blocks,) rows that have left the block's center since
  bool fresh;                    // sorted in the step before: all gaps are still to be found
  double least, debt;  // what a step has taken at least since, in steps over all rows, and others beyond it, together

  // Of the centers; `moves` has the meaning.
  Lines<double> before, now;            // (d, padded) in the last step and in this
  Lines<double> paths;                  // (padded,)
  RawLines<float> shifts, ways, apart;  // (k, padded)
  bool moves_known = false;             // they are filled for this step

  Groups(size_t blocks, size_t k, size_t d)
      : padded((k + kPackedLanes - 1) / kPackedLanes * kPackedLanes),
        order(blocks * kPackedRows),
        gaps(raw_lines<float>(blocks * padded)),
        radius(blocks),
        owners(blocks),
        strays(blocks),
        unfit(blocks),
        movers(blocks),
        before(d * padded),
        now(d * padded),
        paths(padded),
        shifts(raw_lines<float>(k * padded)),
        ways(raw_lines<float>(k * padded)),
        apart(raw_lines<float>(k * padded)) {}

  PackedMoves moves(size_t k, const PackedForm& form) {
    return {k,
            padded,
            form.d,
            static_cast<double>(form.step),
            before.data(),
            now.data(),
            paths.data(),
            shifts.get(),
            ways.get(),
            apart.get()};
  }

  // Rows are about to be sorted.
  void begin() {
    fresh = true;
    least = std::numeric_limits<double>::infinity();
    debt = 0;
  }

  // A row has another center.
  void note(size_t position, int32_t label) {
    const size_t block = position / kPackedRows;
    const uint64_t row = uint64_t{1} << position % kPackedRows;
    movers[block] = label == owners[block] ? movers[block] & ~row : movers[block] | row;
  }
};

}  // namespace macqueen
