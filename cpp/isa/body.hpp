// The one body: included once by every instruction-set source, with MACQUEEN_ISA naming its namespace.
#pragma once

#include "../accumulate.hpp"
#include "../all_distances.hpp"
#include "../assign.hpp"
#include "../box_sums.hpp"
#include "../boxes.hpp"
#include "../bytes.hpp"
#include "../cells.hpp"
#include "../cost_terms.hpp"
#include "../curve.hpp"
#include "../distances.hpp"
#include "../near.hpp"
#include "../nearest.hpp"
#include "../packed.hpp"
#include "../packed_groups.hpp"
#include "../pairs.hpp"
#include "../products.hpp"
#include "../rounded_sums.hpp"
#include "../sketch_all.hpp"
#include "../sketch_centers.hpp"
#include "../sketch_groups.hpp"
#include "../sketch_moves.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

template <class T>
constexpr RowKernels<T> row_kernels_here() {
  return {
      .pack = pack<T>,
      .assign = assign<T>,
      .pack_short = pack_short<T>,
      .assign_short = assign_short<T>,
      .near_candidates = near_candidates<T>,
      .listed_distances = listed_distances<T>,
      .add = add<T>,
      .move_rows = move_rows<T>,
      .add_squares = add_squares<T>,
      .largest = largest<T>,
      .curve_places = curve_places<T>,
      .fill_box = fill_box<T>,
      .middle_center = middle_center<T>,
      .box_candidates = box_candidates<T>,
      .box_labels = box_labels<T>,
      .move_box = move_box<T>,
      .cell_labels = cell_labels<T>,
      .sketch = sketch<T>,
      .sketch_centers = sketch_centers<T>,
      .own_bounds = own_bounds<T>,
      .sketch_moves = sketch_moves<T>,
      .decide = decide<T>,
      .compare_distances = compare_distances<T>,
      .pair_squares = pair_squares<T>,
      .all_squares = all_squares<T>,
      .byte_rows = byte_rows<T>,
      .pack_lanes = pack_lanes<T>,
      .pack_panels = pack_panels<T>,
      .own_distances = own_distances<T>,
      .widen_centers = widen_centers<T>,
      .distances = distances<T>,
      .distances_to = distances_to<T>,
      .near_code = near_code<T>,
      .near_pairs = near_pairs<T>,
      .normalize = normalize<T>,
      .cost_terms = cost_terms<T>,
      .mean = mean<T>,
  };
}

constexpr Kernels kernels_here(const char* name, const char* description, unsigned features) {
  return {
      .name = name,
      .description = description,
      .requires_features = features,
      .lanes = kLanes,
      .width = kWidth,
      .tile = kTileRows,
      .block = kBlockRows,
      .f32 = row_kernels_here<float>(),
      .f64 = row_kernels_here<double>(),
      .sketch_tails = kInt8Products,
      .look_at_groups = look_at_groups,
      .look_at_all = look_at_all,
      .moved_bounds = moved_bounds,
      .open_groups = open_groups,
      .interleave_sketches = interleave_sketches,
      .sketch_lanes = sketch_lanes,
      .limit_rows = limit_rows,
      .nearest_groups = nearest_groups,
      .near_groups = near_groups,
      .store_groups = store_groups,
      .least_found = least_found,
      .longest_found = longest_found,
      .take_off_paths = take_off_paths,
      .nearest_two = nearest_two,
      .pair_bounds = pair_bounds,
      .pair_uppers = pair_uppers,
      .upper_bytes = upper_bytes,
      .pair_needs = pair_needs,
      .compare_bytes = compare_bytes,
      .byte_bounds = byte_bounds,
      .packed_labels = packed_labels,
      .packed_few = packed_few,
      .packed_needs = packed_needs,
      .packed_moves = packed_moves,
      .round_cells = round_cells,
      .order_few = order_few,
      .multiply = multiply,
      .multiply_transposed = multiply_transposed,
  };
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
