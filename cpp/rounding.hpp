// float64 as the next float32 above or below, for bounds. Not for instruction-set sources: it is the standard
// library's.
#pragma once

#include <cmath>
#include <limits>

namespace macqueen {

inline float rounded_up(double value) {
  const float f = static_cast<float>(value);
  return f < value ? std::nextafter(f, std::numeric_limits<float>::infinity()) : f;
}
inline float rounded_down(double value) { return -rounded_up(-value); }

}  // namespace macqueen
