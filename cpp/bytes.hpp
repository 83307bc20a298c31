// Rows in 8-bit integers: which centers can be nearest to them, and bounds of their distances.
//
// All lengths here are in steps of the grid of the rows. With t = inverse * x + less, a row is t = q + r, q integers
// and |r| <= e; a center, counted from m, is t = m + W + s, W = rho * h and |s| <= f. Means of rows spread less than
// rows do, so that a grid of its own, from m on, makes f small. With D_c = |q - m - W_c|^2
//
//   D_c = |q - m|^2 + (|W|^2 + 2 m.W) - 2 rho q.h,
//
// q.h = (q + 128).h - 128 sum h, or as it is, in exact integers. The squared distance of q to the center is at least
// D_c - 2 f sqrt(D_c), and at most D_c + 2 f sqrt(D_c) + f^2. That of the row itself differs by 2 r.(q - c) + |r|^2, so
// that the difference between two centers a and b changes by 2 r.(a - b) <= 2 e |a - b|: little where they are close.
// Center b is not the nearest where, for any other center a,
//
//   D_b - 2 f_b sqrt(D_b) - 2 e |a - b| > D_a + 2 f_a sqrt(D_a) + f_a^2.
//
// Rounding: with G = |q - m|^2 the terms of D_c are at most 3 G + 3 |m|^2 + 3 |W|^2 together, as |q|^2 <= 2 G + 2
// |m|^2. Four roundings of float32 at most meet each of them, 2^-24 each: kByteRounding times (G + |m|^2 + |W|^2) is
// more. The error of G itself is the same for all centers; only bounds of distances need it (ByteGrid::relative). Roots
// are rounded outward by 2^-13, or by kPairOutward, and other factors by the latter.
//
// A row has |x - c| between (sqrt(D_c) - e - f) and (sqrt(D_c) + e + f) steps. These go into bytes as in cpp/pairs.hpp.
#pragma once

#include "byte_form.hpp"
#include "byte_products.hpp"
#include "fetch.hpp"
#include "packed.hpp"
#include "pairs.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

// kWidth values on the grid, before they are rounded.
inline Floats on_grid(const float* x, const ByteGrid& g, size_t j) {
  return multiply_add(load(x), broadcast(g.inverse), load(g.narrow_less + j));
}
inline Floats on_grid(const double* x, const ByteGrid& g, size_t j) {
  float t[kWidth];
  for (size_t l = 0; l < kWidth; ++l) {
    t[l] = static_cast<float>(x[l] * static_cast<double>(g.inverse) + g.less[j + l]);
  }
  return load(t);
}

struct ByteSums {
  Floats gaps, norm;
};

template <class T>
inline __attribute__((always_inline)) void byte_part(const T* x, const ByteGrid& g, size_t j, uint8_t* bytes,
                                                     ByteSums& sums) {
  const Floats round = broadcast(12582912 + 128);  // 1.5 * 2^23: the lowest bits of the sum are q + 128
  const Floats t = on_grid(x, g, j);
  const Floats sum = add(maximum(minimum(t, broadcast(127)), broadcast(-128)), round);
  const Floats q = sum - round, gap = t - q, way = q - load(g.middle + j);
  sums.gaps = multiply_add(gap, gap, sums.gaps);
  sums.norm = multiply_add(way, way, sums.norm);
  store_low_bytes(bytes, as_ints(sum));
}

// Rows (n, d) -> bytes (n, d), norms and errors (n,) out, as in ByteBlock.
template <class T>
void byte_rows(const T* rows, size_t n, const ByteGrid& g, uint8_t* bytes, float* norms, float* errors) {
  for (size_t i = 0; i < n; ++i) {
    const T* x = rows + i * g.d;
    uint8_t* own = bytes + i * g.d;
    if (i + 1 < n) fetch(x + g.d, g.d * sizeof(T));
    ByteSums sums{broadcast(0), broadcast(0)};
    size_t j = 0;
    for (; j + kWidth <= g.d; j += kWidth) byte_part(x + j, g, j, own + j, sums);
    if (j < g.d) {  // what comes after may belong to another thread
      T part[kWidth] = {};
      uint8_t last[kWidth];
      memcpy(part, x + j, (g.d - j) * sizeof(T));
      byte_part(part, g, j, last, sums);
      memcpy(own + j, last, g.d - j);
    }
    norms[i] = sum_of(sums.norm);
    errors[i] = __builtin_sqrtf(sum_of(sums.gaps)) * (1 + g.relative + 0x1p-20f) + g.blur;
  }
}

#if defined(MACQUEEN_BYTE_PRODUCTS)
#if defined(__AVX512VNNI__)
using ByteLanes = Ints;
constexpr int32_t kByteOffset = 1;  // whether the products are those of q + 128
inline ByteLanes byte_lanes(Ints bytes) { return bytes; }
#else
using ByteLanes = SignedBytes;
constexpr int32_t kByteOffset = 0;
inline ByteLanes byte_lanes(Ints bytes) {
  return signed_bytes(bytes ^ broadcast_int(static_cast<int32_t>(0x80808080)));
}
#endif
constexpr size_t kByteTileRows = 4, kByteTileCenters = kWidth / kByteTileRows, kByteLanes = 4 * kWidth;

// Adds the products of one part of kByteTileRows rows and of kCenters centers.
template <size_t kCenters>
inline __attribute__((always_inline)) void add_byte_part(const ByteLanes (&rows)[kByteTileRows], const int8_t* centers,
                                                         size_t padded, Ints (&sum)[kCenters][kByteTileRows]) {
  each<0, kCenters>([&](size_t c) __attribute__((always_inline)) {
    const Ints center = load_bytes(centers + c * padded);
    each<0, kByteTileRows>([&](size_t r) __attribute__((always_inline)) { add_products(sum[c][r], rows[r], center); });
  });
}

// Products of kByteTileRows rows (d,) and kCenters centers, side by side for each center.
template <size_t kCenters>
inline Ints byte_tile(const uint8_t* const (&x)[kByteTileRows], size_t d, const int8_t* centers, size_t padded) {
  Ints sum[kCenters][kByteTileRows];
  ByteLanes rows[kByteTileRows];
  for (size_t c = 0; c < kCenters; ++c) {
    for (Ints& one : sum[c]) one = broadcast_int(0);
  }
  size_t j = 0;
  for (; j + kByteLanes <= d; j += kByteLanes) {
    for (size_t r = 0; r < kByteTileRows; ++r) rows[r] = byte_lanes(load_bytes(x[r] + j));
    add_byte_part(rows, centers + j, padded, sum);
  }
  if (j < d) {  // what comes after may be under another thread's hands
    for (size_t r = 0; r < kByteTileRows; ++r) rows[r] = byte_lanes(load_bytes(x[r] + j, d - j));
    add_byte_part(rows, centers + j, padded, sum);
  }
  Floats lanes[kWidth];
  for (size_t l = 0; l < kWidth; ++l) {
    lanes[l] = as_floats(l < kCenters * kByteTileRows ? sum[l / kByteTileRows][l % kByteTileRows] : broadcast_int(0));
  }
  return as_ints(merge_lanes(lanes, [](Floats a, Floats b) { return as_floats(add_ints(as_ints(a), as_ints(b))); }));
}

// The same of 0 < count <= kByteTileCenters centers.
inline Ints some_byte_tile(const uint8_t* const (&x)[kByteTileRows], size_t d, const int8_t* centers, size_t padded,
                           size_t count) {
  if constexpr (kByteTileCenters > 2) {
    if (count == 4) return byte_tile<4>(x, d, centers, padded);
    if (count == 3) return byte_tile<3>(x, d, centers, padded);
  }
  return count == 2 ? byte_tile<2>(x, d, centers, padded) : byte_tile<1>(x, d, centers, padded);
}

// Fetches the rows that come after the first `from` of a block, as many as a tile takes: they lie scattered.
inline void fetch_rows(const ByteGrid& g, const ByteBlock& block, size_t from) {
  for (size_t i = from; i < block.count && i < from + kByteTileRows; ++i) {
    fetch(block.bytes + block.places[i] * g.d, g.d);
  }
}

inline void byte_products(const ByteGrid& g, const ByteCenters& centers, const ByteBlock& block) {
  const size_t padded = g.padded(), tiles = (centers.k + kByteTileCenters - 1) / kByteTileCenters;
  for (size_t i = 0; i < block.count; i += kByteTileRows) {
    fetch_rows(g, block, i + kByteTileRows);
    const uint8_t* x[kByteTileRows];
    for (size_t r = 0; r < kByteTileRows; ++r) {
      x[r] = block.bytes + block.places[i + r < block.count ? i + r : block.count - 1] * g.d;
    }
    for (size_t t = 0, c = 0; t < tiles; ++t) {  // of sizes that are as equal as they can be
      const size_t size = (centers.k - c + tiles - t - 1) / (tiles - t);
      int32_t found[kWidth];
      store_words(found, some_byte_tile(x, g.d, centers.values + c * padded, padded, size));
      for (size_t l = 0; l < size; ++l) {
        memcpy(block.products + (c + l) * kPairRows + i, found + l * kByteTileRows, kByteTileRows * sizeof *found);
      }
      c += size;
    }
  }
}
#else
constexpr int32_t kByteOffset = 1;
inline void byte_products(const ByteGrid& g, const ByteCenters& centers, const ByteBlock& block) {
  for (size_t i = 0; i < block.count; ++i) {
    const uint8_t* x = block.bytes + block.places[i] * g.d;
    for (size_t c = 0; c < centers.k; ++c) {
      const int8_t* h = centers.values + c * g.padded();
      int32_t sum = 0;
      for (size_t j = 0; j < g.d; ++j) sum += static_cast<int32_t>(x[j]) * h[j];
      block.products[c * kPairRows + i] = sum;
    }
  }
}
#endif

// table[index] of a table (kMostByteCenters,).
inline Floats look_up(const float* table, Ints index) {
#if defined(__AVX512F__)
  return _mm512_permutex2var_ps(load(table), index, load(table + kWidth));
#elif defined(__AVX2__)
  return _mm256_i32gather_ps(table, index, sizeof *table);
#else
  int32_t name[kWidth];
  float found[kWidth];
  store_words(name, index);
  for (size_t l = 0; l < kWidth; ++l) found[l] = table[name[l]];
  return load(found);
#endif
}

// At least the root of x >= 0, by less than 2^-12 of it.
inline Floats upper_root(Floats x) {
#if defined(__AVX512F__)
  const Floats within = minimum(maximum(x, broadcast(0x1p-100f)), broadcast(0x1p126f));
  return within * _mm512_rsqrt14_ps(within) * broadcast(1 + 0x1p-13f);
#else
  return square_root(x) * broadcast(1 + kPairOutward);
#endif
}

// What rounding may have changed of the squares of some rows.
inline Floats byte_rounding(const ByteCenters& centers, Floats norms) {
  return (norms + broadcast(centers.largest)) * broadcast(kByteRounding);
}

// The squares of some rows, and the nearest center by them.
inline Ints take_byte_squares(const ByteCenters& centers, const ByteBlock& block, size_t i, Floats& lowest) {
  const Floats norms = load(block.norms + i);
  Ints nearest = broadcast_int(0);
  lowest = broadcast(kHuge);
  for (size_t c = 0; c < centers.k; ++c) {
    const Ints whole =
        add_ints(load_words(block.products + c * kPairRows + i), broadcast_int(-centers.offsets[c] * kByteOffset));
    const Floats square =
        maximum(norms + multiply_add(to_floats(whole), broadcast(centers.factor[c]), broadcast(centers.start[c])),
                broadcast(0));
    nearest = select_below(square, lowest, broadcast_int(static_cast<int32_t>(c)), nearest);
    lowest = minimum(lowest, square);
    store(block.squares + c * kPairRows + i, square);
  }
  return nearest;
}

// Compares the rows of a block with all centers; fills what is `out` in it.
void compare_bytes(const ByteGrid& g, const ByteCenters& centers, const ByteBlock& block) {
  byte_products(g, centers, block);
  for (size_t c = 0; c < centers.k; ++c) block.needs[c] = 0;
  for (size_t i = 0; i < block.count; i += kWidth) {
    Floats lowest;
    const Ints nearest = take_byte_squares(centers, block, i, lowest);
    store_words(block.nearest + i, nearest);
    const Floats rounding = byte_rounding(centers, load(block.norms + i)), up = broadcast(1 + kPairOutward);
    const Floats own = look_up(centers.errors, nearest), twice = load(block.errors + i) * broadcast(2);
    const Floats root = upper_root(lowest + rounding);
    const Floats limit = lowest + multiply_add(add(add(root, root), own), own, rounding * broadcast(4)) * up;
    for (size_t c = 0; c < centers.k; ++c) {
      const Floats square = load(block.squares + c * kPairRows + i);
      const Floats wide = upper_root(square + rounding) * broadcast(2 * centers.errors[c]);
      const Floats width = multiply_add(twice, look_up(centers.between + c * kMostByteCenters, nearest), wide) * up;
      // What is no number is not at most anything.
      const auto ruled_out = static_cast<uint64_t>(at_most_mask(limit, square - width));
      block.needs[c] |= (~ruled_out & ((uint64_t{1} << kWidth) - 1)) << i;
    }
  }
  const uint64_t all = ~uint64_t{0} >> (kPairRows - block.count);
  for (size_t c = 0; c < centers.k; ++c) block.needs[c] &= all;
}

// The bounds of these rows.
void byte_bounds(const ByteGrid& g, const ByteCenters& centers, const ByteBlock& block, const PairGrid& grid,
                 const ByteBounds& out) {
  const Floats up = broadcast(1 + kPairOutward), down = broadcast(1 - kPairOutward), step = broadcast(g.step);
  for (size_t i = 0; i < block.count; i += kWidth) {
    const Floats norms = load(block.norms + i), errors = load(block.errors + i);
    const Floats rounding = multiply_add(norms, broadcast(g.relative), byte_rounding(centers, norms));
    const Floats own = upper_root(load(out.squares + i) + rounding), step_up = step * up;
    const Floats upper = add(own, add(load(out.errors + i), errors)) * up * step_up;
    store(out.uppers + i, multiply_add(load(out.paths + i), broadcast(-1 + kPairOutward), upper * up));
    const Floats base = minimum(maximum(own * step - broadcast(out.away), broadcast(0)), broadcast(kLargestBase));
    store(out.bases + i, base);
    for (size_t c = 0; c < centers.k; ++c) {
      const Floats root = lower_root(maximum(load(block.squares + c * kPairRows + i) - rounding, broadcast(0)));
      const Floats less = add(errors, broadcast(centers.errors[c])) * up;
      const Floats distance = maximum(multiply_add(root, down, broadcast(0) - less), broadcast(0)) * step * down;
      const Floats bound = add(distance * down, broadcast(out.stored[c])) - base;
      store_bytes(out.bounds + c * kPairRows + i, in_bytes(bound * broadcast(grid.inverse_down)));
    }
  }
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
