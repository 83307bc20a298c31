// Rows and centers as 8-bit integers (cpp/bytes.hpp) as kernels take them: plain data, seen by every instruction set.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace macqueen {

constexpr size_t kMostByteCenters = 32;    // two vectors of the widest set: what is looked up by name
constexpr size_t kMostByteDims = 1 << 15;  // products of rows of bytes stay within 32 bits
constexpr size_t kBytePart = 64;           // centers are padded to whole parts of so many bytes
constexpr float kByteRounding = 0x1p-20f;  // of a square, relative to the lengths it comes from

// The grid of the rows: t = inverse * x + less, one for each column, is rounded to q in [-128, 127]; stored is q + 128.
struct ByteGrid {
  size_t d;
  float inverse;             // of the step
  float step;                // about its inverse
  float blur;                // of a row: what the rounding of t amounts to, in length
  float relative;            // what a sum of d squares in float32 may be off, relative to it
  const double* less;        // (d, up to a whole vector,): minus the origin, in steps
  const float* narrow_less;  // the same as float32, for rows of it
  const float* middle;       // the same shape: m, what centers are counted from, in steps above the origin
  size_t padded() const { return (d + kBytePart - 1) / kBytePart * kBytePart; }
};

// The centers of a step, in units of the step of the rows. W = rho * h stands for t - m of a center.
struct ByteCenters {
  size_t k;
  const int8_t* values;    // (k, padded): h
  const int32_t* offsets;  // (k,): 128 times the sum of h
  const float* start;      // (kMostByteCenters,): |W|^2 + 2 m.W
  const float* factor;     // -2 rho
  const float* errors;     // at least the length of t - m - W
  const float* between;    // (k, kMostByteCenters): at least the distance between two centers
  float largest;           // |m|^2 and the largest |W|^2, more than 0
};

// Rows of a block that are compared, side by side; all arrays have room for kPairRows.
struct ByteBlock {
  size_t count;
  const uint8_t* bytes;   // (kPairRows, d) of the block
  const uint8_t* places;  // (count,) of these rows in their block
  float *norms, *errors;  // (count,): |q - m|^2, and at least the length of t - q
  int32_t* products;      // (k, rows) scratch
  float* squares;         // (k, rows) out: |q - m - W|^2, or almost
  int32_t* nearest;       // (rows,) out: the center with the lowest square
  uint64_t* needs;        // (k,) out: rows of which each center can be the nearest, the one in `nearest` included
};

// What the bounds of these rows are made of: of the own centers (count,), and what is found.
struct ByteBounds {
  const float *squares, *errors, *paths;  // of the own centers
  const float* stored;                    // (k,) paths of all centers
  float away;                             // how far below the own center the base of a row lies
  float *uppers, *bases;                  // (rows,) out
  uint8_t* bounds;                        // (k, rows) out
};

}  // namespace macqueen
