// Looks at groups of centers: the bounds that sketches (cpp/sketch.hpp) give to listed rows, and which centers are left
// as candidates.
#pragma once

#include "fetch.hpp"
#include "sketch_minima.hpp"
#include "sketch_tiles.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

// Keeps those candidates of a row that its limit still allows; the others count for their group.
inline void drop_candidates(const SketchBlock& b, size_t row) {
  Candidate* list = b.candidates + row * static_cast<size_t>(b.most);
  int32_t kept = 0;
  for (int32_t i = 0; i < b.counts[row]; ++i) {
    if (list[i].bound <= b.limit[row]) {
      list[kept++] = list[i];
      continue;
    }
    float& found = b.found[static_cast<size_t>(list[i].place) / kGroup * kSketchRows + row];
    found = list[i].bound < found ? list[i].bound : found;
  }
  b.counts[row] = kept;
}

// At least S of the center whose sum is `least`, the least of t (kGroup,), plus the slack of the row, to which sums are
// compared. The width is that center's own, 4 |e| (cpp/sketch.hpp) and a little more for the rounding of sums: the
// worst of its group can be far off, and its width would leave all centers.
inline float upper_bound(const SketchPanels& p, const SketchNumbers& numbers, size_t row, size_t group,
                         const Floats (&t)[kGroupVectors], float least) {
  uint32_t found = 0;
  for (size_t v = 0; v < kGroupVectors; ++v) found |= at_most_mask(t[v], broadcast(least)) << v * kWidth;
  const size_t place = group * kGroup + static_cast<size_t>(__builtin_ctz(found));
  const float beside = 2 * (numbers.squares[row] * p.row_slack + kLeastSlack) + p.most[group * 3 + 2];
  const float width = beside - 2.001f * (numbers.tail[row] * p.error[place] + numbers.error[row] * p.tail[place]);
  const float size = __builtin_fabsf(least) < width ? width : __builtin_fabsf(least);
  return least + width * (1 + kOutward) + size * kOutward;
}

// A row that is near a group, by the least of its sums t (kGroup,): notes the candidates, centers that do not pass its
// limit; the others are the group's.
inline void take_near(const SketchPanels& p, size_t group, size_t row, Floats (&t)[kGroupVectors], float least,
                      const SketchBlock& b) {
  float& found = b.found[group * kSketchRows + row];
  const auto own = static_cast<uint32_t>(b.own[row]) - static_cast<uint32_t>(group * kGroup);
  if (own < kGroup) {
    t[own / kWidth] = without_lanes(t[own / kWidth], 1u << own % kWidth);
    found = least = least_of(t);
  }
  if (!(least <= b.limit[row]) || b.counts[row] > b.most) return;
  const float upper = upper_bound(p, *b.sketches.numbers, row, group, t, least);
  const float limit = upper < b.limit[row] ? upper : b.limit[row];
  b.limit[row] = limit;
  found = kHuge;
  if (b.counts[row] + static_cast<int32_t>(kGroup) > b.most) drop_candidates(b, row);
  int32_t count = b.counts[row];
  if (count == 0) fetch(b.rows + row * b.row_bytes, b.row_bytes);
  Candidate* list = b.candidates + row * static_cast<size_t>(b.most);
  float lanes[kGroup];
  uint32_t near = 0;
  Floats others = broadcast(kHuge);
  for (size_t v = 0; v < kGroupVectors; ++v) {
    store(lanes + v * kWidth, t[v]);
    near |= at_most_mask(t[v], broadcast(limit)) << v * kWidth;
    others = minimum(others, choose_below(broadcast(limit), t[v], t[v], broadcast(kHuge)));
  }
  float rest = lowest_of(others);
  for (; near != 0; near &= near - 1) {
    const auto lane = static_cast<uint32_t>(__builtin_ctz(near));
    if (count >= b.most) {
      count = b.most + 1;  // too many
      rest = lanes[lane] < rest ? lanes[lane] : rest;
      continue;
    }
    list[count++] = {static_cast<int32_t>(group * kGroup + lane), lanes[lane]};
  }
  b.counts[row] = count;
  found = rest < found ? rest : found;
}

// Calls take<kRows>(rows, listed) for the rows of a list, kSketchTile or half of it at a time; those in `listed` count,
// the last ones repeat another.
template <class Take>
inline __attribute__((always_inline)) void for_tiles(const uint8_t* list, size_t count, const Take& take) {
  uint8_t last[kSketchTile];
  const auto left = [&](size_t i) __attribute__((always_inline)) {
    for (size_t r = 0; r < kSketchTile; ++r) last[r] = list[i + r < count ? i + r : i];
    return (1u << (count - i)) - 1;
  };
  size_t i = 0;
  for (; i + kSketchTile / 2 < count; i += kSketchTile) {
    const bool whole = count - i >= kSketchTile;
    const uint32_t listed = whole ? (1u << kSketchTile) - 1 : left(i);
    take.template operator()<kSketchTile>(whole ? list + i : last, listed);
  }
  if (i < count) {
    const uint32_t listed = left(i);
    take.template operator()<kSketchTile / 2>(last, listed);
  }
}

// Takes the sums t of the kRows rows `rows`, of which those in `listed` count.
template <size_t kRows>
inline __attribute__((always_inline)) void take_sums(const SketchPanels& p, size_t group, const uint8_t* rows,
                                                     uint32_t listed, Floats (*t)[kGroupVectors],
                                                     const SketchBlock& b) {
  float* found = b.found + group * kSketchRows;
  float least[kSketchTile];
  uint32_t near = row_minima<kRows>(t, b.limit, rows, least) & listed;
  for (size_t r = 0; r < kRows; ++r) found[rows[r]] = least[r];
  for (; near != 0; near &= near - 1) {
    const auto r = static_cast<size_t>(__builtin_ctz(near));
    take_near(p, group, rows[r], t[r], least[r], b);
  }
}

#if defined(MACQUEEN_TILES)
// A list of rows by tiles: first all products, as each has to wait for what it reads. What is beyond the end of the
// list, to whole tiles, is overwritten.
void sketch_tiles(const SketchForm& f, const SketchPanels& p, size_t group, uint8_t* list, size_t count,
                  const SketchBlock& b) {
  constexpr size_t kRows = 2 * kTileSide;
  static_assert(kListStride >= (kSketchRows + kRows - 1) / kRows * kRows);
  alignas(64) int32_t sums[kSketchRows * kGroup];
  memset(list + count, list[count - 1], (kRows - count % kRows) % kRows);  // looked at last: nothing of it is done yet
  for (size_t i = 0; i < count; i += kRows) tile_sums(f, p, group, b.sketches, list + i, sums + i * kGroup);
  for (size_t i = 0; i < count; i += kSketchTile) {
    const uint8_t* rows = list + i;
    Ints sum[kSketchTile][kGroupVectors];
    for (size_t r = 0; r < kSketchTile; ++r) {
      const Ints products = _mm512_load_si512(sums + (i + r) * kGroup);
      sum[r][0] = add_ints(broadcast_int(b.sketches.numbers->offset[rows[r]]), products);
    }
    Floats t[kSketchTile][kGroupVectors];
    begin_sums<kSketchTile>(p, group, t);
    add_tails<kSketchTile>(p, group, *b.sketches.numbers, rows, sum, t);
    add_heads<kSketchTile>(f, p, group, b.sketches, rows, t);
    const uint32_t listed = count - i < kSketchTile ? (1u << (count - i)) - 1 : (1u << kSketchTile) - 1;
    take_sums<kSketchTile>(p, group, rows, listed, t, b);
  }
}
#endif

template <bool kTails>
void sketch_group(const SketchForm& f, const SketchPanels& p, size_t group, uint8_t* list, size_t count,
                  const SketchBlock& b) {
#if defined(MACQUEEN_TILES)
  if (kTails && count > kSketchTile) return sketch_tiles(f, p, group, list, count, b);
#endif
  for_tiles(list, count, [&]<size_t kRows>(const uint8_t* rows, uint32_t listed) __attribute__((always_inline)) {
    Floats t[kRows][kGroupVectors];
    sketch_tile<kTails, kRows>(f, p, group, b.sketches, rows, t);
    take_sums<kRows>(p, group, rows, listed, t, b);
  });
}

// Looks at a list by heads alone; keeps in it the rows that these do not rule out.
inline size_t screen_group(const SketchForm& f, const SketchPanels& p, size_t group, uint8_t* list, size_t count,
                           const SketchBlock& b) {
  float* found = b.found + group * kSketchRows;
  size_t kept = 0;
  for_tiles(list, count, [&]<size_t kRows>(const uint8_t* rows, uint32_t listed) __attribute__((always_inline)) {
    Floats t[kRows][kGroupVectors];
    screen_tile<kRows>(f, p, group, b.sketches, rows, t);
    float least[kSketchTile];
    uint32_t near = row_minima<kRows>(t, b.limit, rows, least) & listed;
    for (size_t r = 0; r < kRows; ++r) found[rows[r]] = least[r];
    for (; near != 0; near &= near - 1) list[kept++] = rows[__builtin_ctz(near)];
  });
  return kept;
}

void look_at_groups(const SketchForm& f, const SketchPanels& p, size_t groups, bool screens, uint8_t* lists,
                    const int32_t* counts, const SketchBlock& b, SketchLooks& looks) {
  [[maybe_unused]] const TileRegisters tiles;
  for (size_t g = 0; g < groups; ++g) {
    uint8_t* list = lists + g * kListStride;
    auto listed = static_cast<size_t>(counts[g]);
    if (screens && listed > 0) {
      looks.screened += listed;
      listed = screen_group(f, p, g, list, listed, b);
    }
    if (listed == 0) continue;
    looks.opened += listed;
    if (f.tails > 0) {
      sketch_group<true>(f, p, g, list, listed, b);
    } else {
      sketch_group<false>(f, p, g, list, listed, b);
    }
  }
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
