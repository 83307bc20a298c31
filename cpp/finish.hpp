// What the exact sums of a pass come to: rounded sums, the cost, and means.
#pragma once

#include "step.hpp"

namespace macqueen {

// high + low (cells,) out: every cell of `sums` rounded (exact::round).
void round_sums(Threads& threads, const Kernels& kernels, const exact::Sums& sums, double* high, double* low);

// Returns squares - sum_c (2 S_c.c - n_c |c|^2) >= 0, correctly rounded. means (k, d) out: fl(fl64(S) / n), or what
// `before` (k, d) has where n = 0.
template <class T>
double finish(Threads& threads, const Centers<T>& centers, const Totals& totals, const exact::Sums& squares,
              const T* before, T* means);

}  // namespace macqueen
