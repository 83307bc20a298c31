// What the screen of k-means++ works on (cpp/near.hpp): plain data, seen by every instruction set.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace macqueen {

constexpr size_t kNearLanes = 16;          // rows side by side in a panel
constexpr size_t kNearRows = 256;          // rows of a block
constexpr size_t kMostNear = 16;           // candidates that are looked at together
constexpr size_t kMostNearDims = 1 << 15;  // sums of products of 8-bit codes stay within 32 bits

// v = scale * (x - origin), scale a power of two that brings every |v_j| to at most 2.
struct NearForm {
  size_t d;
  double scale;
  const double* origin;  // (d,)
  size_t padded() const { return (d + 3) / 4 * 4; }
  // Bytes of a panel: steps, bases and reaches of its rows (3, lanes) float32, then codes (padded / 4, lanes, 4), +
  // 128.
  size_t panel() const { return kNearLanes * (3 * sizeof(float) + padded()); }
};

// A row on its own grid: v = step * codes + an error.
struct NearCode {
  double step;     // a float32
  double squares;  // |step * codes|^2, relative error below 2^-50
  double error;    // at least the length of what the grid leaves of v, and of the rounding of v itself
};

// The candidates of a step.
struct NearCandidates {
  size_t count;
  const int8_t* codes;        // (count, padded)
  const int32_t* pairs;       // (count, padded / 4, 2): codes 0 and 2, and codes 1 and 3, of four as 16-bit integers
  int32_t offset[kMostNear];  // -128 * sum of the codes
  float factor[kMostNear];    // -2 * step
  float reach[kMostNear];     // -2 * error
  float limit[kMostNear];     // error^2 - squares, a little more
};

// A row that is nearer to a candidate than to the centers so far.
struct NearPair {
  uint32_t row, candidate;
  double distance;  // squared
};

}  // namespace macqueen
