// Centers that lie together, put into groups of equal size.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <vector>

#include "kernels.hpp"
#include "parallel.hpp"

namespace macqueen {

// centers (k, d) -> place (k,) of each: places kGroup * g .. kGroup * (g + 1) - 1 are group g, all but
// the last one full.
template <class T>
std::vector<int32_t> grouped_places(Threads& threads, const Kernels& kernels, const T* centers, size_t k, size_t d);

}  // namespace macqueen
