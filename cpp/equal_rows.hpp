#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <type_traits>

namespace macqueen {

constexpr int32_t kMostWeight = 1 << 16;  // of rows that stand for equal ones: weights are less

template <class T>
using RowBits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;

// Whether all bits are. Without a branch: where rows repeat, nobody can foretell which.
template <class T, size_t D>
inline bool equal_rows(const T* a, const T* b) {
  RowBits<T> first[D], second[D], differ = 0;
  memcpy(first, a, sizeof first);
  memcpy(second, b, sizeof second);
  for (size_t j = 0; j < D; ++j) differ |= first[j] ^ second[j];
  return differ == 0;
}

}  // namespace macqueen
