// What one thread holds during a step over bounds; for the parts of cpp/bounded_rows.hpp.
#pragma once

#include <limits>
#include <vector>

#include "bounded_rows.hpp"
#include "step_slot.hpp"

namespace macqueen {

constexpr float kFar = 3e38f, kInfinity = std::numeric_limits<float>::infinity();
constexpr double kUp = 1 + 0x1p-30, kDown = 1 - 0x1p-30;  // beside a sum of float64 squares
constexpr float kFloatSlack = 0x1p-20f, kFloatUp = 1 + kFloatSlack, kFloatDown = 1 - kFloatSlack;  // a few of float32

template <class T>
struct BoundedRows<T>::Slot : StepSlot<T> {
  // Of the rows of a block; `upper` is the distance to the own center, below everything where the row is not opened.
  Lines<float> limit, upper, doubts, paths, least, squares, longest;
  Lines<float> found;       // (groups, rows)
  Lines<float> lane_heads;  // interleaved, of a block in the first step
  Lines<int8_t> lane_tails;
  std::vector<float> scratch;  // SketchForm::scratch
  std::vector<Candidate> candidates;
  std::vector<int32_t> counts, list_counts, names;
  Lines<int32_t> own_places;
  std::vector<uint8_t> lists, opened, measured;
  std::vector<T> hard_rows;
  std::vector<int32_t> hard_labels;  // (rows,), of those with too many candidates

  Slot(const SketchForm& form, size_t groups, int32_t most_candidates)
      : lane_heads(kSketchRows * form.heads), lane_tails(kSketchRows * form.padded_tails() + kTailsAhead) {
    for (auto* array : {&limit, &upper, &doubts, &paths, &least, &squares, &longest}) array->resize(kSketchRows);
    found.assign(groups * kSketchRows, kUntouched);
    candidates.resize(kSketchRows * static_cast<size_t>(most_candidates));
    counts.resize(kSketchRows);
    own_places.assign(kSketchRows, -1);
    list_counts.resize(groups);
    lists.resize(groups * kListStride);
  }
};

}  // namespace macqueen
