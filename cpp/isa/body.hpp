// The one body: included once by every instruction-set source, with MACQUEEN_ISA naming its namespace.
#pragma once

#include "../accumulate.hpp"
#include "../all_distances.hpp"
#include "../assign.hpp"
#include "../boxes.hpp"
#include "../cost_terms.hpp"
#include "../distances.hpp"
#include "../nearest.hpp"
#include "../products.hpp"
#include "../sketch.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

template <class T>
constexpr RowKernels<T> row_kernels_here() {
  return {pack<T>,       assign<T>,      pack_short<T>,    assign_short<T>, near_candidates<T>, listed_distances<T>,
          add<T>,        add_squares<T>, largest<T>,       box_labels<T>,   sketch<T>,          sketch_centers<T>,
          own_bounds<T>, decide<T>,      own_distances<T>, distances<T>,    distances_to<T>,    normalize<T>,
          cost_terms<T>};
}

constexpr Kernels kernels_here(const char* name, const char* description, unsigned features) {
  return {name,
          description,
          features,
          kLanes,
          kWidth,
          kTileRows,
          kBlockRows,
          row_kernels_here<float>(),
          row_kernels_here<double>(),
          kInt8Products,
          sketch_group,
          open_groups,
          narrow_groups,
          store_groups,
          longest_found,
          take_off_paths,
          multiply,
          multiply_transposed,
          box_candidates};
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
