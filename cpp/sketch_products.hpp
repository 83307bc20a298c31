// Products of tails (cpp/sketch.hpp) of some rows of a block and all groups of centers by tiles, the rows side by side
// in lanes: they take so little time that what is done with each sum counts. Sketches with heads do not come here:
// these rule most groups out for less.
#pragma once

#include "sketch_lanes.hpp"
#include "tiles.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

#if defined(MACQUEEN_TILES)
constexpr size_t kProductVectors = 2;  // of rows whose products are made together
constexpr size_t kProductRows = kProductVectors * kSketchLanes;
using GroupProducts = int32_t[kProductVectors][kGroup][kSketchLanes];

// The products of kProductRows interleaved rows, from `row` on, and two groups.
inline void row_products(const SketchForm& f, const SketchPanels& p, size_t group, size_t other, const SketchRows& s,
                         size_t row, GroupProducts (&out)[2]) {
  constexpr size_t kTile = kTileSide * kTileBytes;
  static_assert(kProductVectors == 2 && kSketchLanes == kTileSide && kGroup == kTileSide);
  const size_t size = f.tiled_tails();
  const int8_t *a = p.tiles + group * kGroup * size, *b = p.tiles + other * kGroup * size;
  const int8_t* x = s.tails + row * f.padded_tails();
  zero_tile<0>();
  zero_tile<1>();
  zero_tile<2>();
  zero_tile<3>();
  for (size_t j = 0; j < size; j += kTileBytes, a += kTile, b += kTile, x += kTile) {
    load_tile<4>(a, kTileBytes);
    load_tile<6>(x, kTileBytes);
    multiply_tiles<0, 4, 6>();
    load_tile<7>(x + f.padded_tails() * kSketchLanes, kTileBytes);
    multiply_tiles<1, 4, 7>();
    load_tile<5>(b, kTileBytes);
    multiply_tiles<2, 5, 6>();
    multiply_tiles<3, 5, 7>();
  }
  store_tile<0>(out[0][0][0]);
  store_tile<1>(out[0][1][0]);
  store_tile<2>(out[1][0][0]);
  store_tile<3>(out[1][1][0]);
}

// The least sums of rows and a group into out (rows,).
inline void product_minima(const SketchPanels& p, size_t group, const SketchNumbers& numbers, size_t row,
                           const GroupProducts& products, float* out) {
  Floats least[kProductVectors], scale[kProductVectors];
  const Floats step = broadcast(p.step[group * kGroup]);  // that of all its centers
  for (size_t v = 0; v < kProductVectors; ++v) {
    least[v] = broadcast(kHuge);
    scale[v] = _mm512_mul_ps(load(numbers.scale + row + v * kWidth), step);
  }
  for (size_t c = 0; c < kGroup; ++c) {
    const Floats start = broadcast(p.start[group * kGroup + c]);
    for (size_t v = 0; v < kProductVectors; ++v) {
      least[v] = minimum(least[v], multiply_add(scale[v], to_floats(_mm512_load_si512(products[v][c])), start));
    }
  }
  const Floats half_tail = broadcast(p.most[group * 3] * -0.5f), half_error = broadcast(p.most[group * 3 + 1] * -0.5f);
  for (size_t v = 0; v < kProductVectors; ++v) {
    const size_t i = row + v * kWidth;
    const Floats width = multiply_add(load(numbers.error + i), half_tail, broadcast(0));
    store(out + i, add(least[v], multiply_add(load(numbers.tail + i), half_error, width)));
  }
}

// Calls `made(group, row, products)` and `take` for the rows of a block, kProductRows together, and all groups; the
// next products are under way between the two.
template <class Made, class Take>
inline void for_products(const SketchForm& f, const SketchPanels& p, size_t groups, const SketchRows& lanes,
                         const Made& made, const Take& take) {
  constexpr size_t kNearBytes = 1 << 15;  // of tails that stay in the nearest cache, while all centers pass by
  const size_t fit = kNearBytes / f.tiled_tails() / kProductRows;
  const size_t parts = fit < 1 ? 1 : fit < kSketchRows / kProductRows ? fit : kSketchRows / kProductRows;
  const size_t pairs = (groups + 1) / 2;
  const TileRegisters tiles;
  alignas(64) GroupProducts products[2][2];
  for (size_t first = 0; first < kSketchRows; first += parts * kProductRows) {
    const size_t left = (kSketchRows - first) / kProductRows, count = parts < left ? parts : left;
    const auto both = [&](size_t unit, const auto& act) {
      const size_t g = unit / count * 2, row = first + unit % count * kProductRows;
      act(g, row, products[unit % 2][0]);
      if (g + 1 < groups) act(g + 1, row, products[unit % 2][1]);
    };
    const auto make = [&](size_t unit) {
      const size_t g = unit / count * 2, row = first + unit % count * kProductRows;
      row_products(f, p, g, g + 1 < groups ? g + 1 : g, lanes, row, products[unit % 2]);
      both(unit, made);
    };
    make(0);
    for (size_t unit = 0; unit < pairs * count; ++unit) {
      if (unit + 1 < pairs * count) make(unit + 1);
      both(unit, take);
    }
  }
}
#endif

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
