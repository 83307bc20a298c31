// Sets of rows of a block, a bit for each.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <bit>

namespace macqueen {

inline uint64_t first_bits(size_t count) { return count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1; }

// Calls visit(place) for each bit, ascending.
template <class Visit>
void for_bits(uint64_t bits, const Visit& visit) {
  for (; bits != 0; bits &= bits - 1) visit(static_cast<size_t>(std::countr_zero(bits)));
}

}  // namespace macqueen
