// Rows in the order of a space-filling curve: rows that follow each other lie close together.
#pragma once

#include <memory>

#include "parallel.hpp"

namespace macqueen {

// Row numbers (n,) of finite rows (n, d), n < 2^32, d <= 32, along a Z-order curve over an even grid between the
// extremes of each coordinate; rows of one cell stay in row order.
template <class T>
std::unique_ptr<uint32_t[]> curve_order(Threads& threads, const T* rows, size_t n, size_t d);

}  // namespace macqueen
