// Products of bytes, an unsigned and a signed one, four to each lane of 32 bits. They are exact where the signed ones
// are at most kMostSigned; those of two lanes together, where the unsigned ones are kByteBias more than values of at
// most kMostBiased.
#pragma once

#include "simd.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

typedef int32_t Int32 __attribute__((may_alias, aligned(1)));

#if defined(__AVX512VNNI__)
#define MACQUEEN_BYTE_PRODUCTS
constexpr bool kInt8Products = true;
constexpr int32_t kByteBias = 128, kMostBiased = 127, kMostSigned = 127;
#elif defined(__AVX512BW__) || defined(__AVX2__)
// Two products are added up in 16 bits, and where lanes come in twos, two of these sums.
#define MACQUEEN_BYTE_PRODUCTS
constexpr bool kInt8Products = true;
constexpr int32_t kByteBias = 64, kMostBiased = 63, kMostSigned = 64;
static_assert(2 * 255 * kMostSigned < 1 << 15 && 4 * (kByteBias + kMostBiased) * kMostSigned < 1 << 15);
#else
constexpr bool kInt8Products = false;
constexpr int32_t kByteBias = 0, kMostBiased = 127, kMostSigned = 127;
#endif

#if defined(MACQUEEN_BYTE_PRODUCTS)
#if defined(__AVX512F__)
inline Ints load_bytes(const void* p) { return _mm512_loadu_si512(p); }
// The first `count` > 0 bytes; the others are 0, and are not read.
inline Ints load_bytes(const void* p, size_t count) {
  return _mm512_maskz_loadu_epi8(count < 64 ? (__mmask64{1} << count) - 1 : ~__mmask64{0}, p);
}
inline Ints products_of(Ints bytes, Ints x) { return _mm512_maddubs_epi16(bytes, x); }
inline Ints add_shorts(Ints a, Ints b) { return _mm512_add_epi16(a, b); }
inline Ints sums_of_pairs(Ints shorts) { return _mm512_madd_epi16(shorts, broadcast_int(0x00010001)); }
#else
inline Ints load_bytes(const void* p) { return _mm256_loadu_si256(static_cast<const Ints*>(p)); }
inline Ints load_bytes(const void* p, size_t count) {
  if (count >= 32) return load_bytes(p);
  const Ints lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), whole = broadcast_int(static_cast<int32_t>(count / 4));
  const Ints found = _mm256_maskload_epi32(static_cast<const int*>(p), _mm256_cmpgt_epi32(whole, lanes));
  if (count % 4 == 0) return found;
  int32_t last = 0;
  memcpy(&last, static_cast<const char*>(p) + count / 4 * 4, count % 4);
  return _mm256_or_si256(found, _mm256_and_si256(_mm256_cmpeq_epi32(whole, lanes), broadcast_int(last)));
}
inline Ints products_of(Ints bytes, Ints x) { return _mm256_maddubs_epi16(bytes, x); }
inline Ints add_shorts(Ints a, Ints b) { return _mm256_add_epi16(a, b); }
// The ones are read from memory each time: a register less for sums, of which g++ 12 would keep one in memory instead.
alignas(32) constexpr int16_t kOneShorts[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
inline Ints sums_of_pairs(Ints shorts) {
  Ints sums;
  asm("vpmaddwd %2, %1, %0" : "=x"(sums) : "x"(shorts), "m"(kOneShorts));
  return sums;
}
#endif
inline Ints four_bytes(const void* p) { return broadcast_int(*static_cast<const Int32*>(p)); }
// Modulo 2^32: what is added to it brings it back into range.
inline uint32_t sum_of_lanes(Ints v) {
  uint32_t lanes[kWidth], sum = 0;
  memcpy(lanes, &v, sizeof lanes);
  for (const uint32_t lane : lanes) sum += lane;
  return sum;
}

#if !defined(__AVX512VNNI__)
// Signed bytes by their magnitudes and signs.
struct SignedBytes {
  Ints magnitudes, signs;
};
#if defined(__AVX512F__)
inline SignedBytes signed_bytes(Ints q) { return {_mm512_abs_epi8(q), q}; }
inline Ints with_signs(Ints x, Ints signs) {
  return _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(signs), _mm512_setzero_si512(), x);
}
#else
inline SignedBytes signed_bytes(Ints q) { return {_mm256_abs_epi8(q), q}; }
inline Ints with_signs(Ints x, Ints signs) { return _mm256_sign_epi8(x, signs); }
#endif
// sum += products of any signed bytes and others of at most 127: 2 128 127 < 2^15.
inline void add_products(Ints& sum, const SignedBytes& q, Ints x) {
  sum = add_ints(sum, sums_of_pairs(products_of(q.magnitudes, with_signs(x, q.signs))));
}
#endif

// sum += products. With VNNI in assembly, because g++ 12 copies every accumulator around the intrinsic, which takes as
// long as the products.
#if defined(__AVX512VNNI__)
inline void add_products(Ints& sum, Ints bytes, Ints x) { asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(bytes), "v"(x)); }
// The four signed bytes at x in each lane.
inline void add_products(Ints& sum, Ints bytes, const int8_t* x) {
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(bytes), "m"(*reinterpret_cast<const Int32*>(x)));
}
#else
inline void add_products(Ints& sum, Ints bytes, Ints x) { sum = add_ints(sum, sums_of_pairs(products_of(bytes, x))); }
#endif

// The same of two lanes each.
inline void add_products(Ints& sum, Ints bytes, Ints x, Ints more_bytes, Ints y) {
#if defined(__AVX512VNNI__)
  add_products(sum, bytes, x);
  add_products(sum, more_bytes, y);
#else
  sum = add_ints(sum, sums_of_pairs(add_shorts(products_of(bytes, x), products_of(more_bytes, y))));
#endif
}
#endif

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
