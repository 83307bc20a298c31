// The arithmetic of an update, one pinned expression each, and the random numbers behind every choice.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <vector>

#include "exact.hpp"
#include "kernels.hpp"
#include "parallel.hpp"

namespace macqueen {

// centers (k, d) in/out: fl(c + (S - m c) / (n + m)) where m > 0, m = counts, n = counts_before; others stay.
template <class T>
void move_running_means(const double* sums, const int64_t* counts, const int64_t* counts_before, size_t k, size_t d,
                        T* centers);

// Philox4x32-10 (Salmon et al., 2011): 64 random bits that depend on (seed, purpose, index) alone.
uint64_t random_bits(uint64_t seed, uint32_t purpose, uint64_t index);

// Places begin..end-1 of a permutation of 0..n-1 chosen by (seed, purpose). Few rows are sorted by random keys; for
// many it is a cycle-walking Feistel network of six rounds, so that no permutation is ever stored.
std::vector<int64_t> permuted(uint64_t seed, uint32_t purpose, uint64_t n, uint64_t begin, uint64_t end);

// Weights (n,) float64 >= 0 as integers on the grid of 2^(top - 62): exact sums, whatever the order.
// The integer that stands for a weight below 2^top: its bits above the grid, the rest dropped.
inline uint64_t grid_weight(double weight, int top) {
  uint64_t bits;
  memcpy(&bits, &weight, sizeof bits);
  const int biased = static_cast<int>(bits >> 52);
  const uint64_t fraction = bits & ((uint64_t{1} << 52) - 1);
  const uint64_t mantissa = biased == 0 ? fraction : fraction | uint64_t{1} << 52;
  const int shift = (biased == 0 ? 1 : biased) - 1075 - (top - 62);
  if (shift >= 0) return mantissa << shift;
  return shift <= -64 ? 0 : mantissa >> -shift;
}
// Sum of all weights.
exact::uint128 total_weight(Threads& threads, const double* weights, size_t n, int top);
// The first index whose cumulated weight passes `target` < total_weight.
size_t pick_by_weight(const double* weights, size_t n, int top, exact::uint128 target);
// Each index i by itself with probability min(1, factor * weight on the grid), by number i of (seed, purpose);
// ascending.
std::vector<size_t> sampled_by_weight(Threads& threads, const double* weights, size_t n, int top, double factor,
                                      uint64_t seed, uint32_t purpose);

// nearest (n,) in/out: the smaller of itself and the squared distance of rows (n, d) to the center (d,).
template <class T>
void lower_to(Threads& threads, const Kernels& kernels, const T* rows, const T* center, size_t n, size_t d,
              double* nearest);
// The total weight that `lower_to` would leave.
template <class T>
exact::uint128 weight_lowered_to(Threads& threads, const Kernels& kernels, const T* rows, const T* center, size_t n,
                                 size_t d, const double* nearest, int top);
// labels (n,), nearest (n,) in/out: of each row the nearest of the candidates below `first` (nearest is infinite where
// there is none), and its squared distance; fresh_* the same among the later ones, labels counted from `first`. After
// it, they are those of all: the nearest as a real number, ties to the lowest index.
template <class T>
void merge_nearest(Threads& threads, const Kernels& kernels, const T* rows, size_t n, size_t d, const T* candidates,
                   size_t first, const int32_t* fresh_labels, const double* fresh_nearest, int32_t* labels,
                   double* nearest);

}  // namespace macqueen
