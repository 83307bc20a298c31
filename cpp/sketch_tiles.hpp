// Sums of cpp/sketch.hpp by tiles, where the instruction set has them: their products take so little time that what is
// done with each sum counts.
#pragma once

#include "sketch_lanes.hpp"
#include "tiles.hpp"

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

using LaneProducts = int32_t[kRowVectors][kGroup][kSketchLanes];

// The products of integers of a tile's rows and a group, out.
inline void lane_products(const SketchForm& f, const SketchPanels& p, size_t group, const SketchRows& s, size_t row,
                          LaneProducts& out) {
  static_assert(kRowVectors == 4 && kSketchLanes == kTileSide && kGroup == kTileSide);
  const size_t words = f.padded_tails() / 4, stride = f.tiled_tails();
  zero_tile<0>();
  zero_tile<1>();
  zero_tile<2>();
  zero_tile<3>();
  for (size_t j = 0; j < f.padded_tails(); j += kTileBytes) {
    const auto lanes = [&](size_t r) { return lanes_of(s.tails, row + r * kWidth, words) + j * kSketchLanes; };
    load_tile<4>(p.tiles + group * kGroup * stride + j, stride);
    load_tile<5>(lanes(0), kTileBytes);
    load_tile<6>(lanes(1), kTileBytes);
    multiply_tiles<0, 4, 5>();
    multiply_tiles<1, 4, 6>();
    load_tile<5>(lanes(2), kTileBytes);
    load_tile<6>(lanes(3), kTileBytes);
    multiply_tiles<2, 4, 5>();
    multiply_tiles<3, 4, 6>();
  }
  store_tile<0>(out[0][0]);
  store_tile<1>(out[1][0]);
  store_tile<2>(out[2][0]);
  store_tile<3>(out[3][0]);
}

// The least sums of a tile's rows and a group into out (rows,), kOthers: of centers that are not their own (rows,).
template <bool kOthers>
inline void product_minima(const SketchPanels& p, size_t group, const SketchNumbers& numbers, size_t row,
                           const int32_t* own, const LaneProducts& products, float* out) {
  Floats least[kRowVectors], scale[kRowVectors];
  for (size_t r = 0; r < kRowVectors; ++r) {
    least[r] = broadcast(kHuge);
    scale[r] = load(numbers.scale + row + r * kWidth);
  }
  for (size_t c = 0; c < kGroup; ++c) {
    const size_t place = group * kGroup + c;
    const Floats step = broadcast(p.step[place]), start = broadcast(p.start[place]);
    for (size_t r = 0; r < kRowVectors; ++r) {
      const Floats sum = to_floats(_mm512_load_si512(products[r][c]));
      const Floats t = multiply_add(scale[r], _mm512_mul_ps(sum, step), start);
      __mmask16 counts = 0xffff;
      if constexpr (kOthers) {
        counts = _mm512_cmpneq_epi32_mask(_mm512_loadu_si512(own + row + r * kWidth),
                                          broadcast_int(static_cast<int32_t>(place)));
      }
      least[r] = _mm512_mask_min_ps(least[r], counts, least[r], t);
    }
  }
  const Floats half_tail = broadcast(p.most[group * 3] * -0.5f), half_error = broadcast(p.most[group * 3 + 1] * -0.5f);
  for (size_t r = 0; r < kRowVectors; ++r) {
    const size_t i = row + r * kWidth;
    const Floats width = multiply_add(load(numbers.error + i), half_tail, broadcast(0));
    store(out + i, add(least[r], multiply_add(load(numbers.tail + i), half_error, width)));
  }
}

// The same for all rows of a block; the next products are under way while these are looked at.
template <bool kOthers>
inline void tile_minima(const SketchForm& f, const SketchPanels& p, size_t group, const SketchRows& lanes,
                        const int32_t* own, float* out) {
  constexpr size_t kRows = kRowVectors * kWidth;
  alignas(64) LaneProducts products[2];
  lane_products(f, p, group, lanes, 0, products[0]);
  for (size_t row = 0; row < kSketchRows; row += kRows) {
    if (row + kRows < kSketchRows) lane_products(f, p, group, lanes, row + kRows, products[(row / kRows + 1) % 2]);
    product_minima<kOthers>(p, group, *lanes.numbers, row, own, products[row / kRows % 2], out);
  }
}
#endif

// As sketch_lanes_of.
void sketch_lanes(const SketchForm& f, const SketchPanels& panels, size_t groups, bool screens, const SketchRows& rows,
                  float* found) {
#if defined(MACQUEEN_TILES)
  if (f.tails > 0 && f.heads == 0) {
    const TileRegisters tiles;
    for (size_t g = 0; g < groups; ++g) tile_minima<false>(f, panels, g, rows, nullptr, found + g * kSketchRows);
    return;
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
