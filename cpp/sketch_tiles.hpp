// Sums of cpp/sketch.hpp by tiles, where the instruction set has them: their products take so little time that what is
// done with each sum counts.
#pragma once

#include "sketch_products.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

#if defined(MACQUEEN_TILES)
constexpr size_t kTileParts = 4;  // of kTileBytes columns, that are gathered together

// Columns [first, end) of the tails of kTileSide rows, side by side: (parts, kTileSide, kTileBytes) out, 0 beyond the
// end.
inline void gather_tails(const SketchForm& f, const SketchRows& s, const uint8_t* rows, size_t first, size_t end,
                         int8_t* out) {
  for (size_t j = first; j < end; j += kTileBytes, out += kTileSide * kTileBytes) {
    const __mmask64 mask = end - j >= kTileBytes ? ~__mmask64{0} : (__mmask64{1} << (end - j)) - 1;
    for (size_t r = 0; r < kTileSide; ++r) {
      _mm512_store_si512(out + r * kTileBytes, _mm512_maskz_loadu_epi8(mask, s.tails + rows[r] * f.padded_tails() + j));
    }
  }
}

// The products of integers of 2 kTileSide rows and a group, without offsets; sums (2 kTileSide, kGroup) out.
inline void tile_sums(const SketchForm& f, const SketchPanels& p, size_t group, const SketchRows& s,
                      const uint8_t* rows, int32_t* sums) {
  alignas(64) int8_t gathered[2][kTileParts * kTileSide * kTileBytes];
  const size_t end = f.padded_tails(), columns = kTileParts * kTileBytes;
  const uint8_t* panel = p.tails + group * end * kGroup;
  zero_tile<0>();
  zero_tile<1>();
  for (size_t first = 0; first < end; first += columns) {
    const size_t last = end - first < columns ? end : first + columns;
    gather_tails(f, s, rows, first, last, gathered[0]);
    gather_tails(f, s, rows + kTileSide, first, last, gathered[1]);
    for (size_t j = first, part = 0; j < last; j += kTileBytes, part += kTileSide * kTileBytes) {
      load_tile<2>(panel + j * kGroup, kGroup * 4);
      load_tile<3>(gathered[0] + part, kTileBytes);
      load_tile<4>(gathered[1] + part, kTileBytes);
      multiply_by_unsigned<0, 3, 2>();
      multiply_by_unsigned<1, 4, 2>();
    }
  }
  store_tile<0>(sums);
  store_tile<1>(sums + kTileSide * kGroup);
}
#endif

// As sketch_lanes_of.
void sketch_lanes(const SketchForm& f, const SketchPanels& panels, size_t groups, bool screens, const SketchRows& rows,
                  float* found) {
#if defined(MACQUEEN_TILES)
  if (panels.tiles != nullptr) {
    const auto made = [](size_t, size_t, const GroupProducts&) {};
    return for_products(f, panels, groups, rows, made, [&](size_t g, size_t row, const GroupProducts& products) {
      product_minima(panels, g, *rows.numbers, row, products, found + g * kSketchRows);
    });
  }
#endif
  if (screens) {
    sketch_lanes_of<true, true>(f, panels, groups, rows, found);
  } else if (f.tails > 0) {
    sketch_lanes_of<true, false>(f, panels, groups, rows, found);
  } else {
    sketch_lanes_of<false, false>(f, panels, groups, rows, found);
  }
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
