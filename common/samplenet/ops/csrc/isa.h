// Which instruction set the CPU kernels use, decided when the first of them runs.
#pragma once
#include <cstdint>

#include "guarded.h"
#include "parallel.h"

namespace samplenet {

enum class Isa { baseline, avx2, avx512 };

// The widest the processor has, or a narrower one that the environment variable SAMPLENET_ISA names.
Isa isa();

#define SAMPLENET_DECLARE(ISA)                                                                                        \
  namespace ISA {                                                                                                     \
  template <class T, class I>                                                                                         \
  void knn(const T*, const T*, int64_t B, int64_t M, int64_t N, int64_t k, T*, I*, const Parallel&);                  \
  template <class T, class I>                                                                                         \
  void farthest_points(const T*, const I*, int64_t B, int64_t N, int64_t S, int64_t m, I*, const Parallel&);          \
  }
SAMPLENET_DECLARE(baseline)
SAMPLENET_DECLARE(avx2)
SAMPLENET_DECLARE(avx512)

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
