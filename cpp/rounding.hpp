// float64 as the next float32 above or below, for bounds. Not for instruction-set sources: it is the standard
// library's.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace macqueen {

// Without a call and without a branch: a step rounds several numbers of each row.
inline float rounded_up(double value) {
  const float f = static_cast<float>(value);
  const auto bits = std::bit_cast<int32_t>(f + 0.0f);  // -0 becomes 0
  const float next = std::bit_cast<float>(bits + (bits < 0 ? -1 : 1));
  return static_cast<double>(f) < value ? next : f;
}
inline float rounded_down(double value) { return -rounded_up(-value); }

}  // namespace macqueen
