// Looks at all groups of centers for all rows of a block, by tiles: their products take so little time that bounds
// which outlive a step would not save it.
#pragma once

#include "sketch_looks.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

#if defined(MACQUEEN_TILES)
// Puts the lowest integer in place of the products of rows with their own centers, whose sums are then, of all, the
// largest or almost: what is looked for is the nearest other center. Any value is allowed here, as a bound that is too
// low does no harm, nor does an own center among the candidates.
inline void leave_out_own(const SketchBlock& b, size_t group, size_t row, GroupProducts& products) {
  static_assert(kGroup == 16);
  const Ints name = broadcast_int(static_cast<int32_t>(group));
  for (size_t v = 0; v < kProductVectors; ++v) {
    const int32_t* own = b.own + row + v * kWidth;
    const Ints groups = _mm512_srli_epi32(_mm512_loadu_si512(own), 4);
    for (uint32_t mask = _mm512_cmpeq_epi32_mask(groups, name); mask != 0; mask &= mask - 1) {
      const auto lane = static_cast<size_t>(__builtin_ctz(mask));
      products[v][static_cast<size_t>(own[lane]) % kGroup][lane] = INT32_MIN;
    }
  }
}

// A row whose bound for a group does not pass its limit; its products are kSketchLanes apart.
inline void take_lane(const SketchPanels& p, size_t group, size_t row, const int32_t* products, const SketchBlock& b) {
  static_assert(kSketchLanes == 16);
  const Ints places = _mm512_slli_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), 4);
  const auto name = static_cast<uint8_t>(row);
  const Ints sum[1][kGroupVectors] = {{_mm512_i32gather_epi32(places, products, sizeof *products)}};
  Floats t[1][kGroupVectors];
  begin_sums<1>(p, group, t);
  add_tails<1>(p, group, *b.sketches.numbers, &name, sum, t);
  take_near(p, group, row, t[0], least_of(t[0]), b);
}

// As look_at_groups, with all rows of a block in all lists; the block has been interleaved.
void look_at_all(const SketchForm& f, const SketchPanels& p, size_t groups, const SketchBlock& b) {
  const auto made = [&](size_t group, size_t row, GroupProducts& products) { leave_out_own(b, group, row, products); };
  for_products(f, p, groups, b.lanes, made, [&](size_t group, size_t row, const GroupProducts& products) {
    float* found = b.found + group * kSketchRows;
    product_minima(p, group, *b.lanes.numbers, row, products, found);
    for (size_t v = 0; v < kProductVectors; ++v) {
      const size_t i = row + v * kWidth;
      for (uint32_t near = at_most_mask(load(found + i), load(b.limit + i)); near != 0; near &= near - 1) {
        const auto lane = static_cast<size_t>(__builtin_ctz(near));
        take_lane(p, group, i + lane, &products[v][0][lane], b);
      }
    }
  });
}
#else
constexpr decltype(Kernels::look_at_all) look_at_all = nullptr;
#endif

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
