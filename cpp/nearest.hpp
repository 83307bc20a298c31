// The centers that can be among the m nearest to a row, by either screen, and their distances.
//
// A screen gives a lower bound t of S = |X - C|^2 - |X|^2 and an upper one, t + width (cpp/screen.hpp,
// cpp/short_screen.hpp). At least m centers have an S that does not pass the m-th smallest upper bound: that is the
// threshold, and a center whose lower bound passes it is ruled out. The bounds of a block of rows are stored for
// kNearCenters centers at a time, which gives a threshold to begin with; a row then collects what does not pass it.
#pragma once

#include "short_screen.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

constexpr size_t kMostParted = 16;  // of this many nearest, a threshold is found before the first is collected

// The m-th smallest of values (count,), m >= 1, which have room for a vector more and are changed. Few are counted,
// many are parted (Hoare's selection), whose branches nobody predicts.
inline float smallest(float* values, size_t count, size_t m) {
  constexpr size_t kFew = 64;
  size_t begin = 0, end = count;
  while (end - begin > kFew) {
    const float pivot = values[begin + (end - begin) / 2];
    size_t i = begin, j = end - 1;
    while (true) {
      while (values[i] < pivot) ++i;
      while (values[j] > pivot) --j;
      if (i >= j) break;
      const float value = values[i];
      values[i++] = values[j];
      values[j--] = value;
    }
    // [begin, i) is at most the pivot, (j, end) at least, and i is j, where the pivot is, or j + 1.
    if (i == j && m - 1 == i) return pivot;
    if (m - 1 <= j) {
      end = i == j ? j : j + 1;
    } else {
      begin = i == j ? i + 1 : i;
    }
  }
  for (size_t l = 0; l < kWidth; ++l) values[end + l] = kHuge;
  float result = kHuge;
  for (size_t i = begin; i < end; ++i) {
    const Floats own = broadcast(values[i]);
    int32_t below = 0;
    for (size_t j = begin; j < end; j += kWidth) below += __builtin_popcount(at_most_mask(load(values + j), own));
    if (static_cast<size_t>(below) >= m - begin && values[i] < result) result = values[i];
  }
  return result;
}

// Widths of the bounds of one row: its upper bound of center c is t + width[c] + width_norm[c] * norm + slack.
struct RowWidth {
  const double* width;
  const double* width_norm;
  double norm;
  double slack;
  double most;  // width + width_norm * norm of no center is more
  double of(int32_t c) const { return width[c] + width_norm[c] * norm + slack; }
};

// Lowers the threshold of a row to the largest upper bound of m centers of its list, and drops what passes it.
inline void lower_threshold(const RowWidth& w, size_t m, float* bounds, int32_t* names, int32_t& count,
                            float& threshold, float* scratch) {
  if (count < static_cast<int32_t>(m)) return;
  const auto all = static_cast<size_t>(count);
  memcpy(scratch, bounds, all * sizeof *bounds);
  const float bound = smallest(scratch, all, m);
  double most = -1e300;
  for (size_t i = 0; i < all; ++i) {
    if (bounds[i] > bound) continue;
    const double upper = static_cast<double>(bounds[i]) + w.of(names[i]);
    most = upper > most ? upper : most;
  }
  const float limit = next_up(most);
  threshold = limit < threshold ? limit : threshold;
  int32_t kept = 0;
  for (size_t i = 0; i < all; ++i) {
    bounds[kept] = bounds[i];
    names[kept] = names[i];
    kept += bounds[i] <= threshold ? 1 : 0;
  }
  count = kept;
}

// Appends the lanes of t in `mask`, whose first has the index `first`.
inline void append_near(Floats t, uint32_t mask, int32_t first, float* bounds, int32_t* names, int32_t& count) {
  int32_t lanes[kWidth];
  for (size_t l = 0; l < kWidth; ++l) lanes[l] = first + static_cast<int32_t>(l);
  Ints order;
  memcpy(&order, lanes, sizeof order);
  const Ints kept = compressed(mask, order);
  store(bounds + count, compressed(mask, t));  // whole vectors: what follows is overwritten by the next ones
  memcpy(names + count, &kept, sizeof kept);
  count += __builtin_popcount(mask);
}

// At least the m-th smallest of t (size,): the m-th smallest of the minima of kSlots interleaved parts of it.
inline float about_smallest(const float* t, size_t size, size_t m) {
  constexpr size_t kSlots = 2 * kMostParted;
  static_assert(kSlots % kWidth == 0);
  float parts[kSlots + kWidth];
  Floats least[kSlots / kWidth];
  for (auto& part : least) part = broadcast(kHuge);
  for (size_t i = 0; i < size; i += kSlots) {
    for (size_t v = 0; v < kSlots / kWidth; ++v) least[v] = minimum(least[v], load(t + i + v * kWidth));
  }
  for (size_t v = 0; v < kSlots / kWidth; ++v) store(parts + v * kWidth, least[v]);
  return smallest(parts, kSlots, m);
}

// Appends to the list of a row those centers, `size` from the one called `first`, whose bounds t do not pass its
// threshold.
inline void collect_near(const NearScratch& near, size_t row, const float* t, size_t size, size_t first, size_t m,
                         const RowWidth& width) {
  float& threshold = near.threshold[row];
  int32_t& count = near.counts[row];
  float* bounds = near.bounds + row * near.stride;
  int32_t* names = near.names + row * near.stride;
  if (m <= kMostParted) {
    const float limit = next_up(static_cast<double>(about_smallest(t, size, m)) + width.most + width.slack);
    threshold = limit < threshold ? limit : threshold;
  }
  Floats limit = broadcast(threshold);
  for (size_t i = 0; i < size; i += kWidth) {
    const Floats values = load(t + i);
    const uint32_t mask = at_most_mask(values, limit);
    if (mask == 0) continue;
    append_near(values, mask, static_cast<int32_t>(first + i), bounds, names, count);
    if (static_cast<size_t>(count) <= near.capacity) continue;
    lower_threshold(width, m, bounds, names, count, threshold, near.sorting);
    limit = broadcast(threshold);
    if (static_cast<size_t>(count) <= near.capacity - kWidth) continue;
    count = -1;  // too many are too near to each other
    return;
  }
}

// Runs `tile(i, p, take)` over rows and panels; `width(i)` gives the widths of row i, whose norm is kHuge where the
// screen cannot take it.
template <class Width, class Tile>
inline void collect_block(size_t n, const Screen& s, size_t m, const NearScratch& near, const Width& width,
                          const Tile& tile_at) {
  constexpr size_t kStride = kNearCenters + kLanes;
  constexpr size_t kPanels = kNearCenters / kLanes;
  for (size_t i = 0; i < n; ++i) {
    near.counts[i] = width(i).norm < static_cast<double>(kHuge) ? 0 : -1;
    near.threshold[i] = 2e38f;  // less than that of a lane without a center
  }
  for (size_t from = 0; from < s.panels; from += kPanels) {
    const size_t to = from + kPanels < s.panels ? from + kPanels : s.panels;
    for (size_t p = from; p < to; ++p) {
      for (size_t i = 0; i < n; i += kTileRows) {
        float* out = near.tiles + i * kStride + (p - from) * kLanes;
        tile_at(i, p, [&](size_t r, const Floats* t) {
          for (size_t v = 0; v < kTileVectors; ++v) store(out + r * kStride + v * kWidth, t[v]);
        });
      }
    }
    size_t size = (to - from) * kLanes;
    const size_t padded = (size + 2 * kMostParted - 1) / (2 * kMostParted) * (2 * kMostParted);
    for (size_t i = 0; i < n; ++i) {
      if (near.counts[i] < 0) continue;
      float* t = near.tiles + i * kStride;
      for (size_t j = size; j < padded; ++j) t[j] = kHuge;
      collect_near(near, i, t, padded, from * kLanes, m, width(i));
    }
  }
  for (size_t i = 0; i < n; ++i) {
    lower_threshold(width(i), m, near.bounds + i * near.stride, near.names + i * near.stride, near.counts[i],
                    near.threshold[i], near.sorting);
  }
}

struct MostWidth {
  double width = 0, width_norm = 0;
  MostWidth(const double* widths, const double* norms, size_t k) {
    for (size_t c = 0; c < k; ++c) {
      width = widths[c] > width ? widths[c] : width;
      width_norm = norms[c] > width_norm ? norms[c] : width_norm;
    }
  }
};

template <class T>
void near_candidates(const T* rows, size_t n, const Screen& s, const ShortScreen* q, const AssignScratch& scratch,
                     const ShortScratch& shorts, size_t m, const NearScratch& near) {
  if (q != nullptr) {
    pack_short_rows(rows, n, s, *q, shorts);
    const MostWidth most(q->width, q->width_norm, s.k);
    const auto width = [&](size_t i) {
      const double norm = static_cast<double>(shorts.numbers[2 * i + 1]);
      return RowWidth{q->width, q->width_norm, norm, 0, most.width + most.width_norm * norm};
    };
    collect_block(n, s, m, near, width, [&](size_t i, size_t p, const auto& take) {
      short_tile<kTileVectors>(shorts.packed + i * q->pairs * 2, shorts.numbers + 2 * i, *q, p, take);
    });
    return;
  }
  const size_t depth = s.d + 1;
  const size_t padded = (n + kTileRows - 1) / kTileRows * kTileRows;
  for (size_t i = 0; i < n; ++i) pack_row(rows + i * s.d, s, scratch.packed + i * depth);
  for (size_t i = n * depth; i < padded * depth; ++i) scratch.packed[i] = 0;
  const MostWidth most(s.width, s.width_norm, s.k);
  const auto width = [&](size_t i) {
    const double norm = static_cast<double>(scratch.packed[i * depth + s.d]);
    const double slack = s.row_slack * norm * norm + s.row_absolute * (norm + s.largest_norm) + s.absolute;
    return RowWidth{s.width, s.width_norm, norm, 2 * slack, most.width + most.width_norm * norm};
  };
  collect_block(n, s, m, near, width, [&](size_t i, size_t p, const auto& take) {
    tile(scratch.packed + i * depth, depth, s.packed + p * depth * kLanes, s.start + p * kLanes, take);
  });
}

// Squared distances of a row (d,) to the centers in `list` (count,), or to the first `count` where it is null.
template <class T>
void listed_distances(const T* row, const T* centers, size_t d, const int32_t* list, size_t count, double* out) {
  for (size_t i = 0; i < count; ++i) {
    const size_t c = list == nullptr ? i : static_cast<size_t>(list[i]);
    out[i] = squared_distance(row, centers + c * d, d);
  }
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
