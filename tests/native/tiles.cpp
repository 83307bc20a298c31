// The instruction set with tiles, whose products are computed in plain C++: processors without them test all the rest.
#if defined(__x86_64__)
#define MACQUEEN_EMULATED_TILES
#define MACQUEEN_ISA isa_emulated_tiles
#include "isa/body.hpp"

namespace macqueen {
extern const Kernels kernels_emulated_tiles;
const Kernels kernels_emulated_tiles =
    isa_emulated_tiles::kernels_here("emulated tiles", "", kAvx2Fma | kAvx512 | kAvx512Vnni);
}  // namespace macqueen
#endif
