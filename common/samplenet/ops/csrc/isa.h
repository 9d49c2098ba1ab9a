// Which instruction set the CPU kernels use, decided when the first of them runs.
#pragma once
#include "guarded.h"
#include "parallel.h"

namespace samplenet {

enum class Isa { baseline, avx2, avx512 };

// The widest the processor has, or a narrower one that the environment variable SAMPLENET_ISA names.
Isa isa();

// X(namespace) for each instruction set: declares what is compiled once for each of them.
#define FOR_EACH_ISA(X) X(baseline) X(avx2) X(avx512)

// Runs `function(arguments..., parallel)` of the chosen instruction set.
#if defined(__x86_64__)
#define SAMPLENET_DISPATCH(FUNCTION, PARALLEL, ...)                                               \
  const KeepDenormals keep;                                                                       \
  switch (isa()) {                                                                                \
    case Isa::avx512: return avx512::FUNCTION(__VA_ARGS__, guarded(PARALLEL));             \
    case Isa::avx2: return avx2::FUNCTION(__VA_ARGS__, guarded(PARALLEL));                 \
    case Isa::baseline: return baseline::FUNCTION(__VA_ARGS__, guarded(PARALLEL));         \
  }
#else
#define SAMPLENET_DISPATCH(FUNCTION, PARALLEL, ...) \
  const KeepDenormals keep;                         \
  return baseline::FUNCTION(__VA_ARGS__, guarded(PARALLEL))
#endif

}  // namespace samplenet
