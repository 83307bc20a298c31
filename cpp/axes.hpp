// The leading principal axes of a sample.
#pragma once

#include <stddef.h>

#include <vector>

#include "kernels.hpp"

namespace macqueen {

// rows (m, d) with their mean taken off, of magnitudes up to about 1 -> (count, d): orthonormal rows, those along which
// the sample varies most first, about (orthogonal iteration; Golub and Van Loan, Matrix Computations, 8.2.4).
std::vector<double> principal_axes(const Kernels& kernels, const double* rows, size_t m, size_t d, size_t count);

}  // namespace macqueen
