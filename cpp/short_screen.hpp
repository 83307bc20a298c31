// The 16-bit screen: as cpp/screen.hpp, with twice the coordinates in a vector. Coarser, so that it leaves more rows
// open; those go to the float32 screen.
//
// X, C, x, c and u are those of cpp/screen.hpp. A row is stored as x^ = s a, a integers, s = N / kGridNorm with N >=
// |x|, and a center as c^ = s' b with one s' for all centers. The products a.b are exact: |a| |b| < 2^31. From
//
//   X.C = x^.c^ + (X - x^).C + x^.(C - c^),   |X - x^| <= beta N,   |x^| <= 1.01 N,   |C - c^| <= e
//
// with beta = half the diagonal of a cell, sqrt(d) / (2 kGridNorm), plus 2^-20 for rounding and underflow, follows for
// S = |X - C|^2 - |X|^2 that
//
//   t = A - 2 s s' a.b - B N,   A ~ |C|^2 rounded down,   B ~ 2 (1.01 e + beta |C|) rounded up
//
// is a lower bound of S, and S <= t + 2 B N + what A was rounded by. The few roundings of t are below 8 u of its terms,
// |C|^2, 2.1 N |C| and B N, and are covered by taking as much off A and adding it to B twice over.
#pragma once

#include "assign.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

constexpr double kGridNorm = 32000;    // of stored rows and of the longest center, in steps of their grid
constexpr double kShortest = 0x1p-60;  // rows below it are stored as 0
constexpr size_t kMostShortDims = 8192;

// sum += the products of the two 16-bit integers of each lane. In assembly, because g++ 12 copies accumulators around
// the intrinsics.
#if defined(__AVX512F__)
#if defined(__AVX512VNNI__)
inline void add_pairs(Ints& sum, Ints a, Ints b) { asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b)); }
#else
inline void add_pairs(Ints& sum, Ints a, Ints b) {
  Ints both;
  asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+v"(sum), "=&v"(both) : "v"(a), "v"(b));
}
#endif
inline Ints no_ints() { return _mm512_setzero_si512(); }
#elif defined(__AVX2__)
inline void add_pairs(Ints& sum, Ints a, Ints b) {
  Ints both;
  asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(both) : "x"(a), "x"(b));
}
inline Ints no_ints() { return _mm256_setzero_si256(); }
#elif defined(__SSE2__)
inline void add_pairs(Ints& sum, Ints a, Ints b) { sum = _mm_add_epi32(sum, _mm_madd_epi16(a, b)); }
inline Ints no_ints() { return _mm_setzero_si128(); }
#elif defined(__ARM_NEON)
inline void add_pairs(Ints& sum, Ints a, Ints b) {
  const int16x8_t x = vreinterpretq_s16_s32(a), y = vreinterpretq_s16_s32(b);
  sum = vaddq_s32(sum, vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y)));
}
inline Ints no_ints() { return vdupq_n_s32(0); }
#else
inline void add_pairs(Ints& sum, Ints a, Ints b) {
  int16_t x[2], y[2];
  memcpy(x, &a, sizeof x);
  memcpy(y, &b, sizeof y);
  sum += x[0] * y[0] + x[1] * y[1];
}
inline Ints no_ints() { return 0; }
#endif

inline Ints load_pairs(const int16_t* p) { return load_ints(reinterpret_cast<const float*>(p)); }
inline void store_pairs(int16_t* p, Ints v) { store_ints(reinterpret_cast<float*>(p), v); }
inline Ints broadcast_pair(const int16_t* p) {
  int32_t both;
  memcpy(&both, p, sizeof both);
  return broadcast_int(both);
}

// Rounds v (d,) to a grid; out (pairs, 2). Returns the length of what that changed.
inline double to_short_grid(const float* v, size_t d, double step, int16_t* out) {
  const float inverse = step > 0 ? static_cast<float>(1 / step) : 0;
  for (size_t j = 0; j < d; ++j) out[j] = static_cast<int16_t>(__builtin_rintf(v[j] * inverse));
  if (d % 2 != 0) out[d] = 0;
  double squares = 0;
  for (size_t j = 0; j < d; ++j) {
    const double gap = static_cast<double>(v[j]) - step * static_cast<double>(out[j]);
    squares += gap * gap;
  }
  return __builtin_sqrt(squares) * (1 + 0x1p-30);
}

// Centers (k, d), whose float32 screen is there, onto the grid; tells whether it fits them: none is far longer than
// most of them, nor are all next to nothing.
template <class T>
bool pack_short(const T* centers, const Screen& s, float* scratch, ShortScreen& out) {
  double usual = 0;
  for (size_t c = 0; c < s.k; ++c) {
    double squares = 0;
    for (size_t j = 0; j < s.d; ++j) {
      const double v = static_cast<double>(screened(centers[c * s.d + j], s, j));
      squares += v * v;
    }
    usual += squares / static_cast<double>(s.k);
  }
  const double longest = s.largest_norm;
  if (s.d > kMostShortDims || !(longest > 0x1p-20) || !(longest * longest <= 64 * usual)) return false;
  out.step = longest / kGridNorm;
  out.beta = 1.01 * 0.5 * __builtin_sqrt(static_cast<double>(s.d)) / kGridNorm + 0x1p-20;
  int16_t* values = reinterpret_cast<int16_t*>(scratch + s.d);  // (pairs, 2)
  for (size_t lane = 0; lane < s.panels * kLanes; ++lane) {
    int16_t* column = out.packed + lane / kLanes * out.pairs * kLanes * 2 + lane % kLanes * 2;
    double norm = 0, error = 0;
    for (size_t j = 0; j < 2 * out.pairs; ++j) values[j] = 0;
    if (lane < s.k) {
      double squares = 0;
      for (size_t j = 0; j < s.d; ++j) {
        scratch[j] = screened(centers[lane * s.d + j], s, j);
        squares += static_cast<double>(scratch[j]) * static_cast<double>(scratch[j]);
      }
      norm = __builtin_sqrt(squares) * (1 + 0x1p-30) + 0x1p-75;
      error = to_short_grid(scratch, s.d, out.step, values) + 1.03 * kUnit * norm + 0x1p-75;
      out.start[lane] = next_down(squares * (1 - 40 * kUnit) - 0x1p-90);
    } else {
      out.start[lane] = kHuge;
    }
    for (size_t j = 0; j < out.pairs; ++j) memcpy(column + j * kLanes * 2, values + 2 * j, 2 * sizeof(int16_t));
    const float bound = next_up(2.02 * (1.01 * error + out.beta * norm) + 60 * kUnit * norm);
    out.error[lane] = -bound;
    if (lane >= s.k) continue;
    out.width[lane] = 100 * kUnit * norm * norm + 0x1p-88;
    out.width_norm[lane] = 2.01 * static_cast<double>(bound);
  }
  return true;
}

// The stored coordinates of a row, in whole vectors (scratch), and the square of its length, right to `relative` of it.
struct ShortRow {
  float largest, squares;
};
inline double relative_short(size_t d) { return static_cast<double>(d / kWidth + kWidth + 8) * 0x1p-23; }

template <class T>
inline ShortRow screened_row(const T* row, const Screen& s, float* scratch) {
  if constexpr (sizeof(T) == 8) {
    for (size_t j = 0; j < s.d; ++j) scratch[j] = screened(row[j], s, j);
    for (size_t j = s.d; j < s.d + kWidth; ++j) scratch[j] = 0;
  }
  const Floats zero = broadcast(0), scale = broadcast(static_cast<float>(s.scale));
  Floats high = zero, sum = zero;
  for (size_t j = 0; j < s.d; j += kWidth) {
    Floats v;
    if constexpr (sizeof(T) == 8) {
      v = load(scratch + j);
    } else if (s.d - j < kWidth) {
      v = difference(row + j, s.narrow_origin + j, s.d - j) * scale;
    } else {
      v = difference(row + j, s.narrow_origin + j) * scale;
    }
    store(scratch + j, v);
    high = maximum(high, maximum(v, zero - v));
    sum = multiply_add(v, v, sum);
  }
  return {highest_of(high), sum_of(sum)};
}

// A row on its grid: values (pairs, 2) out, numbers (2,) out: the factor of a.b, and N; kHuge for a row too long.
// scratch (d + kWidth,); up to kWidth values behind `values` are overwritten.
template <class T>
inline void pack_short_row(const T* row, const Screen& s, const ShortScreen& q, float* scratch, int16_t* values,
                           float* numbers) {
  const ShortRow found = screened_row(row, s, scratch);
  const bool fits = found.largest < static_cast<float>(kWidestRow);
  // Squares that vanish belong to values below 2^-74.
  const double norm = fits ? __builtin_sqrt(static_cast<double>(found.squares)) * (1 + relative_short(s.d)) +
                                 static_cast<double>(s.d) * 0x1p-74
                           : 0;
  const bool stored = norm > kShortest;
  const double step = stored ? norm / kGridNorm : 0;
  const Floats inverse = broadcast(stored ? static_cast<float>(kGridNorm / norm) : 0);
  const Floats round = broadcast(12582912);  // 1.5 * 2^23: adding it rounds to an integer
  for (size_t j = 0; j < s.d; j += kWidth) {
    float integers[kWidth];
    store(integers, (load(scratch + j) * inverse + round) - round);
    for (size_t l = 0; l < kWidth; ++l) values[j + l] = static_cast<int16_t>(static_cast<int32_t>(integers[l]));
  }
  numbers[0] = static_cast<float>(-2 * step * q.step);
  // beta N >= |x| of a row stored as 0: beta > 2^-20.
  numbers[1] = !fits ? kHuge : next_up(stored ? norm * (1 + 0x1p-30) : 0x1p-38);
}

// f(kFrom), ..., f(kTo - 1), unrolled before g++ decides which arrays live in registers.
template <size_t kFrom, size_t kTo, class F>
inline __attribute__((always_inline)) void each(const F& f) {
  if constexpr (kFrom < kTo) {
    f(kFrom);
    each<kFrom + 1, kTo>(f);
  }
}

// t of kTileRows rows against the first kVectors vectors of a panel; `take(row, t)` receives those of each row.
template <size_t kVectors, class Take>
inline void short_tile(const int16_t* rows, const float* numbers, const ShortScreen& q, size_t p, Take&& take) {
  Ints sum[kTileRows][kVectors];
  each<0, kTileRows>([&](size_t r) __attribute__((always_inline)) {
    for (size_t v = 0; v < kVectors; ++v) sum[r][v] = no_ints();
  });
  const int16_t* panel = q.packed + p * q.pairs * kLanes * 2;
  for (size_t j = 0; j < q.pairs; ++j) {
    Ints centers[kVectors];
    for (size_t v = 0; v < kVectors; ++v) centers[v] = load_pairs(panel + (j * kLanes + v * kWidth) * 2);
    each<0, kTileRows>([&](size_t r) __attribute__((always_inline)) {
      const Ints x = broadcast_pair(rows + (r * q.pairs + j) * 2);
      for (size_t v = 0; v < kVectors; ++v) add_pairs(sum[r][v], centers[v], x);
    });
  }
  Floats start[kVectors], error[kVectors];
  for (size_t v = 0; v < kVectors; ++v) {
    start[v] = load(q.start + p * kLanes + v * kWidth);
    error[v] = load(q.error + p * kLanes + v * kWidth);
  }
  each<0, kTileRows>([&](size_t r) __attribute__((always_inline)) {
    const Floats factor = broadcast(numbers[2 * r]), norm = broadcast(numbers[2 * r + 1]);
    Floats t[kVectors];
    for (size_t v = 0; v < kVectors; ++v) {
      t[v] = multiply_add(norm, error[v], multiply_add(factor, to_floats(sum[r][v]), start[v]));
    }
    take(r, t);
  });
}

// Keeps lowest, second lowest and index of the lowest, lane by lane, in `best` (block, 3, width).
template <size_t kVectors>
inline void short_panel(const int16_t* rows, const float* numbers, size_t n, const ShortScreen& q, size_t p, Ints lanes,
                        float* best) {
  Ints indices[kVectors];
  for (size_t v = 0; v < kVectors; ++v) {
    indices[v] = add_ints(lanes, broadcast_int(static_cast<int32_t>(p * kLanes + v * kWidth)));
  }
  for (size_t i = 0; i < n; i += kTileRows) {
    const auto take = [&](size_t r, const Floats* t) {
      float* own = best + (i + r) * 3 * kWidth;
      Floats lowest = load(own);
      Floats second = load(own + kWidth);
      Ints index = load_ints(own + 2 * kWidth);
      for (size_t v = 0; v < kVectors; ++v) {
        index = select_below(t[v], lowest, indices[v], index);
        second = minimum(second, maximum(lowest, t[v]));
        lowest = minimum(lowest, t[v]);
      }
      store(own, lowest);
      store(own + kWidth, second);
      store_ints(own + 2 * kWidth, index);
    };
    short_tile<kVectors>(rows + i * q.pairs * 2, numbers + 2 * i, q, p, take);
  }
}

// Stores a block of rows, padded to whole tiles.
template <class T>
inline size_t pack_short_rows(const T* rows, size_t n, const Screen& s, const ShortScreen& q,
                              const ShortScratch& scratch) {
  const size_t padded = (n + kTileRows - 1) / kTileRows * kTileRows;
  for (size_t i = 0; i < n; ++i) {
    pack_short_row(rows + i * s.d, s, q, scratch.row, scratch.packed + i * q.pairs * 2, scratch.numbers + 2 * i);
  }
  for (size_t i = n * q.pairs * 2; i < padded * q.pairs * 2; ++i) scratch.packed[i] = 0;
  for (size_t i = 2 * n; i < 2 * padded; ++i) scratch.numbers[i] = 0;
  return padded;
}

// Labels of the rows that the screen decides, -1 for the others. Returns how many others there are.
template <class T>
size_t assign_short(const T* rows, size_t n, const Screen& s, const ShortScreen& q, const ShortScratch& scratch,
                    int32_t* labels) {
  const size_t padded = pack_short_rows(rows, n, s, q, scratch);
  for (size_t i = 0; i < padded * 3 * kWidth; ++i) scratch.best[i] = kHuge;
  int32_t lane_numbers[kWidth];
  for (size_t l = 0; l < kWidth; ++l) lane_numbers[l] = static_cast<int32_t>(l);
  float lane_bits[kWidth];
  memcpy(lane_bits, lane_numbers, sizeof lane_bits);
  const Ints lanes = load_ints(lane_bits);
  for (size_t p = 0; p < s.panels; ++p) {
    if (s.k - p * kLanes <= kWidth) {
      short_panel<1>(scratch.packed, scratch.numbers, padded, q, p, lanes, scratch.best);
    } else {
      short_panel<kTileVectors>(scratch.packed, scratch.numbers, padded, q, p, lanes, scratch.best);
    }
  }
  size_t open = 0;
  for (size_t i = 0; i < n; ++i) {
    const double norm = static_cast<double>(scratch.numbers[2 * i + 1]);
    const Leader leader = leader_of(scratch.best + i * 3 * kWidth);
    labels[i] = leader.index;
    if (norm < static_cast<double>(kHuge) &&
        static_cast<double>(leader.second) >
            static_cast<double>(leader.lowest) + q.width[leader.index] + q.width_norm[leader.index] * norm) {
      continue;
    }
    labels[i] = -1;
    ++open;
  }
  return open;
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
