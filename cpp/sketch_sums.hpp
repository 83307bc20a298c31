// Sums of cpp/sketch.hpp for rows of a block and a group of centers, whose places lie side by side in vectors.
#pragma once

#include "short_screen.hpp"
#include "sketch.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

// Adds the products of the heads of kRows <= kSketchTile rows of a block and of a group to t.
template <size_t kRows>
inline void add_heads(const SketchForm& f, const SketchPanels& p, size_t group, const SketchRows& s,
                      const uint8_t* rows, Floats (*t)[kGroupVectors]) {
  if (f.heads == 0) return;
  const float* panel = p.heads + group * f.heads * kGroup;
  const float* heads[kRows];
  for (size_t r = 0; r < kRows; ++r) heads[r] = s.heads + rows[r] * f.heads;
  for (size_t first = 0; first < f.heads; first += kSketchChunk) {
    const size_t end = first + kSketchChunk < f.heads ? first + kSketchChunk : f.heads;
    Floats sum[kRows][kGroupVectors];
    for (size_t r = 0; r < kRows; ++r) {
      for (size_t v = 0; v < kGroupVectors; ++v) sum[r][v] = broadcast(0);
    }
    for (size_t j = first; j < end; ++j) {
      for (size_t v = 0; v < kGroupVectors; ++v) {
        const Floats c = load(panel + j * kGroup + v * kWidth);
        for (size_t r = 0; r < kRows; ++r) sum[r][v] = multiply_add(broadcast(heads[r][j]), c, sum[r][v]);
      }
    }
    for (size_t r = 0; r < kRows; ++r) {
      for (size_t v = 0; v < kGroupVectors; ++v) t[r][v] = add(t[r][v], sum[r][v]);
    }
  }
}

// t of kRows rows of a block and a group, before anything is added.
template <size_t kRows>
inline void begin_sums(const SketchPanels& p, size_t group, Floats (*t)[kGroupVectors]) {
  const float* start = p.start + group * kGroup;
  for (size_t v = 0; v < kGroupVectors; ++v) {
    for (size_t r = 0; r < kRows; ++r) t[r][v] = load(start + v * kWidth);
  }
}

#if defined(MACQUEEN_BYTE_PRODUCTS)
// Adds the sums of integers, offsets included, to t, with what the grids may have changed.
template <size_t kRows>
inline void add_tails(const SketchPanels& p, size_t group, const SketchNumbers& numbers, const uint8_t* rows,
                      const Ints (*sum)[kGroupVectors], Floats (*t)[kGroupVectors]) {
  for (size_t v = 0; v < kGroupVectors; ++v) {
    const size_t place = group * kGroup + v * kWidth;
    const Floats step = load(p.step + place), tail = load(p.tail + place), error = load(p.error + place);
    each<0, kRows>([&](size_t r) __attribute__((always_inline)) {
      const size_t i = rows[r];
      const Floats bounds =
          multiply_add(broadcast(numbers.error[i]), tail, multiply_add(broadcast(numbers.tail[i]), error, t[r][v]));
      t[r][v] = multiply_add(broadcast(numbers.scale[i]), to_floats(sum[r][v]) * step, bounds);
    });
  }
}

// The sums of integers of kRows rows of a block and a group.
template <size_t kRows>
inline void tail_sums(const SketchForm& f, const SketchPanels& p, size_t group, const SketchRows& s,
                      const uint8_t* rows, Ints (*sum)[kGroupVectors]) {
  const int8_t* tails[kRows];
  each<0, kRows>([&](size_t r) __attribute__((always_inline)) {  // a loop would keep the sums in memory
    for (size_t v = 0; v < kGroupVectors; ++v) sum[r][v] = broadcast_int(s.numbers->offset[rows[r]]);
    tails[r] = s.tails + rows[r] * f.padded_tails();
  });
  const size_t end = f.padded_tails();
  const uint8_t* panel = p.tails + group * end * kGroup;
#if defined(__AVX512VNNI__)
  for (size_t j = 0; j < end; j += 4) {
    const Ints c = load_bytes(panel + j * kGroup);
    each<0, kRows>([&](size_t r) __attribute__((always_inline)) { add_products(sum[r][0], c, tails[r] + j); });
  }
#else
  size_t j = 0;
  for (; j + 8 <= end; j += 8) {
    each<0, kRows>([&](size_t r) __attribute__((always_inline)) {
      const Ints x = four_bytes(tails[r] + j), y = four_bytes(tails[r] + j + 4);
      for (size_t v = 0; v < kGroupVectors; ++v) {
        const uint8_t* c = panel + j * kGroup + v * kWidth * 4;
        add_products(sum[r][v], load_bytes(c), x, load_bytes(c + kGroup * 4), y);
      }
    });
  }
  if (j < end) {
    each<0, kRows>([&](size_t r) __attribute__((always_inline)) {
      const Ints x = four_bytes(tails[r] + j);
      for (size_t v = 0; v < kGroupVectors; ++v) {
        add_products(sum[r][v], load_bytes(panel + j * kGroup + v * kWidth * 4), x);
      }
    });
  }
#endif
}
#endif

// Sums of kRows rows of a block and a group, into t.
template <bool kTails, size_t kRows>
inline void sketch_tile(const SketchForm& f, const SketchPanels& p, size_t group, const SketchRows& s,
                        const uint8_t* rows, Floats (*t)[kGroupVectors]) {
  begin_sums<kRows>(p, group, t);
#if defined(MACQUEEN_BYTE_PRODUCTS)
  if constexpr (kTails) {
    Ints sum[kRows][kGroupVectors];
    tail_sums<kRows>(f, p, group, s, rows, sum);
    add_tails<kRows>(p, group, *s.numbers, rows, sum, t);
  }
#endif
  add_heads<kRows>(f, p, group, s, rows, t);
}

// Lower bounds of these sums that leave the integers out.
template <size_t kRows>
inline void screen_tile(const SketchForm& f, const SketchPanels& p, size_t group, const SketchRows& s,
                        const uint8_t* rows, Floats (*t)[kGroupVectors]) {
  for (size_t v = 0; v < kGroupVectors; ++v) {
    const Floats start = load(p.start + group * kGroup + v * kWidth), tail = load(p.tail + group * kGroup + v * kWidth);
    for (size_t r = 0; r < kRows; ++r) {
      t[r][v] = multiply_add(broadcast(s.numbers->length[rows[r]]), tail, start);
    }
  }
  add_heads<kRows>(f, p, group, s, rows, t);
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
