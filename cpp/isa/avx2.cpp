#define MACQUEEN_ISA isa_avx2
#include "body.hpp"

namespace macqueen {
extern const Kernels kernels_avx2;
const Kernels kernels_avx2 = isa_avx2::kernels_here("avx2", "AVX2 with FMA, 8 floats", kAvx2Fma);
}  // namespace macqueen
