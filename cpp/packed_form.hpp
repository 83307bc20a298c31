// Rows and centers as 16-bit integers (cpp/packed.hpp): plain data, seen by every instruction set.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace macqueen {

constexpr size_t kPackedLanes = 16;  // rows side by side
constexpr size_t kPackedRows = 64;   // of a block
constexpr size_t kPackedTile = 8;    // centers side by side
struct PackedForm {
  size_t d, pairs;       // ceil(d / 2)
  float step;            // of the grid of the rows
  const double* origin;  // (d,), and the same as float32, for rows of it
  const float* narrow_origin;
};
struct PackedPanels {
  size_t k, tiles;                // ceil(k / kPackedTile)
  int16_t* packed;                // (tiles, pairs, kPackedTile, 2): less the center
  int32_t* start;                 // (tiles, kPackedTile): |C|^2 in twice the steps, the most where there is no center
  uint8_t* far;                   // (k,) out, 1: too far for the grid
  int32_t names;                  // the bits of a value that hold the name of its center: 2^m - 1 >= k - 1
  float length, error, rounding;  // of the width of what is left open: per unit of e, per unit of |a|, and beside
  float ratio;                    // of the step of the grid of centers to that of rows
};
// How centers moved, k of them, seen from each other; cpp/packed_groups.hpp.
struct PackedMoves {
  size_t k, padded, d;         // padded: k up to a whole vector
  double step;                 // of the grid of the rows
  const double *before, *now;  // (d, padded)
  const double* paths;         // (padded,) how far each went
  float *shifts, *ways;        // (k, padded) what gaps change by, in steps of the grid, out
  float* apart;                // (k, padded) how far they are from each other at least, in these, out
};
// What a comparison of a block with some centers found; cpp/packed.hpp.
struct PackedFound {
  int32_t labels[kPackedRows], values[kPackedRows];  // of the nearest; values but for the bits of names
  uint64_t open, changed;  // a bit for each row that is left open, and for each with another label than before
};

}  // namespace macqueen
