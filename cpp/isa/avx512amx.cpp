#define MACQUEEN_ISA isa_avx512amx
#include "body.hpp"

namespace macqueen {
extern const Kernels kernels_avx512amx;
const Kernels kernels_avx512amx = isa_avx512amx::kernels_here(
    "avx512amx", "AVX-512 with tiles of 8-bit integers, 16 floats", kAvx2Fma | kAvx512 | kAvx512Vnni | kAmxInt8);
}  // namespace macqueen
