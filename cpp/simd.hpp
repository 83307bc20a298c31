// Vectors of the instruction set that the including source is compiled for, and the few operations the
// screen needs on them. Included by cpp/isa/*.cpp only, inside one namespace per instruction set.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) || defined(__AVX2__) || defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

// Of integers: least_ints and most_ints; mix_bits takes from b the bits that are set in `mask`, from a the others.
#if defined(__AVX512F__)

constexpr size_t kWidth = 16;
constexpr size_t kTileRows = 8;
using Floats = __m512;
using Ints = __m512i;
inline Floats load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, Floats v) { _mm512_storeu_ps(p, v); }
inline Ints load_ints(const float* p) { return _mm512_loadu_si512(p); }
inline void store_ints(float* p, Ints v) { _mm512_storeu_si512(p, v); }
inline Floats broadcast(float x) { return _mm512_set1_ps(x); }
inline Ints broadcast_int(int32_t x) { return _mm512_set1_epi32(x); }
inline Floats to_floats(Ints v) { return _mm512_cvtepi32_ps(v); }
inline Ints add_ints(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
inline Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
inline Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
inline Floats minimum(Floats a, Floats b) { return _mm512_min_ps(a, b); }
inline Floats maximum(Floats a, Floats b) { return _mm512_max_ps(a, b); }
inline Ints select_below(Floats a, Floats b, Ints then, Ints otherwise) {
  return _mm512_mask_mov_epi32(otherwise, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), then);
}
inline uint32_t at_most_mask(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
inline Floats load_shorts(const uint16_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
}
inline void store_shorts(uint16_t* p, Floats v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtusepi32_epi16(_mm512_cvttps_epi32(v)));
}
inline Floats square_root(Floats a) { return _mm512_sqrt_ps(a); }
inline Floats magnitude(Floats a) { return _mm512_abs_ps(a); }
inline Floats choose_below(Floats a, Floats b, Floats then, Floats otherwise) {
  return _mm512_mask_mov_ps(otherwise, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), then);
}
inline Floats choose_equal(Ints a, Ints b, Floats then, Floats otherwise) {
  return _mm512_mask_mov_ps(otherwise, _mm512_cmpeq_epi32_mask(a, b), then);
}
inline Ints least_ints(Ints a, Ints b) { return _mm512_min_epi32(a, b); }
inline Ints most_ints(Ints a, Ints b) { return _mm512_max_epi32(a, b); }
inline Floats as_floats(Ints v) { return _mm512_castsi512_ps(v); }
inline Ints as_ints(Floats v) { return _mm512_castps_si512(v); }
inline Ints mix_bits(Ints a, Ints b, Ints mask) { return _mm512_ternarylogic_epi32(a, b, mask, 0xd8); }

#elif defined(__AVX2__)

constexpr size_t kWidth = 8;
constexpr size_t kTileRows = 4;
using Floats = __m256;
using Ints = __m256i;
inline Floats load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, Floats v) { _mm256_storeu_ps(p, v); }
inline Ints load_ints(const float* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
inline void store_ints(float* p, Ints v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
inline Floats broadcast(float x) { return _mm256_set1_ps(x); }
inline Ints broadcast_int(int32_t x) { return _mm256_set1_epi32(x); }
inline Floats to_floats(Ints v) { return _mm256_cvtepi32_ps(v); }
inline Ints add_ints(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
inline Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
inline Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
inline Floats minimum(Floats a, Floats b) { return _mm256_min_ps(a, b); }
inline Floats maximum(Floats a, Floats b) { return _mm256_max_ps(a, b); }
inline Ints select_below(Floats a, Floats b, Ints then, Ints otherwise) {
  return _mm256_blendv_epi8(otherwise, then, _mm256_castps_si256(_mm256_cmp_ps(a, b, _CMP_LT_OQ)));
}
inline uint32_t at_most_mask(Floats a, Floats b) {
  return static_cast<uint32_t>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_LE_OQ)));
}
inline Floats load_shorts(const uint16_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
inline void store_shorts(uint16_t* p, Floats v) {
  const __m256i whole = _mm256_cvttps_epi32(v);
  const __m128i packed = _mm_packus_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), packed);
}
inline Floats square_root(Floats a) { return _mm256_sqrt_ps(a); }
inline Floats magnitude(Floats a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
inline Floats choose_below(Floats a, Floats b, Floats then, Floats otherwise) {
  return _mm256_blendv_ps(otherwise, then, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
inline Floats choose_equal(Ints a, Ints b, Floats then, Floats otherwise) {
  return _mm256_blendv_ps(otherwise, then, _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, b)));
}
inline Ints least_ints(Ints a, Ints b) { return _mm256_min_epi32(a, b); }
inline Ints most_ints(Ints a, Ints b) { return _mm256_max_epi32(a, b); }
inline Floats as_floats(Ints v) { return _mm256_castsi256_ps(v); }
inline Ints as_ints(Floats v) { return _mm256_castps_si256(v); }
inline Ints mix_bits(Ints a, Ints b, Ints mask) {
  return _mm256_or_si256(_mm256_andnot_si256(mask, a), _mm256_and_si256(b, mask));
}

#elif defined(__SSE2__)

constexpr size_t kWidth = 4;
constexpr size_t kTileRows = 4;
using Floats = __m128;
using Ints = __m128i;
inline Floats load(const float* p) { return _mm_loadu_ps(p); }
inline void store(float* p, Floats v) { _mm_storeu_ps(p, v); }
inline Ints load_ints(const float* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
inline void store_ints(float* p, Ints v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), v); }
inline Floats broadcast(float x) { return _mm_set1_ps(x); }
inline Ints broadcast_int(int32_t x) { return _mm_set1_epi32(x); }
inline Floats to_floats(Ints v) { return _mm_cvtepi32_ps(v); }
inline Ints add_ints(Ints a, Ints b) { return _mm_add_epi32(a, b); }
inline Floats add(Floats a, Floats b) { return _mm_add_ps(a, b); }
inline Floats multiply_add(Floats a, Floats b, Floats c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
inline Floats minimum(Floats a, Floats b) { return _mm_min_ps(a, b); }
inline Floats maximum(Floats a, Floats b) { return _mm_max_ps(a, b); }
inline Ints select_below(Floats a, Floats b, Ints then, Ints otherwise) {
  const Ints mask = _mm_castps_si128(_mm_cmplt_ps(a, b));
  return _mm_or_si128(_mm_and_si128(mask, then), _mm_andnot_si128(mask, otherwise));
}
inline uint32_t at_most_mask(Floats a, Floats b) { return static_cast<uint32_t>(_mm_movemask_ps(_mm_cmple_ps(a, b))); }
inline Floats load_shorts(const uint16_t* p) {
  const __m128i packed = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return _mm_cvtepi32_ps(_mm_unpacklo_epi16(packed, _mm_setzero_si128()));
}
inline void store_shorts(uint16_t* p, Floats v) {
  int32_t whole[4];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(whole), _mm_cvttps_epi32(v));
  for (int l = 0; l < 4; ++l) p[l] = static_cast<uint16_t>(whole[l]);
}
inline Floats square_root(Floats a) { return _mm_sqrt_ps(a); }
inline Floats magnitude(Floats a) { return _mm_andnot_ps(_mm_set1_ps(-0.0f), a); }
inline Floats choose_below(Floats a, Floats b, Floats then, Floats otherwise) {
  const Floats mask = _mm_cmplt_ps(a, b);
  return _mm_or_ps(_mm_and_ps(mask, then), _mm_andnot_ps(mask, otherwise));
}
inline Floats choose_equal(Ints a, Ints b, Floats then, Floats otherwise) {
  const Floats mask = _mm_castsi128_ps(_mm_cmpeq_epi32(a, b));
  return _mm_or_ps(_mm_and_ps(mask, then), _mm_andnot_ps(mask, otherwise));
}
inline Ints mix_bits(Ints a, Ints b, Ints mask) {
  return _mm_or_si128(_mm_andnot_si128(mask, a), _mm_and_si128(b, mask));
}
inline Ints least_ints(Ints a, Ints b) { return mix_bits(a, b, _mm_cmpgt_epi32(a, b)); }
inline Ints most_ints(Ints a, Ints b) { return mix_bits(b, a, _mm_cmpgt_epi32(a, b)); }
inline Floats as_floats(Ints v) { return _mm_castsi128_ps(v); }
inline Ints as_ints(Floats v) { return _mm_castps_si128(v); }

#elif defined(__ARM_NEON)

constexpr size_t kWidth = 4;
constexpr size_t kTileRows = 8;
using Floats = float32x4_t;
using Ints = int32x4_t;
inline Floats load(const float* p) { return vld1q_f32(p); }
inline void store(float* p, Floats v) { vst1q_f32(p, v); }
inline Ints load_ints(const float* p) { return vreinterpretq_s32_f32(vld1q_f32(p)); }
inline void store_ints(float* p, Ints v) { vst1q_f32(p, vreinterpretq_f32_s32(v)); }
inline Floats broadcast(float x) { return vdupq_n_f32(x); }
inline Ints broadcast_int(int32_t x) { return vdupq_n_s32(x); }
inline Floats to_floats(Ints v) { return vcvtq_f32_s32(v); }
inline Ints add_ints(Ints a, Ints b) { return vaddq_s32(a, b); }
inline Floats add(Floats a, Floats b) { return vaddq_f32(a, b); }
inline Floats multiply_add(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }
inline Floats minimum(Floats a, Floats b) { return vminq_f32(a, b); }
inline Floats maximum(Floats a, Floats b) { return vmaxq_f32(a, b); }
inline Ints select_below(Floats a, Floats b, Ints then, Ints otherwise) {
  return vbslq_s32(vcltq_f32(a, b), then, otherwise);
}
inline uint32_t at_most_mask(Floats a, Floats b) {
  const uint32x4_t bits = {1, 2, 4, 8};
  return vaddvq_u32(vandq_u32(vcleq_f32(a, b), bits));
}
inline Floats load_shorts(const uint16_t* p) { return vcvtq_f32_u32(vmovl_u16(vld1_u16(p))); }
inline void store_shorts(uint16_t* p, Floats v) { vst1_u16(p, vqmovn_u32(vcvtq_u32_f32(v))); }
inline Floats square_root(Floats a) { return vsqrtq_f32(a); }
inline Floats magnitude(Floats a) { return vabsq_f32(a); }
inline Floats choose_below(Floats a, Floats b, Floats then, Floats otherwise) {
  return vbslq_f32(vcltq_f32(a, b), then, otherwise);
}
inline Floats choose_equal(Ints a, Ints b, Floats then, Floats otherwise) {
  return vbslq_f32(vceqq_s32(a, b), then, otherwise);
}
inline Ints least_ints(Ints a, Ints b) { return vminq_s32(a, b); }
inline Ints most_ints(Ints a, Ints b) { return vmaxq_s32(a, b); }
inline Floats as_floats(Ints v) { return vreinterpretq_f32_s32(v); }
inline Ints as_ints(Floats v) { return vreinterpretq_s32_f32(v); }
inline Ints mix_bits(Ints a, Ints b, Ints mask) { return vbslq_s32(vreinterpretq_u32_s32(mask), b, a); }

#else

// A processor we have no vectors for: one value at a time.
constexpr size_t kWidth = 1;
constexpr size_t kTileRows = 4;
using Floats = float;
using Ints = int32_t;
inline Floats load(const float* p) { return *p; }
inline void store(float* p, Floats v) { *p = v; }
inline Ints load_ints(const float* p) {
  Ints v;
  memcpy(&v, p, sizeof v);
  return v;
}
inline void store_ints(float* p, Ints v) { memcpy(p, &v, sizeof v); }
inline Floats broadcast(float x) { return x; }
inline Ints broadcast_int(int32_t x) { return x; }
inline Floats to_floats(Ints v) { return static_cast<float>(v); }
inline Ints add_ints(Ints a, Ints b) { return a + b; }
inline Floats add(Floats a, Floats b) { return a + b; }
inline Floats multiply_add(Floats a, Floats b, Floats c) { return a * b + c; }
inline Floats minimum(Floats a, Floats b) { return a < b ? a : b; }
inline Floats maximum(Floats a, Floats b) { return a < b ? b : a; }
inline Ints select_below(Floats a, Floats b, Ints then, Ints otherwise) { return a < b ? then : otherwise; }
inline uint32_t at_most_mask(Floats a, Floats b) { return a <= b ? 1u : 0u; }
inline Floats load_shorts(const uint16_t* p) { return static_cast<float>(*p); }
inline void store_shorts(uint16_t* p, Floats v) { *p = static_cast<uint16_t>(v); }
inline Floats square_root(Floats a) { return __builtin_sqrtf(a); }
inline Floats magnitude(Floats a) { return __builtin_fabsf(a); }
inline Floats choose_below(Floats a, Floats b, Floats then, Floats otherwise) { return a < b ? then : otherwise; }
inline Floats choose_equal(Ints a, Ints b, Floats then, Floats otherwise) { return a == b ? then : otherwise; }
inline Ints least_ints(Ints a, Ints b) { return a < b ? a : b; }
inline Ints most_ints(Ints a, Ints b) { return a < b ? b : a; }
inline Floats as_floats(Ints v) {
  Floats f;
  memcpy(&f, &v, sizeof f);
  return f;
}
inline Ints as_ints(Floats v) { return load_ints(&v); }
inline Ints mix_bits(Ints a, Ints b, Ints mask) { return (a & ~mask) | (b & mask); }

#endif

constexpr size_t kTileVectors = 2;
constexpr size_t kLanes = kTileVectors * kWidth;
constexpr size_t kBlockRows = 128;
static_assert(kBlockRows % kTileRows == 0);

// Lane l of vector i becomes lane i of vector l.
#if defined(__AVX512F__)
inline void transpose(Ints (&v)[kWidth]) {
  Ints twos[kWidth], fours[kWidth];  // of as many vectors, side by side in each quarter
  for (size_t i = 0; i < kWidth; i += 2) {
    twos[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
    twos[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
  }
  for (size_t i = 0; i < kWidth; i += 4) {
    fours[i] = _mm512_unpacklo_epi64(twos[i], twos[i + 2]);
    fours[i + 1] = _mm512_unpackhi_epi64(twos[i], twos[i + 2]);
    fours[i + 2] = _mm512_unpacklo_epi64(twos[i + 1], twos[i + 3]);
    fours[i + 3] = _mm512_unpackhi_epi64(twos[i + 1], twos[i + 3]);
  }
  for (size_t l = 0; l < 4; ++l) {  // quarter q of fours[4 i + l]: lane 4 q + l of four vectors
    const Ints even = _mm512_shuffle_i32x4(fours[l], fours[4 + l], 0x88);
    const Ints odd = _mm512_shuffle_i32x4(fours[l], fours[4 + l], 0xdd);
    const Ints later_even = _mm512_shuffle_i32x4(fours[8 + l], fours[12 + l], 0x88);
    const Ints later_odd = _mm512_shuffle_i32x4(fours[8 + l], fours[12 + l], 0xdd);
    v[l] = _mm512_shuffle_i32x4(even, later_even, 0x88);
    v[4 + l] = _mm512_shuffle_i32x4(odd, later_odd, 0x88);
    v[8 + l] = _mm512_shuffle_i32x4(even, later_even, 0xdd);
    v[12 + l] = _mm512_shuffle_i32x4(odd, later_odd, 0xdd);
  }
}
#elif defined(__AVX2__)
inline void transpose(Ints (&v)[kWidth]) {
  Ints fours[kWidth];  // of four vectors, lane l and 4 + l
  for (size_t i = 0; i < kWidth; i += 4) {
    const Ints low = _mm256_unpacklo_epi32(v[i], v[i + 1]), high = _mm256_unpackhi_epi32(v[i], v[i + 1]);
    const Ints next_low = _mm256_unpacklo_epi32(v[i + 2], v[i + 3]);
    const Ints next_high = _mm256_unpackhi_epi32(v[i + 2], v[i + 3]);
    fours[i] = _mm256_unpacklo_epi64(low, next_low);
    fours[i + 1] = _mm256_unpackhi_epi64(low, next_low);
    fours[i + 2] = _mm256_unpacklo_epi64(high, next_high);
    fours[i + 3] = _mm256_unpackhi_epi64(high, next_high);
  }
  for (size_t l = 0; l < 4; ++l) {
    v[l] = _mm256_permute2x128_si256(fours[l], fours[4 + l], 0x20);
    v[4 + l] = _mm256_permute2x128_si256(fours[l], fours[4 + l], 0x31);
  }
}
#else
inline void transpose(Ints (&v)[kWidth]) {
  float lanes[kWidth][kWidth], column[kWidth];
  for (size_t i = 0; i < kWidth; ++i) store_ints(lanes[i], v[i]);
  for (size_t l = 0; l < kWidth; ++l) {
    for (size_t i = 0; i < kWidth; ++i) memcpy(&column[i], &lanes[i][l], sizeof(float));
    v[l] = load_ints(column);
  }
}
#endif

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
