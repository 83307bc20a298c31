// Sums of cpp/sketch.hpp for all rows of a block and whole groups: rows lie side by side in the lanes of vectors, so
// that the least of a group is found without looking across lanes. For the errors of the grids, those of a group's
// worst center count.
#pragma once

#include "sketch_sums.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

#if defined(__AVX512F__) || defined(__ARM_NEON)
constexpr size_t kRowVectors = 4;  // of a tile: it has kRowVectors * kLaneCenters sums in registers
#else
constexpr size_t kRowVectors = 2;
#endif
constexpr size_t kLaneCenters = 4;
static_assert(kGroup % kLaneCenters == 0 && kSketchRows % (kRowVectors * kWidth) == 0);

// Copies (count, size) words -> (ceil(count / kSketchLanes), size, kSketchLanes) out; what is missing is 0.
#if defined(__AVX512F__)
inline void interleave(const uint8_t* words, size_t count, size_t size, uint8_t* out) {
  static_assert(kSketchLanes == 16);
  for (size_t first = 0; first < kSketchRows; first += kSketchLanes, out += size * kSketchLanes * 4) {
    for (size_t j = 0; j < size; j += 16) {
      const size_t columns = size - j < 16 ? size - j : 16;
      Ints rows[16];
      for (size_t r = 0; r < 16; ++r) {
        const auto mask = static_cast<__mmask16>(first + r < count ? (1u << columns) - 1 : 0);
        rows[r] = _mm512_maskz_loadu_epi32(mask, words + ((first + r) * size + j) * 4);
      }
      transpose(rows);
      for (size_t c = 0; c < columns; ++c) _mm512_storeu_si512(out + (j + c) * kSketchLanes * 4, rows[c]);
    }
  }
}
#else
inline void interleave(const uint8_t* words, size_t count, size_t size, uint8_t* out) {
  for (size_t i = 0; i < kSketchRows; ++i) {
    uint8_t* own = out + i / kSketchLanes * size * kSketchLanes * 4 + i % kSketchLanes * 4;
    for (size_t j = 0; j < size; ++j) {
      if (i < count) {
        memcpy(own + j * kSketchLanes * 4, words + (i * size + j) * 4, 4);
      } else {
        memset(own + j * kSketchLanes * 4, 0, 4);
      }
    }
  }
}
#endif

void interleave_sketches(const SketchForm& f, const SketchRows& rows, size_t count, const SketchRows& out) {
  interleave(reinterpret_cast<const uint8_t*>(rows.heads), count, f.heads, reinterpret_cast<uint8_t*>(out.heads));
  interleave(reinterpret_cast<const uint8_t*>(rows.tails), count, f.padded_tails() / 4,
             reinterpret_cast<uint8_t*>(out.tails));
}

// Where the kRowVectors vectors of a tile begin, `size` words of every row side by side.
template <class Word>
inline const Word* lanes_of(const Word* words, size_t row, size_t size) {
  constexpr size_t kWordBytes = 4 / sizeof(Word);
  return words + (row / kSketchLanes * size * kSketchLanes + row % kSketchLanes) * kWordBytes;
}

using LaneSums = Floats[kRowVectors][kLaneCenters];

#if defined(MACQUEEN_BYTE_PRODUCTS)
inline void lane_tails(const SketchForm& f, const SketchPanels& p, size_t place, const SketchRows& s, size_t row,
                       LaneSums& t) {
  const size_t end = f.padded_tails();
  const uint8_t* panel = p.tails + place / kGroup * end * kGroup + place % kGroup * 4;
  const int8_t* tails[kRowVectors];
  Ints sum[kRowVectors][kLaneCenters];
  for (size_t r = 0; r < kRowVectors; ++r) {
    tails[r] = lanes_of(s.tails, row + r * kWidth, end / 4);
    const Ints offset = load_bytes(s.numbers->offset + row + r * kWidth);
    for (size_t c = 0; c < kLaneCenters; ++c) sum[r][c] = offset;
  }
  size_t j = 0;
  for (; j + 8 <= end; j += 8) {
    Ints x[kRowVectors], y[kRowVectors];
    for (size_t r = 0; r < kRowVectors; ++r) {
      x[r] = load_bytes(tails[r] + j * kSketchLanes);
      y[r] = load_bytes(tails[r] + (j + 4) * kSketchLanes);
    }
    for (size_t c = 0; c < kLaneCenters; ++c) {
      const uint8_t* four = panel + j * kGroup + c * 4;
      const Ints bytes = four_bytes(four), more = four_bytes(four + 4 * kGroup);
      for (size_t r = 0; r < kRowVectors; ++r) add_products(sum[r][c], bytes, x[r], more, y[r]);
    }
  }
  if (j < end) {
    for (size_t c = 0; c < kLaneCenters; ++c) {
      const Ints bytes = four_bytes(panel + j * kGroup + c * 4);
      for (size_t r = 0; r < kRowVectors; ++r) add_products(sum[r][c], bytes, load_bytes(tails[r] + j * kSketchLanes));
    }
  }
  for (size_t c = 0; c < kLaneCenters; ++c) {
    const Floats step = broadcast(p.step[place + c]);
    for (size_t r = 0; r < kRowVectors; ++r) {
      t[r][c] = multiply_add(load(s.numbers->scale + row + r * kWidth), to_floats(sum[r][c]) * step, t[r][c]);
    }
  }
}
#endif

inline void lane_heads(const SketchForm& f, const SketchPanels& p, size_t place, const SketchRows& s, size_t row,
                       LaneSums& t) {
  const float* panel = p.heads + place / kGroup * f.heads * kGroup + place % kGroup;
  const float* heads[kRowVectors];
  for (size_t r = 0; r < kRowVectors; ++r) heads[r] = lanes_of(s.heads, row + r * kWidth, f.heads);
  for (size_t first = 0; first < f.heads; first += kSketchChunk) {
    const size_t end = first + kSketchChunk < f.heads ? first + kSketchChunk : f.heads;
    LaneSums sum;
    for (size_t r = 0; r < kRowVectors; ++r) {
      for (size_t c = 0; c < kLaneCenters; ++c) sum[r][c] = broadcast(0);
    }
    for (size_t j = first; j < end; ++j) {
      Floats x[kRowVectors];
      for (size_t r = 0; r < kRowVectors; ++r) x[r] = load(heads[r] + j * kSketchLanes);
      for (size_t c = 0; c < kLaneCenters; ++c) {
        const Floats own = broadcast(panel[j * kGroup + c]);
        for (size_t r = 0; r < kRowVectors; ++r) sum[r][c] = multiply_add(x[r], own, sum[r][c]);
      }
    }
    for (size_t r = 0; r < kRowVectors; ++r) {
      for (size_t c = 0; c < kLaneCenters; ++c) t[r][c] = add(t[r][c], sum[r][c]);
    }
  }
}

// The least sums of a tile's rows and a group: by all of their sketches or, kScreens, by heads and lengths alone.
template <bool kTails, bool kScreens>
inline void lane_minima(const SketchForm& f, const SketchPanels& p, size_t group, const SketchRows& s, size_t row,
                        float* found) {
  Floats least[kRowVectors];
  for (Floats& value : least) value = broadcast(kHuge);
  for (size_t place = group * kGroup; place < (group + 1) * kGroup; place += kLaneCenters) {
    LaneSums t;
    for (size_t c = 0; c < kLaneCenters; ++c) {
      const Floats start = broadcast(p.start[place + c]), tail = broadcast(p.tail[place + c]);
      for (size_t r = 0; r < kRowVectors; ++r) {
        t[r][c] = kScreens ? multiply_add(load(s.numbers->length + row + r * kWidth), tail, start) : start;
      }
    }
#if defined(MACQUEEN_BYTE_PRODUCTS)
    if constexpr (kTails && !kScreens) lane_tails(f, p, place, s, row, t);
#endif
    if (f.heads > 0) lane_heads(f, p, place, s, row, t);
    for (size_t r = 0; r < kRowVectors; ++r) {
      for (size_t c = 0; c < kLaneCenters; ++c) least[r] = minimum(least[r], t[r][c]);
    }
  }
  const Floats half_tail = broadcast(p.most[group * 3] * -0.5f), half_error = broadcast(p.most[group * 3 + 1] * -0.5f);
  for (size_t r = 0; r < kRowVectors; ++r) {
    const size_t i = row + r * kWidth;
    if constexpr (kTails && !kScreens) {
      const Floats width = multiply_add(load(s.numbers->error + i), half_tail, broadcast(0));
      least[r] = add(least[r], multiply_add(load(s.numbers->tail + i), half_error, width));
    }
    store(found + i, least[r]);
  }
}

template <bool kTails, bool kScreens>
void sketch_lanes_of(const SketchForm& f, const SketchPanels& p, size_t groups, const SketchRows& s, float* found) {
  for (size_t row = 0; row < kSketchRows; row += kRowVectors * kWidth) {  // they stay in the nearest cache
    for (size_t g = 0; g < groups; ++g) lane_minima<kTails, kScreens>(f, p, g, s, row, found + g * kSketchRows);
  }
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
