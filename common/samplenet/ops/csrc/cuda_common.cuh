// What the CUDA kernels share: exact arithmetic, launches, tiles of points.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>

#ifdef __CUDACC__
#include <cuda_runtime.h>
#else
#include "cuda_emulator.h"  // runs the kernels on the CPU in the tests
#endif

namespace samplenet {

constexpr unsigned kAll = 0xffffffffu;  // every lane of a warp
constexpr int64_t kMaxPoints = 0xfffffffe;  // kernels hold indices in 32 bits and keep the last as "none"

template <class T>
struct Same {
  using type = T;
};

// A one-dimensional grid reaches 2^31 - 1 blocks, where y and z end at 65535. cudaLaunchKernel answers for this launch
// alone, where cudaGetLastError could report an older error. No block is no launch.
template <class... P>
int launch(void (*kernel)(P...), int64_t blocks, int threads, void* stream, typename Same<P>::type... args) {
  if (blocks == 0) return cudaSuccess;
  if (blocks > INT32_MAX) return cudaErrorInvalidValue;
#ifdef __CUDACC__
  void* list[] = {&args...};
  return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), dim3(static_cast<unsigned>(blocks)),
                          dim3(static_cast<unsigned>(threads)), list, 0, static_cast<cudaStream_t>(stream));
#else
  (void)stream;
  return emulator::run(blocks, threads, [&] { kernel(args...); });
#endif
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Intrinsics, because a compiler may fuse plain operators.
__device__ __forceinline__ float sub(float a, float b) { return __fsub_rn(a, b); }
__device__ __forceinline__ double sub(double a, double b) { return __dsub_rn(a, b); }
__device__ __forceinline__ float add(float a, float b) { return __fadd_rn(a, b); }
__device__ __forceinline__ double add(double a, double b) { return __dadd_rn(a, b); }
__device__ __forceinline__ float mul(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ double mul(double a, double b) { return __dmul_rn(a, b); }
// The smaller; a NaN loses, so that min(infinity, d) also turns NaN into infinity.
__device__ __forceinline__ float lesser(float a, float b) { return fminf(a, b); }
__device__ __forceinline__ double lesser(double a, double b) { return fmin(a, b); }

template <class T>
__device__ __forceinline__ T square_dist(T ax, T ay, T az, T bx, T by, T bz) {
  const T x = sub(ax, bx), y = sub(ay, by), z = sub(az, bz);
  return add(add(mul(x, x), mul(y, y)), mul(z, z));
}

// Order of (distance, index) pairs.
template <class T>
__device__ __forceinline__ bool before(T d, uint32_t i, T other_d, uint32_t other_i) {
  return d < other_d || (d == other_d && i < other_i);
}

// Points [0, count) of a cloud to shared memory, one array a coordinate; NaN up to `padded`. Reads are coalesced, and
// with arrays 11 words longer than a multiple of 32 the three coordinates of a point fall in different banks.
template <class T, int SIZE>
__device__ __forceinline__ void load_tile(T (&tile)[3][SIZE], const T* points, int count, int padded) {
  for (int flat = threadIdx.x; flat < 3 * padded; flat += blockDim.x) {
    const int i = flat / 3;
    tile[flat - 3 * i][i] = i < count ? points[flat] : static_cast<T>(NAN);
  }
}

}  // namespace samplenet
