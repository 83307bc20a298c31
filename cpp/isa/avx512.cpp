#define MACQUEEN_ISA isa_avx512
#include "body.hpp"

namespace macqueen {
extern const Kernels kernels_avx512;
const Kernels kernels_avx512 =
    isa_avx512::kernels_here("avx512", "AVX-512 F, BW, DQ, VL, 16 floats", kAvx2Fma | kAvx512);
}  // namespace macqueen
