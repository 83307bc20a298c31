// Rows that repeat among many, found before the rows are sorted: what is left is far less to sort.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <memory>

#include "huge_memory.hpp"
#include "parallel.hpp"

namespace macqueen {

// Rows that stand for all rows, each for `weights` of them. Some may still be equal.
template <class T>
struct FoldedRows {
  size_t n = 0;  // 0: few repeat, and nothing was done
  std::unique_ptr<HugeMemory> memory;
  T* rows = nullptr;           // (n, d)
  int32_t* weights = nullptr;  // (n,), below kMostWeight
};

// Rows (n, d), d <= kMostBoxDims.
template <class T>
FoldedRows<T> fold_recent(Threads& threads, const T* rows, size_t n, size_t d);

}  // namespace macqueen
