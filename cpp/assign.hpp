// Exact labels: screen a block in float32, then decide what the screen left open in float64, and what even
// that cannot tell by exact arithmetic. Never an n x k matrix.
#pragma once

#include "screen.hpp"
#include "ties.hpp"
#include "unchecked.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

// The nearest of the candidates where squares in float32 tell which it is, else -1.
inline int32_t decide_roughly(const float* row, const float* centers, size_t d, const int32_t* candidates,
                              size_t count) {
  float lowest = kHuge, second = kHuge;
  int32_t nearest = -1;
  for (size_t i = 0; i < count; ++i) {
    const float squares = sum_of(float_squares(row, centers + static_cast<size_t>(candidates[i]) * d, d));
    const bool lower = squares < lowest;
    second = lower ? lowest : squares < second ? squares : second;
    lowest = lower ? squares : lowest;
    nearest = lower ? candidates[i] : nearest;
  }
  const double doubt = float_doubt(d), low = static_cast<double>(lowest);
  return static_cast<double>(second) * (1 - doubt) > low * (1 + doubt) + 2 * float_lost(d) ? nearest : -1;
}

// Index of the nearest center among `candidates` (ascending; all k centers where it is null).
template <class T>
int32_t decide(const T* row, const T* centers, size_t d, const int32_t* candidates, size_t count) {
  if constexpr (!kChecked) return decide_unchecked(row, centers, d, candidates, count);
  if constexpr (sizeof(T) == 4) {
    const int32_t nearest =
        candidates == nullptr || d < kWidth ? -1 : decide_roughly(row, centers, d, candidates, count);
    if (nearest >= 0) return nearest;
  }
  // squared_distance has a relative error below (d + 8) 2^-53, and squares may underflow.
  const double relative = static_cast<double>(d + 8) * 0x1p-52;
  const double absolute = static_cast<double>(d) * 0x1p-1073;
  int32_t nearest = candidates == nullptr ? 0 : candidates[0];
  double lowest = squared_distance(row, centers + static_cast<size_t>(nearest) * d, d);
  for (size_t i = 1; i < count; ++i) {
    const int32_t c = candidates == nullptr ? static_cast<int32_t>(i) : candidates[i];
    const T* center = centers + static_cast<size_t>(c) * d;
    const double distance = squared_distance(row, center, d);
    const double doubt = relative * (distance + lowest) + absolute;
    if (distance - lowest > doubt) continue;
    // Ascending order: an equal distance leaves the lower index in place.
    const T* other = centers + static_cast<size_t>(nearest) * d;
    const double most = distance > lowest ? distance : lowest;
    if (lowest - distance > doubt || compare_distances(row, center, other, d, most) < 0) {
      nearest = c;
      lowest = distance;
    }
  }
  return nearest;
}

// Lists, for each of kTileRows packed rows, the centers whose lower bound does not pass its threshold.
inline void list_candidates(const float* rows, const double* thresholds, const Screen& s,
                            const AssignScratch& scratch) {
  const size_t depth = s.d + 1;
  Floats limits[kTileRows];
  for (size_t r = 0; r < kTileRows; ++r) {
    scratch.candidate_counts[r] = 0;
    limits[r] = broadcast(next_up(thresholds[r]));
  }
  for (size_t p = 0; p < s.panels; ++p) {
    tile(rows, depth, s.packed + p * depth * kLanes, s.start + p * kLanes, [&](size_t r, const Floats* t) {
      int32_t* list = scratch.candidates + r * s.k;
      for (size_t v = 0; v < kTileVectors; ++v) {
        for (uint32_t mask = at_most_mask(t[v], limits[r]); mask != 0; mask &= mask - 1) {
          const int32_t c = static_cast<int32_t>(p * kLanes + v * kWidth) + __builtin_ctz(mask);
          list[scratch.candidate_counts[r]++] = c;
        }
      }
    });
  }
}

// Settles the rows that the screen left open, a tile at a time.
template <class T>
void settle(const T* rows, size_t undecided, const T* centers, const Screen& s, const AssignScratch& scratch,
            int32_t* labels) {
  const size_t depth = s.d + 1;
  float* gathered = scratch.packed + kBlockRows * depth;
  for (size_t first = 0; first < undecided; first += kTileRows) {
    const size_t count = undecided - first < kTileRows ? undecided - first : kTileRows;
    double thresholds[kTileRows];
    for (size_t r = 0; r < kTileRows; ++r) {
      const size_t i = static_cast<size_t>(scratch.undecided[first + (r < count ? r : 0)]);
      memcpy(gathered + r * depth, scratch.packed + i * depth, depth * sizeof(float));
      thresholds[r] = scratch.threshold[i];
    }
    list_candidates(gathered, thresholds, s, scratch);
    for (size_t r = 0; r < count; ++r) {
      const size_t i = static_cast<size_t>(scratch.undecided[first + r]);
      labels[i] = decide(rows + i * s.d, centers, s.d, scratch.candidates + r * s.k,
                         static_cast<size_t>(scratch.candidate_counts[r]));
    }
  }
}

template <class T>
void assign(const T* rows, size_t n, const T* centers, const Screen& s, const AssignScratch& scratch, int32_t* labels) {
  const size_t depth = s.d + 1;
  const size_t padded = (n + kTileRows - 1) / kTileRows * kTileRows;
  for (size_t i = 0; i < n; ++i) pack_row(rows + i * s.d, s, scratch.packed + i * depth);
  for (size_t i = n * depth; i < padded * depth; ++i) scratch.packed[i] = 0;
  screen_block(scratch.packed, padded, s, scratch.best);
  size_t undecided = 0;
  for (size_t i = 0; i < n; ++i) {
    const double norm = static_cast<double>(scratch.packed[i * depth + s.d]);
    if (norm >= static_cast<double>(kHuge)) {
      labels[i] = decide(rows + i * s.d, centers, s.d, static_cast<const int32_t*>(nullptr), s.k);
      continue;
    }
    const Leader leader = leader_of(scratch.best + i * 3 * kWidth);
    labels[i] = leader.index;
    if constexpr (!kChecked) continue;
    const double slack = s.row_slack * norm * norm + s.row_absolute * (norm + s.largest_norm) + s.absolute;
    const double threshold =
        static_cast<double>(leader.lowest) + s.width[leader.index] + s.width_norm[leader.index] * norm + 2 * slack;
    if (static_cast<double>(leader.second) > threshold) continue;
    scratch.threshold[i] = threshold;
    scratch.undecided[undecided++] = static_cast<int32_t>(i);
  }
  settle(rows, undecided, centers, s, scratch, labels);
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
