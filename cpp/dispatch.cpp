#include "dispatch.hpp"

#include <stdexcept>

#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace macqueen {

extern const Kernels kernels_scalar;
#if defined(__x86_64__)
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;
extern const Kernels kernels_avx512vnni;
extern const Kernels kernels_avx512amx;
#elif defined(__aarch64__)
extern const Kernels kernels_neon;
#endif

namespace {

#if defined(__x86_64__)
// Asks the system for leave to use tile registers, which holds for all threads of the process; it may refuse, as Linux
// does before 5.16. Nothing is saved for threads that never use them.
bool tiles_granted() {
#if defined(__linux__)
  constexpr long kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
#else
  return false;
#endif
}
#endif

unsigned processor_features() {
  unsigned features = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) features |= kAvx2Fma;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    features |= kAvx512;
  }
  if (__builtin_cpu_supports("avx512vnni")) features |= kAvx512Vnni;
  if (__builtin_cpu_supports("amx-int8") && tiles_granted()) features |= kAmxInt8;
#elif defined(__aarch64__)
  features |= kNeon;  // part of every aarch64
#endif
  return features;
}

std::vector<const Kernels*> those_that_run() {
  const std::vector<const Kernels*> built = {
      &kernels_scalar,
#if defined(__x86_64__)
      &kernels_avx2,   &kernels_avx512, &kernels_avx512vnni, &kernels_avx512amx,
#elif defined(__aarch64__)
      &kernels_neon,
#endif
  };
  const unsigned features = processor_features();
  std::vector<const Kernels*> result;
  for (const Kernels* kernels : built) {
    if ((kernels->requires_features & ~features) == 0) result.push_back(kernels);
  }
  return result;
}

}  // namespace

const std::vector<const Kernels*>& available_kernels() {
  static const std::vector<const Kernels*> available = those_that_run();  // asks the system; every look-up comes here
  return available;
}

const Kernels& find_kernels(const std::string& name) {
  const std::vector<const Kernels*>& available = available_kernels();
  if (name.empty()) return *available.back();
  std::string known;
  for (const Kernels* kernels : available) {
    if (name == kernels->name) return *kernels;
    known += known.empty() ? "" : ", ";
    known += kernels->name;
  }
  throw std::invalid_argument("instruction set '" + name +
                              "' is unknown or cannot run on this processor; available: " + known);
}

}  // namespace macqueen
