// Rows in the order of a space-filling curve: rows that follow each other lie close together (cpp/curve.hpp).
#pragma once

#include "kernels.hpp"
#include "parallel.hpp"

namespace macqueen {

// order (n,) out: numbers of finite rows (n, d), n < 2^32, d <= kMostBoxDims, along Hilbert's curve over an even grid
// between the extremes of a sample, for each coordinate. Rows of one cell lie side by side. entries, spare (n,):
// scratch.
template <class T>
void curve_order(Threads& threads, const Kernels& kernels, const T* rows, size_t n, size_t d, uint64_t* entries,
                 uint64_t* spare, uint32_t* order);

}  // namespace macqueen
