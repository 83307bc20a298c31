// Sketches of rows and centers (cpp/sketch.hpp) as kernels take them: plain data, seen by every instruction set.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace macqueen {

// Sketches (cpp/sketch.hpp): few numbers a row that bound its distances to groups of kGroup centers from below.
constexpr size_t kGroup = 16;
constexpr size_t kSketchRows = 256;  // rows of a block
constexpr size_t kSketchPart = 16;   // of them whose coordinates are made together: they stay in the nearest cache
constexpr size_t kSketchLanes = 16;  // rows side by side in SketchRows that are interleaved
constexpr size_t kSketchChunk = 64;  // heads that are added up at a time (cpp/sketch.hpp)
constexpr size_t kListStride = kSketchRows + 16;
constexpr size_t kTailsAhead = 15 * 64;   // bytes that may be read beyond tails: tiles are read whole
constexpr float kUntouched = 3.4e38f;     // in `found`: a group that was not looked at
constexpr float kLeastSlack = 0x1p-126f;  // slack |X|^2 is at most this + row_slack() SketchNumbers::squares
constexpr int32_t kFewCandidates = 32;    // of a row: to decide among so few costs less than to look at all
constexpr int32_t kMostCandidates = 128;  // so many are kept, at most

// What a row or center is turned into: v = scale * (x - origin) as it is, all `heads` (float32) or all `tails` (int8);
// or with a basis W (d, heads) of orthonormal columns the heads W'v and the tails v - W W'v.
struct SketchForm {
  size_t d, columns, heads, tails;
  double scale;
  const float* shift;  // (padded,): scale * origin
  const float* basis;  // (columns / lanes, padded, lanes), columns a multiple of the lanes of a panel; 0: no basis
  const float* axes;   // (heads, padded): the same as rows, negated
  double slack;        // of products, relative to |X||C|: what rounding may have changed, see cpp/sketch.hpp
  size_t padded() const { return (d + 15) / 16 * 16; }  // whole vectors; what is beyond d is 0
  size_t scratch(size_t tile) const { return (kSketchPart + tile) * padded() + kSketchPart * heads + padded(); }
  size_t padded_tails() const { return (tails + 3) / 4 * 4; }
  size_t tiled_tails() const { return (tails + 63) / 64 * 64; }  // whole tiles; what is beyond the tails is 0
  float row_slack() const { return static_cast<float>(slack * (1 + 0x1p-16)); }  // see kLeastSlack
  bool screens() const { return columns > 0 && tails > 0; }                      // heads alone can rule groups out
  bool follows() const { return tails > 0 && heads <= 64; }  // cpp/sketch_moves.hpp; more heads than `slack` is for
};

// Of the rows of a block, beside their heads and tails.
struct SketchNumbers {
  float scale[kSketchRows];     // -2 * step of the int8 grid
  float length[kSketchRows];    // of the tail
  float tail[kSketchRows];      // length of the tail on its grid
  float error[kSketchRows];     // of the grid
  float squares[kSketchRows];   // |X|^2, a little less
  int32_t offset[kSketchRows];  // -kByteBias (cpp/byte_products.hpp) * sum of the tails
};

// The sketches of the rows of a block; when interleaved, heads and groups of four tails are those of kSketchLanes rows,
// (rows / kSketchLanes, ., kSketchLanes).
struct SketchRows {
  SketchNumbers* numbers;
  float* heads;   // (rows, heads)
  int8_t* tails;  // (rows, padded_tails)
};

// Centers of one step in groups; each array is (groups, ..., kGroup), the last one (groups, 3).
struct SketchPanels {
  uint8_t* tails;   // (groups, padded_tails / 4, kGroup, 4): value + kByteBias
  int8_t* tiles;    // (groups, tiled_tails / 64, kGroup, 64): value; null where no rows meet all groups by tiles
  float* heads;     // (groups, heads, kGroup): -2 value
  float* start;     // |C|^2, a little less
  float* step;      // of the int8 grid
  float* tail;      // -2 * length of the tail
  float* error;     // -2 * error of the grid
  float row_slack;  // SketchForm::row_slack
  float* most;      // of a group: 4.001 * tail, 4.001 * error (more than 4 for the rounding of sums), and what may be
                    // missing from start, infinity where a center is too far to be sketched
};

// How a center moved in a step, beside its heads and tails; cpp/sketch_moves.hpp.
struct MoveNumbers {
  float change;  // |C'|^2 - |C|^2, a little more; infinity where it went too far to be followed
  float step;    // of the int8 grid
  float tail;    // 2 * length of the tail
  float error;   // 2 * error of the grid
  float slack;   // 2 * sqrt(slack) * |D|
};

struct MovePanels {
  uint8_t* tails;        // (k, move_tails): value + kByteBias
  float* heads;          // (k, heads): -2 value
  MoveNumbers* numbers;  // (k,)
};

struct Candidate {
  int32_t place;  // of a center among the groups
  float bound;
};

// A block of rows under way; all arrays are for kSketchRows rows.
struct SketchBlock {
  SketchRows sketches;
  SketchRows lanes;       // room for the same, interleaved
  const int32_t* own;     // (rows,) places of the own centers, which are left out; -1: none yet
  float* limit;           // (rows,) in/out: |x - c|^2 - |x|^2 of the nearest center is at most this
  float* found;           // (groups, rows) out: the least such value of a group's centers that are no candidates
  int32_t most;           // candidates of a row; to decide among more would cost more than to look at all centers
  Candidate* candidates;  // (rows, most) in/out
  int32_t* counts;        // (rows,) in/out; more than `most`: there were too many
  const char* rows;       // themselves, row_bytes apart: those with candidates will be read
  size_t row_bytes;
};

// How many rows times groups were looked at: by heads alone, and in full.
struct SketchLooks {
  size_t screened, opened;
};

}  // namespace macqueen
