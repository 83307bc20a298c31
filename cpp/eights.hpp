// Eight values of 64 bits whatever the width of the registers: what is reported is summed in this fixed order. Where
// registers are narrower they come in halves, and these in halves: g++ 12 keeps wider vectors in memory.
#pragma once

#include "simd.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

constexpr size_t kDoubleLanes = 8;

template <class Half>
struct Halves {
  static constexpr size_t kCount = sizeof(Half) / 8;  // of the values of one
  using Value = decltype(Half{}[0] + 0);

  Half low, high;

  Value operator[](size_t l) const { return l < kCount ? low[l] : high[l - kCount]; }
  Halves operator-() const { return {-low, -high}; }
  Halves operator~() const { return {~low, ~high}; }
};

#define MACQUEEN_OF_HALVES(op)                                                             \
  template <class Half>                                                                    \
  inline Halves<Half> operator op(const Halves<Half>& a, const Halves<Half>& b) {          \
    return {a.low op b.low, a.high op b.high};                                             \
  }                                                                                        \
  template <class Half>                                                                    \
  inline Halves<Half> operator op(const Halves<Half>& a, typename Halves<Half>::Value b) { \
    return {a.low op b, a.high op b};                                                      \
  }                                                                                        \
  template <class Half>                                                                    \
  inline Halves<Half> operator op(typename Halves<Half>::Value a, const Halves<Half>& b) { \
    return {a op b.low, a op b.high};                                                      \
  }                                                                                        \
  template <class Half, class Other>                                                       \
  inline Halves<Half>& operator op## = (Halves<Half> & a, const Other& b) {                \
    return a = a op b;                                                                     \
  }
MACQUEEN_OF_HALVES(+)
MACQUEEN_OF_HALVES(-)
MACQUEEN_OF_HALVES(*)
MACQUEEN_OF_HALVES(&)
MACQUEEN_OF_HALVES(|)
MACQUEEN_OF_HALVES(<<)
MACQUEEN_OF_HALVES(>>)
#undef MACQUEEN_OF_HALVES

#if defined(__AVX512F__)
typedef double RegisterDoubles __attribute__((vector_size(64)));
typedef uint64_t RegisterLongs __attribute__((vector_size(64)));
using Doubles = RegisterDoubles;
using Longs = RegisterLongs;
#elif defined(__AVX2__)
typedef double RegisterDoubles __attribute__((vector_size(32)));
typedef uint64_t RegisterLongs __attribute__((vector_size(32)));
using Doubles = Halves<RegisterDoubles>;
using Longs = Halves<RegisterLongs>;
#else
typedef double RegisterDoubles __attribute__((vector_size(16)));
typedef uint64_t RegisterLongs __attribute__((vector_size(16)));
using Doubles = Halves<Halves<RegisterDoubles>>;
using Longs = Halves<Halves<RegisterLongs>>;
#endif

// The same bits as numbers of the other kind.
inline RegisterLongs as_longs(RegisterDoubles v) { return reinterpret_cast<RegisterLongs>(v); }
inline RegisterDoubles as_doubles(RegisterLongs v) { return reinterpret_cast<RegisterDoubles>(v); }
template <class Half>
inline auto as_longs(const Halves<Half>& v) {
  return Halves<decltype(as_longs(v.low))>{as_longs(v.low), as_longs(v.high)};
}
template <class Half>
inline auto as_doubles(const Halves<Half>& v) {
  return Halves<decltype(as_doubles(v.low))>{as_doubles(v.low), as_doubles(v.high)};
}

// All bits of the lanes of v that are at least `limit`, or that are not 0.
inline RegisterLongs reaches(RegisterDoubles v, double limit) { return reinterpret_cast<RegisterLongs>(v >= limit); }
inline RegisterLongs nonzero(RegisterDoubles v) { return reinterpret_cast<RegisterLongs>(v != 0); }
inline RegisterLongs nonzero(RegisterLongs v) { return reinterpret_cast<RegisterLongs>(v != 0); }
template <class Half>
inline auto reaches(const Halves<Half>& v, double limit) {
  return Halves<decltype(reaches(v.low, limit))>{reaches(v.low, limit), reaches(v.high, limit)};
}
template <class Half>
inline auto nonzero(const Halves<Half>& v) {
  return Halves<decltype(nonzero(v.low))>{nonzero(v.low), nonzero(v.high)};
}

inline RegisterDoubles larger_of(RegisterDoubles a, RegisterDoubles b) { return a > b ? a : b; }
template <class Half>
inline Halves<Half> larger_of(const Halves<Half>& a, const Halves<Half>& b) {
  return {larger_of(a.low, b.low), larger_of(a.high, b.high)};
}
inline Doubles absolute(const Doubles& v) { return as_doubles(as_longs(v) & ~(uint64_t{1} << 63)); }

// a b + c, rounded once.
inline RegisterDoubles fused(RegisterDoubles a, RegisterDoubles b, RegisterDoubles c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_pd(a, b, c);
#elif defined(__AVX2__)
  return _mm256_fmadd_pd(a, b, c);
#else
  for (size_t l = 0; l < 2; ++l) c[l] = __builtin_fma(a[l], b[l], c[l]);
  return c;
#endif
}
template <class Half>
inline Halves<Half> fused(const Halves<Half>& a, const Halves<Half>& b, const Halves<Half>& c) {
  return {fused(a.low, b.low, c.low), fused(a.high, b.high, c.high)};
}

// As many values at p as a V holds, in its type.
template <class V, class T>
inline V load_as(const T* p) {
  if constexpr (sizeof(V) > sizeof(RegisterDoubles)) {
    return {load_as<decltype(V::low)>(p), load_as<decltype(V::low)>(p + V::kCount)};
  } else {
    typedef T Loose __attribute__((vector_size(sizeof(V) / 8 * sizeof(T)), aligned(sizeof(T)), may_alias));
    return __builtin_convertvector(*reinterpret_cast<const Loose*>(p), V);
  }
}

// Eight values as float64; `count` < 8 pads with zeros, which change no bit of a sum of squares.
template <class T>
inline Doubles load_doubles(const T* p) {
  return load_as<Doubles>(p);
}
template <class T>
inline Doubles load_doubles(const T* p, size_t count) {
  T values[kDoubleLanes] = {};
  for (size_t l = 0; l < count; ++l) values[l] = p[l];
  return load_as<Doubles>(values);
}

inline uint64_t any_bits(const RegisterLongs& v) {
#if defined(__AVX512F__)
  return _mm512_test_epi64_mask(reinterpret_cast<__m512i>(v), reinterpret_cast<__m512i>(v));
#elif defined(__AVX2__)
  return _mm256_testz_si256(reinterpret_cast<__m256i>(v), reinterpret_cast<__m256i>(v)) == 0 ? 1 : 0;
#else
  return v[0] | v[1];
#endif
}
template <class Half>
inline uint64_t any_bits(const Halves<Half>& v) {
  return any_bits(v.low | v.high);
}
inline bool any_set(const Longs& v) { return any_bits(v) != 0; }

#if defined(__AVX2__) && !defined(__AVX512F__)
inline double sum_lanes(const Doubles& v) {
  const __m256d fours = v.low + v.high;
  const __m128d twos = _mm256_castpd256_pd128(fours) + _mm256_extractf128_pd(fours, 1);
  return twos[0] + twos[1];
}
#else
inline double sum_lanes(const Doubles& v) { return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7])); }
#endif

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
