// The kernels as an instruction set offers them: one table of functions for each set, filled by
// cpp/isa/*.cpp from one body. Everything here is plain data, so that an instruction-set source needs
// nothing inline from the standard library (the linker could keep its AVX copy for everyone).
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "byte_form.hpp"
#include "near_form.hpp"
#include "packed_form.hpp"
#include "sketch_form.hpp"

namespace macqueen {

// Processor features an entry needs; `dispatch.cpp` asks the processor for them.
enum Feature : unsigned {
  kAvx2Fma = 1u << 0,
  kAvx512 = 1u << 1,  // F, BW, DQ and VL
  kAvx512Vnni = 1u << 2,
  kAmxInt8 = 1u << 3,  // and leave of the system to use it
  kNeon = 1u << 4,
};

constexpr size_t kScreenChunk = 80;  // dimensions that the float32 screen adds up at a time (cpp/screen.hpp)

// The centers as the float32 screen sees them: origin subtracted, scaled by a power of two so that the
// largest coordinate is about 1, and packed `lanes` centers side by side. cpp/screen.hpp has the bounds.
struct Screen {
  size_t k, d;
  size_t panels;         // ceil(k / lanes)
  double scale;          // the power of two
  double slack;          // b of the bound: half-width of the product term, relative to |x||c|
  double row_slack;      // relative to |x|^2
  double row_absolute;   // absolute part per unit of |x| + largest |c|: underflow
  double absolute;       // absolute part: underflow
  double largest_norm;   // upper bound of every packed |c|
  double* origin;        // (d,)
  float* narrow_origin;  // (d,): the same as float32, for rows of it
  float* packed;         // (panels, d + 1, lanes): -2 c, then -b |c|
  float* start;          // (panels, lanes): (1 - a)|c|^2, +huge in lanes without a center
  double* width;         // (k,) constant part of the distance between lower and upper bound
  double* width_norm;    // (k,) its part per unit of |x|
};

// Buffers of one thread for `assign`, sized by `Kernels::block` and `Kernels::tile` (see step.cpp).
struct AssignScratch {
  float* packed;              // (block + tile, d + 1)
  float* best;                // (block, 3, width): lowest bound, second lowest, index of the lowest (int32 bits)
  double* threshold;          // (block,)
  int32_t* undecided;         // (block,)
  int32_t* candidates;        // (tile, k)
  int32_t* candidate_counts;  // (tile,)
};

// The centers as the 16-bit screen sees them: on one grid, packed in pairs of columns; cpp/short_screen.hpp.
struct ShortScreen {
  size_t pairs;        // ceil(d / 2)
  double step;         // of the grid
  double beta;         // half the diagonal of a cell of a row, relative to N
  int16_t* packed;     // (panels, pairs, lanes, 2)
  float* start;        // (panels, lanes): |c|^2 rounded down, +huge in lanes without a center
  float* error;        // (panels, lanes): -B
  double* width;       // (k,) constant part of the distance between lower and upper bound
  double* width_norm;  // (k,) its part per unit of N
};

// Buffers of one thread for the 16-bit screen.
struct ShortScratch {
  float* row;       // (d + width,)
  int16_t* packed;  // (block + tile, pairs, 2)
  float* numbers;   // (block + tile, 2): of each row the factor of a.b, and N
  float* best;      // as AssignScratch
};

// Centers that can be among the nearest to each row of a block; cpp/nearest.hpp.
constexpr size_t kNearCenters = 512;  // whose bounds are stored at a time
struct NearScratch {
  float* tiles;      // (block + tile, kNearCenters + lanes)
  size_t capacity;   // most entries of a row; a vector less than the stride
  size_t stride;     // of `bounds` and `names`
  float* bounds;     // (block, stride)
  int32_t* names;    // (block, stride) out: centers, in no order
  int32_t* counts;   // (block,) out: of names, at least m; -1 where all centers are to be looked at
  float* threshold;  // (block,)
  float* sorting;    // (stride + width,)
};

// Exact sums of one thread: integers on kLevels grids, each 2^kGridBits times finer than the one before, the first one
// at least so much finer than 2^top (cpp/accumulate.hpp). Four reach 160 bits below the largest value.
constexpr int kLevels = 4, kGridBits = 40;
struct SumBuffer {
  int64_t* levels[kLevels];  // (cells,) each
  double shifts[kLevels];    // 1.5 * 2^52 * grid
  double limit;              // 2^top: magnitudes below it fit the first grid
  int used;                  // levels that anything was added to
  void* exact;               // exact::Sums*: takes what the grids cannot hold
  bool fits;                 // whether all rows that `add` or `add_squares` is given are known to be below the limit
};

// Bounds of single pairs of a row and a center (cpp/pairs.hpp).
constexpr size_t kNarrowDims = 32;        // up to which vectors over the rows of a block are better for all of them
constexpr size_t kPairRows = 64;          // rows of a block
constexpr int kMostPairBound = 254;       // beyond it lies the mark of the own center
constexpr uint8_t kOwnPair = 255;         // that mark
constexpr float kPairOutward = 0x1p-19f;  // beside a few roundings of float32
constexpr float kLargestBase = 1e18f;
struct PairGrid {
  float inverse_down, inverse_up;  // of the unit of the bounds
  float relative, absolute;        // errors of a squared distance
};

constexpr size_t kMostBoxDims = 8;  // rows of more dimensions do not go into boxes (cpp/boxes.hpp)
constexpr size_t kBoxRows = 64;     // of a box: whole vectors
constexpr size_t kFewEntries = 32;  // that are sorted by comparing all with all (cpp/curve.hpp)

// Some of the centers, side by side.
template <class T>
struct CenterColumns {
  static constexpr size_t kMostLanes = 16;  // of a vector

  const T* columns;  // (d, stride): the last center repeated to whole vectors
  size_t stride;
  const int32_t* names;  // (count,), ascending
  size_t count;
};

// The same to be written, each array with room for a whole vector more than the centers.
template <class T>
struct KeptCenters {
  int32_t* names;
  T* columns;  // null: not wanted
  size_t stride;
};

// A box of rows and the centers they may be nearest to. All arrays are for kBoxRows rows.
template <class T>
struct BoxRows {
  const T* columns;      // (d, rows)
  const int32_t* names;  // (count,), ascending, of centers
  size_t count;
  int32_t fastest;  // of these the one that has moved most, the others at most by `next`
  T next;
  const int32_t* before;  // labels
  int32_t* labels;        // out, of rows that are looked at: the nearest of the centers, ties to the lowest index
  T *upper, *lower;       // in/out: bounds of the distances to the own center and to all others of them
};

// A space cut into cells, and these into smaller ones, with the centers that can be nearest to a point of a cell
// (cpp/center_cells.hpp). The code of a cell has the bits of its coordinates, interleaved.
constexpr size_t kCellCenters = 16;  // of a list, side by side
struct CellNode {
  int32_t inner;         // the first of its 2^d parts, -1: it is not cut
  int32_t first, count;  // of its list: in kCellCenters, and how many there are
};
template <class T>
struct CellTable {
  size_t d;
  unsigned bits, top_bits;  // of a coordinate; of one in the codes that `tops` is for
  const T *low, *scale;     // (d,) the coordinate of x is (x - low) * scale
  const int32_t* tops;      // (2^(d top_bits),): nodes
  const CellNode* nodes;
  const T* columns;      // (lists, d, kCellCenters), far away where there is no center
  const int32_t* names;  // (lists, kCellCenters), ascending
};

// One function per job and row type T. Roles: in unless said otherwise.
template <class T>
struct RowKernels {
  // centers (k, d) -> screen (out)
  void (*pack)(const T* centers, Screen& screen);
  // rows (n, d), n <= block; labels (n,) out: index of the nearest center, ties to the lowest index
  void (*assign)(const T* rows, size_t n, const T* centers, const Screen& screen, const AssignScratch& scratch,
                 int32_t* labels);
  // centers (k, d) on the grid of the 16-bit screen -> out; scratch (2 d + 2,); whether such a grid fits them
  bool (*pack_short)(const T* centers, const Screen& screen, float* scratch, ShortScreen& out);
  // rows (n, d), n <= block; labels (n,) out: as `assign`, or -1 where this screen cannot tell; returns how many such
  size_t (*assign_short)(const T* rows, size_t n, const Screen& screen, const ShortScreen& short_screen,
                         const ShortScratch& scratch, int32_t* labels);
  // rows (n, d), n <= block, m <= k: the centers that can be among the m nearest -> near (out); `short_screen` may be 0
  void (*near_candidates)(const T* rows, size_t n, const Screen& screen, const ShortScreen* short_screen,
                          const AssignScratch& scratch, const ShortScratch& shorts, size_t m, const NearScratch& near);
  // squared distances (float64) of a row (d,) to centers (k, d): those of list (count,), or the first `count`; out
  void (*listed_distances)(const T* row, const T* centers, size_t d, const int32_t* list, size_t count, double* out);
  // rows (n, d) added to cells (k, d) of `sums` (in/out) at their label; negative labels are left out
  void (*add)(const T* rows, const int32_t* labels, size_t n, size_t d, SumBuffer& sums);
  // rows (count,) of d values, taken off the cells (k, d) of `sums` (in/out) at `before` and added at `after`
  void (*move_rows)(const T* const* rows, const int32_t* before, const int32_t* after, size_t count, size_t d,
                    SumBuffer& sums);
  // squares of rows (n, d) added to cells (d,) of `sums` (in/out); rows with a negative label are left out
  void (*add_squares)(const T* rows, const int32_t* labels, size_t n, size_t d, SumBuffer& sums);
  // bits of the largest |value| among `count` values, as an unsigned integer (NaN and infinity sort above all)
  uint64_t (*largest)(const T* values, size_t count);
  // places (n,) out: of rows (n, d) on a curve through cells (x - low) * scale below 2^bits, bits * d <= 32
  void (*curve_places)(const T* rows, size_t n, size_t d, const T* low, const T* scale, unsigned bits,
                       uint32_t* places);
  // the rows named in order (n,) -> columns (d, kBoxRows), the last one repeated, and their box: low, high (d,)
  void (*fill_box)(const T* rows, const uint32_t* order, size_t n, size_t d, T* columns, T* low, T* high);
  // low, high (d,): a box; columns (d, stride): centers, their last one repeated to whole vectors. Returns the index of
  // the one nearest to the middle of the box, or almost.
  size_t (*middle_center)(const T* low, const T* high, const T* columns, size_t stride, size_t k, size_t d);
  // as above; near (d,): any center, best one near the middle. Keeps those that can be nearest to a row of the box, at
  // least one, and returns how many; nearest out, where not null: the name of the one nearest to the middle, or almost.
  size_t (*box_candidates)(const T* low, const T* high, const T* near, const CenterColumns<T>& from, size_t d,
                           const KeptCenters<T>& kept, int32_t* nearest);
  // Labels the rows of a box among centers (., d), which have moved by paths (.,) since its bounds were made; null: all
  // rows are looked at. Returns a bit for each row whose label is another than before; looked_at in/out: comparisons.
  uint64_t (*box_labels)(const BoxRows<T>& box, size_t d, const T* centers, const T* paths, size_t* looked_at);
  // Moves rows (bits) of a box, columns (d, kBoxRows), times their weights (null: 1), from the clusters `before` (where
  // not negative) to `after`: cells (k, d) of `sums` and counts (k,), in/out.
  void (*move_box)(const T* columns, size_t d, uint64_t rows, const int32_t* weights, const int32_t* before,
                   const int32_t* after, int64_t* counts, SumBuffer& sums);
  // labels (n,) out of rows (n, d): the nearest of centers (k, d), ties to the lowest index, or -1 outside of the
  // cells; returns how many such; looked_at in/out: comparisons
  size_t (*cell_labels)(const T* rows, size_t n, const CellTable<T>& table, const T* centers, int32_t* labels,
                        size_t* looked_at);
  // rows (n, d), n <= kSketchRows -> sketches (out); scratch (form.scratch(tile),)
  void (*sketch)(const T* rows, size_t n, const SketchForm& form, float* scratch, const SketchRows& out);
  // the centers (., d) named for the places of a group (kGroup,), -1: nobody -> panels (out); scratch as above
  void (*sketch_centers)(const T* centers, const int32_t* names, size_t group, const SketchForm& form, float* scratch,
                         const SketchPanels& panels);
  // list (count,) of rows (., d); out, at their places: at least the distance of each to its own center, times scale
  void (*own_bounds)(const T* rows, const uint8_t* list, size_t count, const int32_t* labels, const T* centers,
                     size_t d, double scale, float* out);
  // how centers moved between (k, d) and (k, d): `count` <= kSketchPart of them from `first` on -> moves (out); scratch
  // as above
  void (*sketch_moves)(const T* before, const T* now, size_t first, size_t count, const SketchForm& form,
                       float* scratch, const MovePanels& moves);
  // candidates (count,) ascending; the nearest of them to the row (d,), ties to the lowest index
  int32_t (*decide)(const T* row, const T* centers, size_t d, const int32_t* candidates, size_t count);
  // -1, 0 or 1: is |row - one|^2 below, equal to or above |row - other|^2, as real numbers; `most`: the larger one as
  // `own_distances` gives it
  int (*compare_distances)(const T* row, const T* one, const T* other, size_t d, double most);
  // squared distances (float32, cpp/pairs.hpp) of the rows places[i] to the centers names[i], i < count; out has room
  // for a vector more
  void (*pair_squares)(const T* rows, const uint8_t* places, const int32_t* names, size_t count, const T* centers,
                       size_t d, float* out);
  // the same of all pairs of rows (n, d), n <= kPairRows, and the centers names[i], i < count; out (k, kPairRows)
  void (*all_squares)(const T* rows, size_t n, const T* centers, const int32_t* names, size_t count, size_t d,
                      float* out);
  // rows (n, d) -> bytes (n, d), norms and errors (n,) out, as in ByteBlock; cpp/bytes.hpp
  void (*byte_rows)(const T* rows, size_t n, const ByteGrid& grid, uint8_t* bytes, float* norms, float* errors);
  // rows (n, d), n <= kPackedLanes -> packed (pairs, kPackedLanes, 2) out, numbers (2, kPackedLanes) out
  void (*pack_lanes)(const T* rows, size_t n, const PackedForm& form, int16_t* packed, float* numbers);
  // centers (k, d) -> panels (out); lengths (k,): scratch
  void (*pack_panels)(const T* centers, const PackedForm& form, float* lengths, PackedPanels& out);
  // squared distances (float64) of rows (n, d) to their own center; out (n,)
  void (*own_distances)(const T* rows, const int32_t* labels, const T* centers, size_t n, size_t d, double* out);
  // centers (k, d) -> out (k up to whole vectors, d), as `distances` takes them
  void (*widen_centers)(const T* centers, size_t k, size_t d, double* out);
  // all squared distances of rows (n, d) to centers (k, d), times `factor`; wide (d,) is scratch; out (n, k)
  void (*distances)(const T* rows, const double* centers, size_t n, size_t k, size_t d, double factor, double* wide,
                    T* out);
  // squared distances (float64) of rows (n, d) to one center (d,); out (n,)
  void (*distances_to)(const T* rows, const T* center, size_t n, size_t d, double* out);
  // cpp/near.hpp
  void (*near_code)(const T* row, const NearForm& form, double* v, int8_t* codes, NearCode* code);
  size_t (*near_pairs)(const T* rows, size_t n, const double* nearest, const NearForm& form, const uint8_t* panels,
                       const NearCandidates& near, const T* candidates, NearPair* pairs, size_t* computed);
  // rows (n, d) over their Euclidean length; zero rows stay zero; out (n, d), may be `rows`
  void (*normalize)(const T* rows, size_t n, size_t d, T* out);
  // sum over (k, d) of 2 S c - n c^2 as a double-double, S = high + low; `magnitude` bounds the sum of |terms|
  void (*cost_terms)(const double* high, const double* low, const int64_t* counts, const T* centers, size_t k, size_t d,
                     double* result_high, double* result_low, double* magnitude);
  // sums (d,), count > 0 -> out (d,): fl(S / n)
  void (*mean)(const double* sums, double count, size_t d, T* out);
};

struct Kernels {
  const char *name, *description;
  unsigned requires_features;
  size_t lanes;  // centers in a panel
  size_t width;  // float32 values in a vector register
  size_t tile;   // rows in a register tile
  size_t block;  // most rows one call of `assign` takes
  RowKernels<float> f32;
  RowKernels<double> f64;
  bool sketch_tails;  // whether int8 tails are worth having: products of bytes are faster than those of floats
  // Bounds the distances from the rows of a block to the centers of groups, those named in the list (kListStride,) of
  // each group, counts (groups,). With `screens` by heads first, into `found`: the others then leave the list. looks
  // in/out.
  void (*look_at_groups)(const SketchForm& form, const SketchPanels& panels, size_t groups, bool screens,
                         uint8_t* lists, const int32_t* counts, const SketchBlock& block, SketchLooks& looks);
  // The same for all rows and groups. Null where the instruction set has no tiles.
  void (*look_at_all)(const SketchForm& form, const SketchPanels& panels, size_t groups, const SketchBlock& block);
  // The rows of a block named in list (count,), whose own centers, `labels`, moved: upper (rows,) in/out: at least the
  // distance of each to its own center; doubts (rows,) in/out: by how much that may be too large. Below 0 out: not
  // listed, or too much in doubt. Null where there are no int8 tails.
  void (*moved_bounds)(const SketchForm& form, const MovePanels& moves, const SketchRows& sketches, const uint8_t* list,
                       size_t count, const int32_t* labels, float* upper, float* doubts);
  // Bounds of a block, stored (groups, rows) in units (rows,) beside the paths (groups,) of their groups, each of which
  // may stand for several: appends each row to the list (groups, kListStride) of every group whose bound does not pass
  // upper (rows,); least (rows,) out: of the other groups.
  void (*open_groups)(const uint16_t* stored, const float* units, const float* upper, const float* path, size_t groups,
                      float* least, uint8_t* lists, int32_t* counts);
  // rows (count) -> out, interleaved; the numbers stay
  void (*interleave_sketches)(const SketchForm& form, const SketchRows& rows, size_t count, const SketchRows& out);
  // interleaved rows -> a lower bound of S in each group (groups, rows) out, by heads alone or by all
  void (*sketch_lanes)(const SketchForm& form, const SketchPanels& panels, size_t groups, bool screens,
                       const SketchRows& rows, float* found);
  // limit (rows,) out: at least the least S of a row, from what was found of all groups (groups, rows).
  void (*limit_rows)(const SketchPanels& panels, const SketchBlock& block, size_t groups);
  // lists and counts out: of each row the group of which the least was found, but of those with centers too far to be
  // sketched.
  void (*nearest_groups)(const SketchPanels& panels, const SketchBlock& block, size_t rows, size_t groups,
                         uint8_t* lists, int32_t* counts);
  // lists and counts out: the groups of which no more than the limit of a row was found; no rows beyond `rows`.
  void (*near_groups)(const SketchBlock& block, size_t rows, size_t groups, uint8_t* lists, int32_t* counts);
  // The reverse of open_groups, for the values that were found: found (groups, rows) in/out (untouched), squares
  // (rows,) |X|^2, counts (groups,) of the lists; least (rows,) in/out, stored in/out.
  void (*store_groups)(float* found, const float* squares, const float* units, const float* path, size_t groups,
                       const int32_t* counts, float* least, uint16_t* stored);
  // Of the values that were found of all groups: least (rows,) out.
  void (*least_found)(const float* found, const float* squares, size_t groups, float* least);
  // longest (rows,) out: the largest distance among what was found.
  void (*longest_found)(const float* found, const float* squares, size_t groups, float* longest);
  // Takes the paths off the stored bounds of a block, so that they can be counted from 0 again.
  void (*take_off_paths)(uint16_t* stored, const float* units, const float* path, size_t groups);
  // squares (k, kPairRows) of the centers names[i], i < count, ascending -> the lowest of each row, the second lowest,
  // and which is lowest; in/out (rows,)
  void (*nearest_two)(const float* squares, const int32_t* names, size_t count, float* lowest, float* second,
                      int32_t* nearest);
  // squares (count,) of pairs, bases of their rows and paths of their centers -> bounds (count,) out; arrays have room
  // for whole vectors
  void (*pair_bounds)(const float* squares, const float* bases, const float* paths, size_t count, const PairGrid& grid,
                      uint8_t* bounds);
  // squares (count,) of rows to their own centers and paths of these -> uppers (count,) out: less the paths
  void (*pair_uppers)(const float* squares, const float* paths, size_t count, const PairGrid& grid, float* uppers);
  // uppers (rows,), labels, paths (k,) rounded up, bases -> the upper bounds in bytes (rows,) out
  void (*upper_bytes)(const float* uppers, const int32_t* labels, const float* paths, const float* bases,
                      const PairGrid& grid, uint8_t* bytes);
  // bounds (k, rows), uppers (rows,), paths (k,) in bytes -> needs (k,) out: which rows, of those in `among`, can be
  // nearest to each center; any: those that can be to one. Returns how many pairs.
  size_t (*pair_needs)(const uint8_t* bounds, const uint8_t* uppers, const uint8_t* paths, size_t k, uint64_t among,
                       uint64_t* needs, uint8_t* counts, uint64_t* any);
  // compares the rows of a block with all centers; cpp/bytes.hpp
  void (*compare_bytes)(const ByteGrid& grid, const ByteCenters& centers, const ByteBlock& block);
  // from what that has found, the bounds of these rows
  void (*byte_bounds)(const ByteGrid& grid, const ByteCenters& centers, const ByteBlock& block, const PairGrid& pairs,
                      const ByteBounds& bounds);
  // packed rows and their numbers, labels before (kPackedRows,) -> found (out)
  void (*packed_labels)(const PackedForm& form, const PackedPanels& centers, const int16_t* rows, const float* numbers,
                        const int32_t* before, PackedFound& found);
  // the same for the centers names[i], i < count, alone, called by i; the label before is the first of them for all
  // rows, of which only those in `lanes` count. Of these gaps (count,) and radius out, with scratch for gaps
  // (count + width - 1, width); cpp/packed_groups.hpp
  void (*packed_few)(const PackedForm& form, const PackedPanels& centers, const int32_t* names, size_t count,
                     const int16_t* rows, const float* numbers, uint64_t lanes, float* gaps, float* radius,
                     PackedFound& found);
  // gaps (k,) of a block to the center `own`, in/out, with room for a whole vector: what they are after the moves, by
  // the radius of its rows before them, or by `reach`, that after them; names (k,) out: of the other centers whose gap
  // may not be positive, ascending; returns how many
  size_t (*packed_needs)(const PackedMoves& moves, size_t own, float radius, float reach, float* gaps, int32_t* names);
  // fills what belongs to the centers first..end
  void (*packed_moves)(const PackedMoves& moves, size_t first, size_t end);
  // planes (width,) of the digits of exact sums from the place `first` on -> cells begin.. as high + low (count,) out;
  // low is a NaN where this cannot tell; returns how many such
  size_t (*round_cells)(const int64_t* const* planes, int width, int first, size_t begin, size_t count, double* high,
                        double* low);
  // entries (n,), n <= kFewEntries, a number above and the number of a row below 2^32 -> the rows in the order of the
  // lowest bits of the numbers above; ties, or almost, keep their order
  void (*order_few)(const uint64_t* entries, size_t n, unsigned bits, uint32_t* order);
  // cpp/products.hpp
  void (*multiply)(const double* a, const double* b, size_t m, size_t d, size_t p, double* out);
  void (*multiply_transposed)(const double* a, const double* b, size_t m, size_t d, size_t p, double* out);
};

template <class T>
const RowKernels<T>& row_kernels(const Kernels& kernels);
template <>
inline const RowKernels<float>& row_kernels<float>(const Kernels& kernels) {
  return kernels.f32;
}
template <>
inline const RowKernels<double>& row_kernels<double>(const Kernels& kernels) {
  return kernels.f64;
}

}  // namespace macqueen
