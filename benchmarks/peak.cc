// How long the arithmetic of a search takes when nothing else is done: for ops.py and layers.py alone.
//
//   peak PAIRS       ->  nanoseconds one thread takes for so many pairs of points, from registers
//   peak COUNT fused ->  the same for so many fused multiply-adds
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "simd.h"

using namespace samplenet::SAMPLENET_ISA;

#if defined(__x86_64__)
#define OPAQUE(v) asm volatile("" : "+v"(v))  // the compiler must take the value as new
#else
#define OPAQUE(v) asm volatile("" : "+w"(v))
#endif

using S = Simd<float>;

void pairs(long count) {
  constexpr int Q = S::W == 16 ? 4 : 2;
  S::V x[Q], y[Q], z[Q], low[Q];
  for (int q = 0; q < Q; ++q) x[q] = y[q] = z[q] = S::set(0.1f * (q + 1)), low[q] = S::set(INF<float>);
  S::V px = S::set(0.3f), py = S::set(0.4f), pz = S::set(0.5f);
  for (long i = 0; i < count / (S::W * Q); ++i) {
    OPAQUE(px);
    OPAQUE(py);
    OPAQUE(pz);
    for (int q = 0; q < Q; ++q) low[q] = S::min(squared<S::V>(x[q] - px, y[q] - py, z[q] - pz), low[q]);
    for (int q = 0; q < Q; ++q) OPAQUE(low[q]);
  }
}

void fused(long count) {
  constexpr int SUMS = 12;  // more than a fused multiply-add's latency times those begun in a cycle
  S::V sum[SUMS], x = S::set(0.5f);
#pragma GCC unroll 12
  for (int i = 0; i < SUMS; ++i) sum[i] = S::set(0.1f * i);
  for (long done = 0; done < count / (S::W * SUMS); ++done) {
#pragma GCC unroll 12
    for (int i = 0; i < SUMS; ++i) {
      sum[i] = S::fma(x, x, sum[i]);
      OPAQUE(sum[i]);
    }
  }
}

int main(int argc, char** argv) {
  const long count = argc > 1 ? std::atol(argv[1]) : 1000000000;
  const auto start = std::chrono::steady_clock::now();
  if (argc > 2) {
    fused(count);
  } else {
    pairs(count);
  }
  const auto stop = std::chrono::steady_clock::now();
  std::printf("%.1f\n", std::chrono::duration<double, std::nano>(stop - start).count());
}
