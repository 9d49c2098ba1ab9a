// How long the arithmetic of a nearest-neighbour search takes when nothing else is done: for ops.py alone.
//
//   peak PAIRS  ->  nanoseconds one thread takes for so many pairs of points, from registers
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

int main(int argc, char** argv) {
  using S = Simd<float>;
  constexpr int Q = S::W == 16 ? 4 : 2;
  const long pairs = argc > 1 ? std::atol(argv[1]) : 1000000000;
  S::V x[Q], y[Q], z[Q], low[Q];
  for (int q = 0; q < Q; ++q) x[q] = y[q] = z[q] = S::set(0.1f * (q + 1)), low[q] = S::set(INF<float>);
  S::V px = S::set(0.3f), py = S::set(0.4f), pz = S::set(0.5f);
  const auto start = std::chrono::steady_clock::now();
  for (long i = 0; i < pairs / (S::W * Q); ++i) {
    OPAQUE(px);
    OPAQUE(py);
    OPAQUE(pz);
    for (int q = 0; q < Q; ++q) low[q] = S::min(squared<S::V>(x[q] - px, y[q] - py, z[q] - pz), low[q]);
    for (int q = 0; q < Q; ++q) OPAQUE(low[q]);
  }
  const auto stop = std::chrono::steady_clock::now();
  std::printf("%.1f\n", std::chrono::duration<double, std::nano>(stop - start).count());
}
