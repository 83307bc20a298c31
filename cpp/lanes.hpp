// Lanes of vectors one by one: some of them loaded, chosen, compressed, or narrowed; all of them summed or compared.
#pragma once

#include "simd.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

#if defined(__AVX512F__)
// The first `count` values, at most a vector; the other lanes are 0, and are not read.
inline Floats load_first(const float* p, size_t count) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), p);
}
// Lane by lane, `then` where the bit is set.
inline Floats choose_lanes(uint32_t bits, Floats then, Floats otherwise) {
  return _mm512_mask_mov_ps(otherwise, static_cast<__mmask16>(bits), then);
}
// The lanes whose bit is set, first; any after them.
inline Floats compressed(uint32_t bits, Floats v) { return _mm512_maskz_compress_ps(static_cast<__mmask16>(bits), v); }
inline Ints compressed(uint32_t bits, Ints v) { return _mm512_maskz_compress_epi32(static_cast<__mmask16>(bits), v); }
// The lowest byte of each lane.
inline void store_low_bytes(uint8_t* p, Ints v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(v));
}
inline Ints truncated(Floats v) { return _mm512_cvttps_epi32(v); }
// Whole numbers as 16-bit integers, those of `low` first; what does not fit, or is no number, becomes any.
inline Ints to_pairs(Floats low, Floats high) {
  const __m256i first = _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(low));
  return _mm512_inserti64x4(_mm512_castsi256_si512(first), _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(high)), 1);
}
inline float sum_of(Floats v) { return _mm512_reduce_add_ps(v); }
inline float lowest_of(Floats v) { return _mm512_reduce_min_ps(v); }
inline float highest_of(Floats v) { return _mm512_reduce_max_ps(v); }

#elif defined(__AVX2__)
// The places of the bits that are set in each byte, ascending.
struct SetBits {
  uint8_t places[256][8] = {};
  constexpr SetBits() {
    for (unsigned mask = 0; mask < 256; ++mask) {
      for (unsigned bit = 0, count = 0; bit < 8; ++bit) {
        if ((mask >> bit & 1) != 0) places[mask][count++] = static_cast<uint8_t>(bit);
      }
    }
  }
};
constexpr SetBits kSetBits;

inline Floats load_first(const float* p, size_t count) {
  const Ints lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(broadcast_int(static_cast<int32_t>(count)), lanes));
}
inline Floats choose_lanes(uint32_t bits, Floats then, Floats otherwise) {
  const Ints each = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const Ints set = _mm256_cmpeq_epi32(_mm256_and_si256(broadcast_int(static_cast<int32_t>(bits)), each), each);
  return _mm256_blendv_ps(otherwise, then, _mm256_castsi256_ps(set));
}
inline Ints set_places(uint32_t bits) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(kSetBits.places[bits])));
}
inline Floats compressed(uint32_t bits, Floats v) { return _mm256_permutevar8x32_ps(v, set_places(bits)); }
inline Ints compressed(uint32_t bits, Ints v) { return _mm256_permutevar8x32_epi32(v, set_places(bits)); }
inline void store_low_bytes(uint8_t* p, Ints v) {
  const Ints lowest = _mm256_setr_epi32(0x0c080400, 0, 0, 0, 0x0c080400, 0, 0, 0);  // of each half, into its first lane
  const Ints halves = _mm256_shuffle_epi8(v, lowest);
  const int32_t bytes[2] = {_mm256_extract_epi32(halves, 0), _mm256_extract_epi32(halves, 4)};
  memcpy(p, bytes, sizeof bytes);
}
inline Ints truncated(Floats v) { return _mm256_cvttps_epi32(v); }
inline Ints to_pairs(Floats low, Floats high) {
  const Ints quarters = _mm256_packs_epi32(_mm256_cvtps_epi32(low), _mm256_cvtps_epi32(high));
  return _mm256_permute4x64_epi64(quarters, 0xd8);
}
template <class Merge>
inline float merged_lanes(Floats v, const Merge& merge) {
  const __m128 four = merge(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = merge(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(merge(two, _mm_movehdup_ps(two)));
}
inline float sum_of(Floats v) {
  return merged_lanes(v, [](__m128 a, __m128 b) { return _mm_add_ps(a, b); });
}
inline float lowest_of(Floats v) {
  return merged_lanes(v, [](__m128 a, __m128 b) { return _mm_min_ps(a, b); });
}
inline float highest_of(Floats v) {
  return merged_lanes(v, [](__m128 a, __m128 b) { return _mm_max_ps(a, b); });
}

#else
inline Floats load_first(const float* p, size_t count) {
  float v[kWidth] = {};
  for (size_t l = 0; l < count; ++l) v[l] = p[l];
  return load(v);
}
inline Floats choose_lanes(uint32_t bits, Floats then, Floats otherwise) {
  float one[kWidth], other[kWidth];
  store(one, then);
  store(other, otherwise);
  for (size_t l = 0; l < kWidth; ++l) other[l] = (bits >> l & 1) != 0 ? one[l] : other[l];
  return load(other);
}
inline Floats compressed(uint32_t bits, Floats v) {
  float lanes[kWidth], kept[kWidth] = {};
  store(lanes, v);
  for (size_t count = 0; bits != 0; bits &= bits - 1) kept[count++] = lanes[__builtin_ctz(bits)];
  return load(kept);
}
inline Ints compressed(uint32_t bits, Ints v) {
  float lanes[kWidth], kept[kWidth] = {};
  store_ints(lanes, v);
  for (size_t count = 0; bits != 0; bits &= bits - 1) memcpy(&kept[count++], &lanes[__builtin_ctz(bits)], sizeof *kept);
  return load_ints(kept);
}
inline void store_low_bytes(uint8_t* p, Ints v) {
  float lanes[kWidth];
  uint32_t words[kWidth];
  store_ints(lanes, v);
  memcpy(words, lanes, sizeof words);
  for (size_t l = 0; l < kWidth; ++l) p[l] = static_cast<uint8_t>(words[l]);
}
inline Ints truncated(Floats v) {
  float lanes[kWidth];
  int32_t words[kWidth];
  store(lanes, v);
  for (size_t l = 0; l < kWidth; ++l) words[l] = static_cast<int32_t>(lanes[l]);
  memcpy(lanes, words, sizeof lanes);
  return load_ints(lanes);
}
inline Ints to_pairs(Floats low, Floats high) {
  float values[2 * kWidth];
  int16_t pairs[2 * kWidth];
  store(values, low);
  store(values + kWidth, high);
  for (size_t l = 0; l < 2 * kWidth; ++l) {
    const float within = values[l] < 32767 ? values[l] : 32767;
    pairs[l] = static_cast<int16_t>(within > -32767 ? within : -32767);
  }
  return load_ints(reinterpret_cast<const float*>(pairs));
}
inline float sum_of(Floats v) {
  float lanes[kWidth], sum = 0;
  store(lanes, v);
  for (size_t l = 0; l < kWidth; ++l) sum += lanes[l];
  return sum;
}
inline float lowest_of(Floats v) {
  float lanes[kWidth];
  store(lanes, v);
  for (size_t l = 1; l < kWidth; ++l) lanes[0] = lanes[l] < lanes[0] ? lanes[l] : lanes[0];
  return lanes[0];
}
inline float highest_of(Floats v) {
  float lanes[kWidth];
  store(lanes, v);
  for (size_t l = 1; l < kWidth; ++l) lanes[0] = lanes[l] > lanes[0] ? lanes[l] : lanes[0];
  return lanes[0];
}
#endif

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
