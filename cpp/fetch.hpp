// Memory that is asked for before it is read. Seen by every instruction set: no function of it may be shared.
#pragma once

#include <stddef.h>

namespace macqueen {

inline __attribute__((always_inline)) void fetch(const void* memory, size_t bytes) {
  constexpr size_t kLine = 64;
  for (size_t byte = 0; byte < bytes; byte += kLine) __builtin_prefetch(static_cast<const char*>(memory) + byte);
}

}  // namespace macqueen
