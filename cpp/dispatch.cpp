#include "dispatch.hpp"

#include <stdexcept>

namespace macqueen {

extern const Kernels kernels_scalar;
#if defined(__x86_64__)
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;
extern const Kernels kernels_avx512vnni;
#elif defined(__aarch64__)
extern const Kernels kernels_neon;
#endif

namespace {

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
#elif defined(__aarch64__)
  features |= kNeon;  // part of every aarch64
#endif
  return features;
}

}  // namespace

std::vector<const Kernels*> available_kernels() {
  const std::vector<const Kernels*> built = {
      &kernels_scalar,
#if defined(__x86_64__)
      &kernels_avx2,
      &kernels_avx512,
      &kernels_avx512vnni,
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

const Kernels& find_kernels(const std::string& name) {
  const std::vector<const Kernels*> available = available_kernels();
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
