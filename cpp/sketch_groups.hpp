// Bounds that outlive a step, in 16 bits: which groups they open for a row, and how they are stored again.
#pragma once

#include "sketch_looks.hpp"

namespace macqueen {
namespace MACQUEEN_ISA {
namespace {

void open_groups(const uint16_t* stored, const float* units, const float* upper, const float* path, size_t groups,
                 float* least, uint8_t* lists, int32_t* counts) {
  constexpr size_t kVectors = 4;  // whose numbers stay in registers: lines of the nearest cache are read whole
  for (size_t g = 0; g < groups; ++g) counts[g] = 0;
  for (size_t i = 0; i < kSketchRows; i += kVectors * kWidth) {
    Floats unit[kVectors], limit[kVectors], low[kVectors];
    for (size_t v = 0; v < kVectors; ++v) {
      unit[v] = load(units + i + v * kWidth);
      limit[v] = load(upper + i + v * kWidth);
      low[v] = broadcast(kHuge);
    }
    for (size_t g = 0; g < groups; ++g) {
      const Floats gone = broadcast(-path[g] * (1 + kOutward));
      const uint16_t* ahead = stored + (g + 8) * kSketchRows + i;
      for (size_t v = 0; v < kVectors; v += 64 / (2 * kWidth)) __builtin_prefetch(ahead + v * kWidth);
      int32_t count = counts[g];
      for (size_t v = 0; v < kVectors; ++v) {
        const Floats bound = multiply_add(load_shorts(stored + g * kSketchRows + i + v * kWidth), unit[v], gone);
        low[v] = minimum(low[v], choose_below(limit[v], bound, bound, broadcast(kHuge)));
        append_rows(at_most_mask(bound, limit[v]), i + v * kWidth, lists + g * kListStride, count);
      }
      counts[g] = count;
    }
    for (size_t v = 0; v < kVectors; ++v) store(least + i + v * kWidth, low[v]);
  }
}

void limit_rows(const SketchPanels& p, const SketchBlock& b, size_t groups) {
  const SketchNumbers& own = *b.sketches.numbers;
  const Floats row_slack = broadcast(p.row_slack), two = broadcast(2), up = broadcast(1 + kOutward),
               outward = broadcast(kOutward);
  for (size_t i = 0; i < kSketchRows; i += kWidth) {
    const Floats tail = load(own.tail + i), error = load(own.error + i);
    const Floats slack = multiply_add(load(own.squares + i), row_slack, broadcast(kLeastSlack));
    Floats limit = broadcast(kHuge);
    for (size_t g = 0; g < groups; ++g) {  // as upper_bound, but with the errors of the group's worst center
      const float* most = p.most + g * 3;
      const Floats beside = multiply_add(two, slack, broadcast(most[2]));
      const Floats width = multiply_add(tail, broadcast(most[1]), multiply_add(error, broadcast(most[0]), beside));
      const Floats least = load(b.found + g * kSketchRows + i);
      const Floats size = maximum(maximum(least, broadcast(0) - least), width);
      limit = minimum(limit, multiply_add(size, outward, multiply_add(width, up, least)));
    }
    store(b.limit + i, limit);
  }
}

void nearest_groups(const SketchPanels& p, const SketchBlock& b, size_t rows, size_t groups, uint8_t* lists,
                    int32_t* counts) {
  for (size_t g = 0; g < groups; ++g) counts[g] = 0;
  for (size_t i = 0; i < rows; i += kWidth) {
    Floats least = broadcast(kHuge);
    Ints nearest = broadcast_int(0);
    for (size_t g = 0; g < groups; ++g) {
      if (p.most[g * 3 + 2] == __builtin_inff()) continue;  // a center too far to be sketched: it says nothing
      const Floats found = load(b.found + g * kSketchRows + i);
      nearest = select_below(found, least, broadcast_int(static_cast<int32_t>(g)), nearest);
      least = minimum(found, least);
    }
    int32_t names[kWidth];
    memcpy(names, &nearest, sizeof names);
    for (size_t l = 0; l < kWidth && i + l < rows; ++l) {
      lists[static_cast<size_t>(names[l]) * kListStride + static_cast<size_t>(counts[names[l]]++)] =
          static_cast<uint8_t>(i + l);
    }
  }
}

void near_groups(const SketchBlock& b, size_t rows, size_t groups, uint8_t* lists, int32_t* counts) {
  for (size_t i = rows; i < kSketchRows; ++i) b.limit[i] = -__builtin_inff();  // below all that can be found
  const float *const limit = b.limit, *const found = b.found;  // a byte that is stored could be one of the pointers
  for (size_t g = 0; g < groups; ++g) {
    int32_t count = 0;
    for (size_t i = 0; i < rows; i += kWidth) {
      append_rows(at_most_mask(load(found + g * kSketchRows + i), load(limit + i)), i, lists + g * kListStride, count);
    }
    counts[g] = count;
  }
}

// Upper bounds of the distances from listed rows to their own centers, times scale: by squares in float32; in float64
// where those overflow.
template <class T>
void own_bounds(const T* rows, const uint8_t* list, size_t count, const int32_t* labels, const T* centers, size_t d,
                double scale, float* out) {
  for (size_t i = 0; i < count; ++i) {
    const T* x = rows + list[i] * d;
    const T* c = centers + static_cast<size_t>(labels[list[i]]) * d;
    double squares = kMostFloatSquares;
    if constexpr (sizeof(T) == 4) {
      squares = static_cast<double>(sum_of(float_squares(x, c, d))) * (1 + float_doubt(d)) + float_lost(d);
    }
    if (!(squares < kMostFloatSquares)) squares = squared_distance(x, c, d) * (1 + 0x1p-30);
    out[list[i]] = next_up(__builtin_sqrt(squares) * scale * (1 + 0x1p-30) + 0x1p-60);
  }
}

inline Floats distance_of(Floats square) {
  const Floats zero = broadcast(0);
  return multiply_add(square_root(maximum(square, zero)), broadcast(1 - kOutward), zero);
}

void longest_found(const float* found, const float* squares, size_t groups, float* longest) {
  for (size_t i = 0; i < kSketchRows; i += kWidth) {
    const Floats own = load(squares + i);
    Floats most = broadcast(0);
    for (size_t g = 0; g < groups; ++g) {
      const Floats square = add(load(found + g * kSketchRows + i), own);
      most = maximum(most, choose_below(square, broadcast(kNobody * kNobody), square, broadcast(0)));
    }
    store(longest + i, distance_of(most));
  }
}

void least_found(const float* found, const float* squares, size_t groups, float* least) {
  for (size_t i = 0; i < kSketchRows; i += kWidth) {
    Floats low = broadcast(kUntouched);
    for (size_t g = 0; g < groups; ++g) low = minimum(low, load(found + g * kSketchRows + i));
    store(least + i, distance_of(add(low, load(squares + i))));
  }
}

void store_groups(float* found, const float* squares, const float* units, const float* path, size_t groups,
                  const int32_t* counts, float* least, uint16_t* stored) {
  float inverse[kSketchRows];
  for (size_t i = 0; i < kSketchRows; ++i) inverse[i] = (1 - 2 * kOutward) / units[i];
  const Floats untouched = broadcast(kUntouched), full = broadcast(65535);
  for (size_t g = 0; g < groups; ++g) {
    if (counts[g] == 0) continue;
    for (size_t i = 0; i < kSketchRows; i += kWidth) {
      float* own = found + g * kSketchRows + i;
      const Floats value = load(own);
      if (at_most_mask(untouched, value) == (1u << kWidth) - 1) continue;
      const Floats distance = distance_of(add(value, load(squares + i)));
      const Floats bound = choose_below(value, untouched, distance, broadcast(kHuge));
      store(least + i, minimum(load(least + i), bound));
      const Floats zero = broadcast(0);
      const Floats count = minimum(multiply_add(add(distance, broadcast(path[g])), load(inverse + i), zero), full);
      uint16_t* kept = stored + g * kSketchRows + i;
      store_shorts(kept, choose_below(value, untouched, count, load_shorts(kept)));
      store(own, untouched);
    }
  }
}

void take_off_paths(uint16_t* stored, const float* units, const float* path, size_t groups) {
  const Floats zero = broadcast(0), less = broadcast(1 - 2 * kOutward);
  for (size_t g = 0; g < groups; ++g) {
    const Floats gone = broadcast(-path[g] * (1 + kOutward));
    for (size_t i = 0; i < kSketchRows; i += kWidth) {
      float inverse[kWidth];
      for (size_t l = 0; l < kWidth; ++l) inverse[l] = 1 / units[i + l];
      uint16_t* kept = stored + g * kSketchRows + i;
      const Floats bound = maximum(multiply_add(load_shorts(kept), load(units + i), gone), zero);
      store_shorts(kept, multiply_add(multiply_add(bound, less, zero), load(inverse), zero));
    }
  }
}

}  // namespace
}  // namespace MACQUEEN_ISA
}  // namespace macqueen
