// Rows that repeat, in an order in which equal ones lie side by side, as one row with a weight.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <vector>

#include "parallel.hpp"

namespace macqueen {

// Equal rows (n, d), d <= kMostBoxDims, lie side by side in this order (n,), or nearly so: keeps one of each, or one in
// each part of the order, and returns how many it stands for; n in/out. Each stands for `before` (n,) already; null:
// for itself, and where few repeat, changes nothing and returns nothing. scratch (n,).
template <class T>
std::vector<int32_t> fold_repeats(Threads& threads, const T* rows, const int32_t* before, size_t d, uint32_t* order,
                                  size_t& n, int32_t* scratch);

}  // namespace macqueen
