#include "isa.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace samplenet {

Isa isa() {
  static const Isa chosen = [] {
#if defined(__x86_64__)
    const char* wanted = std::getenv("SAMPLENET_ISA");
    Isa most = Isa::avx512;
    if (wanted != nullptr && std::strcmp(wanted, "baseline") == 0) most = Isa::baseline;
    else if (wanted != nullptr && std::strcmp(wanted, "avx2") == 0) most = Isa::avx2;
    else if (wanted != nullptr && *wanted != 0 && std::strcmp(wanted, "avx512") != 0)
      std::fprintf(stderr, "samplenet: SAMPLENET_ISA is baseline, avx2 or avx512; '%s' is ignored\n", wanted);
    __builtin_cpu_init();
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                          __builtin_cpu_supports("popcnt");
    const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    if (has_avx512) return most;
    if (has_avx2) return most == Isa::avx512 ? Isa::avx2 : most;
#endif
    return Isa::baseline;
  }();
  return chosen;
}

}  // namespace samplenet
