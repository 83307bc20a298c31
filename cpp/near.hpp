// Which rows are nearer to a candidate of k-means++ than to the centers so far.
//
// X = step * codes stands for a row x, with |scale (x - origin) - X| <= e; C and f likewise for a candidate c. Then
// scale |x - c| >= |X - C| - e - f. With D^2 the stored distance of the row, the computed distance to c is certainly
// not below it where |X - C| > r + f, r = e + scale * D (and a little more, for the rounding of both distances), that
// is
//
//   (|X|^2 - r^2) - 2 X.C - 2 r f > f^2 - |C|^2.
//
// X.C is an exact integer times both steps. The first term is the row's `base`, r its `reach`, the right side the
// candidate's `limit`. The left side has three roundings of float32 more than its terms, together below
// 2^-21 (|X|^2 + |C|^2 + r^2 + f^2) beside underflow; base and limit are moved by twice that, and 2^-120, to the safe
// side. What is not ruled out is computed in float64, as always: no bit depends on the screen.
#pragma once

#include "byte_products.hpp"
#include "distances.hpp"
#include "fetch.hpp"
#include "near_form.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

constexpr double kRounder = 0x1.8p52;  // y + kRounder - kRounder is the nearest integer

// Places a row (d,) on its grid; v (padded to 8,) scratch, codes (padded to 8,) out.
template <class T>
void near_code(const T* x, const NearForm& f, double* v, int8_t* codes, NearCode* out) {
  Doubles top = {}, all = {};
  for (size_t j = 0; j < f.d; j += kDoubleLanes) {
    const size_t count = f.d - j < kDoubleLanes ? f.d - j : kDoubleLanes;
    Doubles y = count == kDoubleLanes ? load_doubles(x + j) - load_doubles(f.origin + j)
                                      : load_doubles(x + j, count) - load_doubles(f.origin + j, count);
    y *= f.scale;
    memcpy(v + j, &y, sizeof y);
    top = larger_of(absolute(y), top);
    all += y * y;
  }
  double most = 0;
  for (size_t l = 0; l < kDoubleLanes; ++l) most = top[l] > most ? top[l] : most;
  const double step = most > 0x1p-100 ? static_cast<double>(static_cast<float>(most / 127)) : 0.0;
  const double inverse = step > 0 ? 1 / step : 0.0;
  Doubles squares = {}, gaps = {};
  for (size_t j = 0; j < f.d; j += kDoubleLanes) {
    Doubles y;
    memcpy(&y, v + j, sizeof y);
    const Doubles code =
        (y * inverse + kRounder) - kRounder;  // within +-127: the step's own rounding is far below 1 / 254
    const Doubles gap = y - step * code;
    squares += code * code;
    gaps += gap * gap;
    for (size_t l = 0; l < kDoubleLanes; ++l) codes[j + l] = static_cast<int8_t>(code[l]);
  }
  out->step = step;
  out->squares = step * step * sum_lanes(squares);
  out->error = __builtin_sqrt(sum_lanes(gaps)) * (1 + 0x1p-30) + __builtin_sqrt(sum_lanes(all)) * 0x1p-51 + 0x1p-140;
}

// sum += for each row of bytes (kWidth, 4), the products with the four codes of a candidate.
#if defined(__AVX512VNNI__)
using NearBytes = Ints;
inline NearBytes near_bytes(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline void near_products(Ints& sum, const NearBytes& bytes, const int8_t* codes, const int32_t*) {
  add_products(sum, bytes, codes);
}
#elif defined(__AVX512F__) || defined(__AVX2__) || defined(__SSE2__) || defined(__ARM_NEON)
struct NearBytes {
  Ints even, odd;  // 16-bit integers, two of each for a row
};
#if defined(__AVX512F__)
inline NearBytes near_bytes(const uint8_t* p) {
  const Ints bytes = _mm512_loadu_si512(p);
  return {_mm512_and_si512(bytes, broadcast_int(0x00ff00ff)), _mm512_srli_epi16(bytes, 8)};
}
inline Ints near_multiply(Ints a, int32_t b) { return _mm512_madd_epi16(a, broadcast_int(b)); }
#elif defined(__AVX2__)
inline NearBytes near_bytes(const uint8_t* p) {
  const Ints bytes = _mm256_loadu_si256(reinterpret_cast<const Ints*>(p));
  return {_mm256_and_si256(bytes, broadcast_int(0x00ff00ff)), _mm256_srli_epi16(bytes, 8)};
}
inline Ints near_multiply(Ints a, int32_t b) { return _mm256_madd_epi16(a, broadcast_int(b)); }
#elif defined(__SSE2__)
inline NearBytes near_bytes(const uint8_t* p) {
  const Ints bytes = _mm_loadu_si128(reinterpret_cast<const Ints*>(p));
  return {_mm_and_si128(bytes, broadcast_int(0x00ff00ff)), _mm_srli_epi16(bytes, 8)};
}
inline Ints near_multiply(Ints a, int32_t b) { return _mm_madd_epi16(a, broadcast_int(b)); }
#else
inline NearBytes near_bytes(const uint8_t* p) {
  const uint16x8_t bytes = vreinterpretq_u16_u8(vld1q_u8(p));
  return {vreinterpretq_s32_u16(vandq_u16(bytes, vdupq_n_u16(0xff))), vreinterpretq_s32_u16(vshrq_n_u16(bytes, 8))};
}
inline Ints near_multiply(Ints a, int32_t b) {
  const int16x8_t x = vreinterpretq_s16_s32(a), y = vreinterpretq_s16_s32(broadcast_int(b));
  return vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y));
}
#endif
inline void near_products(Ints& sum, const NearBytes& bytes, const int8_t*, const int32_t* pairs) {
  sum = add_ints(sum, add_ints(near_multiply(bytes.even, pairs[0]), near_multiply(bytes.odd, pairs[1])));
}
#else
using NearBytes = const uint8_t*;
inline NearBytes near_bytes(const uint8_t* p) { return p; }
inline void near_products(Ints& sum, const NearBytes& bytes, const int8_t* codes, const int32_t*) {
  for (size_t b = 0; b < 4; ++b) sum += static_cast<int32_t>(bytes[b]) * codes[b];
}
#endif

template <size_t... kI>
struct Places {};

// masks out: the rows of a panel that may be nearer to candidates first + 0, 1, ... Sums have constant indices, not
// loops: g++ 12 keeps an array that a loop goes through in memory.
template <size_t... kI>
inline void near_masks(Places<kI...>, const uint8_t* panel, const NearForm& f, const NearCandidates& c, size_t first,
                       uint32_t* masks) {
  const float* numbers = reinterpret_cast<const float*>(panel);
  const uint8_t* codes = panel + 3 * kNearLanes * sizeof(float);
  const size_t padded = f.padded();
  const int8_t* near_codes = c.codes + first * padded;
  const int32_t* near_pairs = c.pairs + first * padded / 2;
  ((masks[kI] = 0), ...);
  for (size_t v = 0; v < kNearLanes; v += kWidth) {
    Ints sum[sizeof...(kI)];
    ((sum[kI] = broadcast_int(c.offset[first + kI])), ...);
    for (size_t j = 0; j < padded; j += 4) {
      const NearBytes bytes = near_bytes(codes + j * kNearLanes + v * 4);
      (near_products(sum[kI], bytes, near_codes + kI * padded + j, near_pairs + (kI * padded + j) / 2), ...);
    }
    const Floats step = load(numbers + v), base = load(numbers + kNearLanes + v);
    const Floats reach = load(numbers + 2 * kNearLanes + v);
    const auto mask_of = [&](Ints products, size_t i) {
      const Floats product = multiply_add(to_floats(products) * step, broadcast(c.factor[i]), base);
      return at_most_mask(multiply_add(reach, broadcast(c.reach[i]), product), broadcast(c.limit[i]));
    };
    ((masks[kI] |= mask_of(sum[kI], first + kI) << v), ...);
  }
}

// masks (count,) out, of all candidates.
inline void all_near_masks(const uint8_t* panel, const NearForm& f, const NearCandidates& c, uint32_t* masks) {
  size_t first = 0;
  for (; first + 8 <= c.count; first += 8)
    near_masks(Places<0, 1, 2, 3, 4, 5, 6, 7>(), panel, f, c, first, masks + first);
  for (; first + 4 <= c.count; first += 4) near_masks(Places<0, 1, 2, 3>(), panel, f, c, first, masks + first);
  for (; first + 2 <= c.count; first += 2) near_masks(Places<0, 1>(), panel, f, c, first, masks + first);
  for (; first < c.count; ++first) near_masks(Places<0>(), panel, f, c, first, masks + first);
}

// Rows (n, d) of a block and their panels; nearest (n,): squared distances so far; candidates (count, d);
// pairs (kNearRows * kMostNear,) out. Returns how many; computed: in/out, distances so far.
template <class T>
size_t near_pairs(const T* rows, size_t n, const double* nearest, const NearForm& f, const uint8_t* panels,
                  const NearCandidates& c, const T* candidates, NearPair* pairs, size_t* computed) {
  uint16_t open[kNearRows * kMostNear];
  size_t opened = 0, found = 0;
  for (size_t first = 0; first < n; first += kNearLanes) {
    uint32_t masks[kMostNear], any = 0;
    all_near_masks(panels + first / kNearLanes * f.panel(), f, c, masks);
    for (size_t i = 0; i < c.count; ++i) {
      any |= masks[i];
      for (uint32_t mask = masks[i]; mask != 0; mask &= mask - 1) {
        const size_t row = first + static_cast<size_t>(__builtin_ctz(mask));
        open[opened++] = static_cast<uint16_t>(row * kMostNear + i);
      }
    }
    for (; any != 0; any &= any - 1) {
      fetch(rows + (first + static_cast<size_t>(__builtin_ctz(any))) * f.d, f.d * sizeof(T));
    }
  }
  for (size_t o = 0; o < opened; ++o) {
    const size_t row = open[o] / kMostNear, i = open[o] % kMostNear;
    const double distance = squared_distance(rows + row * f.d, candidates + i * f.d, f.d);
    if (distance < nearest[row]) pairs[found++] = {static_cast<uint32_t>(row), static_cast<uint32_t>(i), distance};
  }
  *computed += opened;
  return found;
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
