#include "isa.h"

#include <cstdlib>
#include <cstring>

namespace samplenet {

Isa isa() {
  static const Isa chosen = [] {
#if defined(__x86_64__)
    const char* wanted = std::getenv("SAMPLENET_ISA");
    const auto at_most = [wanted](const char* name) { return wanted == nullptr || std::strcmp(wanted, name) == 0; };
    __builtin_cpu_init();
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                          __builtin_cpu_supports("popcnt");
    const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    if (has_avx512 && at_most("avx512")) return Isa::avx512;
    if (has_avx2 && (at_most("avx2") || at_most("avx512"))) return Isa::avx2;
#endif
    return Isa::baseline;
  }();
  return chosen;
}

}  // namespace samplenet
