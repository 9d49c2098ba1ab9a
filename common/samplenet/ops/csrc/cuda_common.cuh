// What the CUDA kernels share: exact arithmetic, launches, tiles of points, and sums by destination.
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
// alone, where cudaGetLastError could report an older error.
template <class... P>
int launch(void (*kernel)(P...), int64_t blocks, int threads, void* stream, typename Same<P>::type... args) {
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

constexpr int kPullThreads = 256, kPullWarps = kPullThreads / 32;

// Adds up, for the 32 points j = first + lane of a cloud of N, 2 grad[e] (point_j - source_{e / k}) over the entries
// e < E with idx[e] == j. Each warp of the block scans its part of the entries 32 at a time, hits add up in the order
// of e by shuffles, and the parts add up in the order of the warps: the same bits each time, without atomics, sorting
// or memory, and with N E / 1024 steps a small part of what finding the neighbours took. An index out of range is no
// hit. Lane j of warp 0 gets the sum.
template <class T, class I>
__device__ void pull(const T* grad, const T* points, const T* source, const I* idx, int64_t first, int64_t N, int64_t E,
                     int64_t k, T (&sum)[3]) {
  __shared__ T parts[kPullWarps][3][32];
  constexpr int kAhead = 4;  // indices loaded before any is used, to hide latency
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const uint64_t width = static_cast<uint64_t>(N - first < 32 ? N - first : 32);
  const int64_t step = 32 * kAhead, part = (E + kPullWarps * step - 1) / (kPullWarps * step) * step;
  const int64_t begin = warp * part, end = begin + part < E ? begin + part : E;
  sum[0] = sum[1] = sum[2] = 0;
  for (int64_t start = begin; start < end; start += step) {
    uint64_t to[kAhead];
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int64_t e = start + 32 * a + lane;
      to[a] = e < end ? static_cast<uint64_t>(static_cast<int64_t>(idx[e]) - first) : width;
    }
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      unsigned hits = __ballot_sync(kAll, to[a] < width);
      if (!hits) continue;
      T term[3] = {0, 0, 0};
      if (to[a] < width) {
        const int64_t e = start + 32 * a + lane;
        const int64_t i = k == 1 ? e : E <= UINT32_MAX ? static_cast<uint32_t>(e) / static_cast<uint32_t>(k) : e / k;
        const T twice = grad[e] + grad[e];
        for (int c = 0; c < 3; ++c) term[c] = mul(twice, sub(points[3 * (first + to[a]) + c], source[3 * i + c]));
      }
      for (; hits; hits &= hits - 1) {
        const int from = __ffs(hits) - 1;
        const bool mine = __shfl_sync(kAll, static_cast<int>(to[a]), from) == lane;
        for (int c = 0; c < 3; ++c) {
          const T value = __shfl_sync(kAll, term[c], from);
          if (mine) sum[c] = add(sum[c], value);
        }
      }
    }
  }
  for (int c = 0; c < 3; ++c) parts[warp][c][lane] = sum[c];
  __syncthreads();
  if (warp == 0) {
    for (int w = 1; w < kPullWarps; ++w)
      for (int c = 0; c < 3; ++c) sum[c] = add(sum[c], parts[w][c][lane]);
  }
}

}  // namespace samplenet
