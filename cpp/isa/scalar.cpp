#define MACQUEEN_ISA isa_scalar
#include "body.hpp"

namespace macqueen {
extern const Kernels kernels_scalar;
const Kernels kernels_scalar = isa_scalar::kernels_here("scalar", "what every processor of the platform has", 0);
}  // namespace macqueen
