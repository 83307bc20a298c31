#define MACQUEEN_ISA isa_neon
#include "body.hpp"

namespace macqueen {
extern const Kernels kernels_neon;
const Kernels kernels_neon = isa_neon::kernels_here("neon", "NEON of aarch64, 4 floats", kNeon);
}  // namespace macqueen
