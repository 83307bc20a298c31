// Reading with trained centers: the nearest ones of each row, in order.
#pragma once

#include "step.hpp"

namespace macqueen {

// The m <= k nearest centers of rows (n, d), in ascending order of the real distances, ties to the lowest index, into
// indices (n, m); factor * their squared distances, as `distances` gives them, into out (n, m). Zero rows are, where
// asked for, at distance 1 from every center. Returns as `accumulate`.
template <class T>
int64_t nearest(Threads& threads, const Centers<T>& centers, const T* rows, size_t n, size_t m, double factor,
                bool zero_rows_are_one, int32_t* indices, T* out);

}  // namespace macqueen
