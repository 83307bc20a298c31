// Which of the sums of a group and some rows count: the least ones, and lists of rows.
#pragma once

#include "sketch.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

// The least of the kGroup values of kRows rows, kSketchTile or half of it, into `out` (kSketchTile,); returns which of
// them do not pass the limit of their row.
#if defined(__AVX512F__)
template <size_t kRows>
inline uint32_t row_minima(const Floats (*t)[kGroupVectors], const float* limits, const uint8_t* rows, float* out) {
  const auto halves = [](Floats a, Floats b) {
    return minimum(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  };
  const auto quarters = [](Floats a, Floats b) {
    return minimum(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
  };
  const Floats low = quarters(halves(t[0][0], t[1][0]), halves(t[2][0], t[3][0]));
  Floats high = low;
  if constexpr (kRows == kSketchTile) high = quarters(halves(t[4][0], t[5][0]), halves(t[6][0], t[7][0]));
  const Floats pairs = minimum(_mm512_unpacklo_ps(low, high), _mm512_unpackhi_ps(low, high));
  const Floats least = minimum(pairs, _mm512_shuffle_ps(pairs, pairs, 0x4e));
  const Ints order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m256 in_order = _mm512_castps512_ps256(_mm512_permutexvar_ps(order, least));
  _mm256_storeu_ps(out, in_order);
  const __m256i places = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(rows)));
  return _mm256_cmp_ps_mask(in_order, _mm256_i32gather_ps(limits, places, sizeof(float)), _CMP_LE_OQ);
}
#elif defined(__AVX2__)
template <size_t kRows>
inline uint32_t row_minima(const Floats (*t)[kGroupVectors], const float* limits, const uint8_t* rows, float* out) {
  const auto two = [&t](size_t row) __attribute__((always_inline)) {  // rows, in turn
    const Floats a = minimum(t[row][0], t[row][1]), b = minimum(t[row + 1][0], t[row + 1][1]);
    return minimum(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
  };
  const Floats low = two(0);
  const Floats high = kRows == kSketchTile ? two(kRows - 2) : low;
  const Floats halves = minimum(_mm256_shuffle_ps(low, high, 0x44), _mm256_shuffle_ps(low, high, 0xee));
  const __m128 least = _mm_min_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
  _mm_storeu_ps(out, least);
  const __m128 limit = _mm_setr_ps(limits[rows[0]], limits[rows[1]], limits[rows[2]], limits[rows[3]]);
  return static_cast<uint32_t>(_mm_movemask_ps(_mm_cmple_ps(least, limit)));
}
#else
template <size_t kRows>
inline uint32_t row_minima(const Floats (*t)[kGroupVectors], const float* limits, const uint8_t* rows, float* out) {
  uint32_t near = 0;
  for (size_t r = 0; r < kRows; ++r) {
    Floats least = t[r][0];
    for (size_t v = 1; v < kGroupVectors; ++v) least = minimum(least, t[r][v]);
    float lanes[kWidth];
    store(lanes, least);
    out[r] = lanes[0];
    for (size_t l = 1; l < kWidth; ++l) out[r] = lanes[l] < out[r] ? lanes[l] : out[r];
    near |= out[r] <= limits[rows[r]] ? 1u << r : 0u;
  }
  return near;
}
#endif

// t with kHuge in those lanes whose bit is set.
inline Floats without_lanes(Floats t, uint32_t bits) { return choose_lanes(bits, broadcast(kHuge), t); }

inline float least_of(const Floats (&t)[kGroupVectors]) {
  Floats least = t[0];
  for (size_t v = 1; v < kGroupVectors; ++v) least = minimum(least, t[v]);
  return lowest_of(least);
}

// Appends first + the lanes of `mask` to a list.
inline void append_rows(uint32_t mask, size_t first, uint8_t* list, int32_t& count) {
#if defined(__AVX512F__)
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i rows = _mm512_add_epi32(lanes, _mm512_set1_epi32(static_cast<int32_t>(first)));
  const __m128i packed = _mm512_cvtepi32_epi8(_mm512_maskz_compress_epi32(static_cast<__mmask16>(mask), rows));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(list + count), packed);  // lists have room for a vector more
  count += __builtin_popcount(mask);
#elif defined(__AVX2__)
  uint64_t lanes;
  memcpy(&lanes, kSetBits.places[mask], sizeof lanes);
  lanes += first * 0x0101010101010101u;
  memcpy(list + count, &lanes, sizeof lanes);  // lists have room for a vector more
  count += __builtin_popcount(mask);
#else
  for (; mask != 0; mask &= mask - 1) list[count++] = static_cast<uint8_t>(first + __builtin_ctz(mask));
#endif
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
