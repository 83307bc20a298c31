#define MACQUEEN_ISA isa_avx512vnni
#include "body.hpp"

namespace macqueen {
extern const Kernels kernels_avx512vnni;
const Kernels kernels_avx512vnni = isa_avx512vnni::kernels_here(
    "avx512vnni", "AVX-512 with 8-bit dot products, 16 floats", kAvx2Fma | kAvx512 | kAvx512Vnni);
}  // namespace macqueen
