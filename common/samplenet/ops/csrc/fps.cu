// Farthest point sampling on the GPU: a block for each cloud, one barrier an iteration.
//
// Each thread holds P points and their squared distance to the picked ones in registers. The farthest goes through the
// warp to shared memory, and every warp reduces those for itself, so all threads know the pick without another
// barrier. P = 0: any number of points, the distances in the workspace. A picked point's distance is -1.
#include "cuda_common.cuh"
#include "fps.h"

namespace samplenet {
namespace {

// The largest value of the warp and its lowest index, to all lanes.
template <class T>
__device__ __forceinline__ void warp_farthest(T& d, uint32_t& i) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  constexpr bool kReduce = sizeof(T) == sizeof(float);
#else
  constexpr bool kReduce = false;
#endif
  if constexpr (kReduce) {  // the bits of floats >= 0 order as integers do
    const int bits = __float_as_int(d), top = __reduce_max_sync(kAll, bits);
    i = __reduce_min_sync(kAll, bits == top ? i : 0xffffffffu);
    d = __int_as_float(top);
  } else {
#pragma unroll
    for (int stride = 16; stride; stride /= 2) {
      const T other_d = __shfl_xor_sync(kAll, d, stride);
      const uint32_t other_i = __shfl_xor_sync(kAll, i, stride);
      if (other_d > d || (other_d == d && other_i < i)) d = other_d, i = other_i;
    }
  }
}

template <class T, class I, int P, int THREADS>
__global__ void __launch_bounds__(THREADS) fps_kernel(const T* __restrict__ points, const I* __restrict__ chosen,
                                                      int64_t N, int64_t S, int64_t m, I* idx, T* distances) {
  constexpr int kWarps = THREADS / 32, kHeld = P ? P : 1;
  __shared__ T warp_d[2][kWarps];
  __shared__ uint32_t warp_i[2][kWarps];
  __shared__ uint32_t picked[P ? P * THREADS / 32 : 1];  // a bit a point, kept while `chosen` lasts
  const int tid = threadIdx.x, lane = tid % 32;
  const uint32_t count = static_cast<uint32_t>(N);
  const T infinity = static_cast<T>(INFINITY);
  points += 3 * blockIdx.x * N, chosen += blockIdx.x * S, idx += blockIdx.x * m, distances += blockIdx.x * N;

  T x[kHeld], y[kHeld], z[kHeld], near[kHeld];
  if constexpr (P > 0) {
#pragma unroll
    for (int p = 0; p < P; ++p) {
      const uint32_t i = tid + p * THREADS;
      const T* point = points + 3 * static_cast<int64_t>(i < count ? i : 0);
      x[p] = point[0], y[p] = point[1], z[p] = point[2];
      near[p] = i < count ? infinity : -1;
    }
    for (int word = tid; word < P * THREADS / 32; word += THREADS) picked[word] = 0;
  } else {
    for (int64_t i = tid; i < N; i += THREADS) distances[i] = infinity;
  }
  __syncthreads();

  uint32_t pick = 0;  // the lowest index, should `chosen` hold none: all distances are infinite
  int64_t next = 0;
  for (int64_t turn = 0; turn < m; ++turn) {
    while (next < S) {
      const int64_t c = chosen[next++];
      if (c < 0 || c >= N || (P ? picked[c / 32] >> c % 32 & 1 : distances[c] < 0)) continue;
      pick = static_cast<uint32_t>(c);
      __syncthreads();  // all have read the marks
      if (P && tid == 0) picked[pick / 32] |= 1u << pick % 32;
      break;
    }
    if (tid == 0) idx[turn] = static_cast<I>(pick);
    if (turn + 1 == m) break;
    const T* point = points + 3 * static_cast<int64_t>(pick);
    const T px = point[0], py = point[1], pz = point[2];
    T far_d = -2;
    uint32_t far_i = 0;
    if constexpr (P > 0) {
#pragma unroll
      for (int p = 0; p < P; ++p) {
        const uint32_t i = tid + p * THREADS;
        near[p] = i == pick ? -1 : lesser(near[p], square_dist(px, py, pz, x[p], y[p], z[p]));
        if (near[p] > far_d) far_d = near[p], far_i = i;
      }
    } else {
#pragma unroll 4
      for (int64_t i = tid; i < N; i += THREADS) {
        const T* other = points + 3 * i;
        const T d = lesser(distances[i], square_dist(px, py, pz, other[0], other[1], other[2]));
        const T now = i == pick ? -1 : d;
        distances[i] = now;
        if (now > far_d) far_d = now, far_i = static_cast<uint32_t>(i);
      }
    }
    warp_farthest(far_d, far_i);
    const int side = turn & 1;  // a warp may be one iteration ahead
    if (lane == 0) warp_d[side][tid / 32] = far_d, warp_i[side][tid / 32] = far_i;
    __syncthreads();
    far_d = warp_d[side][lane % kWarps], far_i = warp_i[side][lane % kWarps];
    warp_farthest(far_d, far_i);
    pick = far_i;
  }
}

}  // namespace

// More than 8192 points (4096 in double) go beyond the registers of a block.
template <class T, class I>
size_t farthest_points_cuda_workspace(int64_t B, int64_t N, int64_t, int64_t) {
  return N > static_cast<int64_t>(32768 / sizeof(T)) ? B * N * sizeof(T) : 0;
}

template <class T, class I>
int farthest_points_cuda(const T* points, const I* chosen, int64_t B, int64_t N, int64_t S, int64_t m, I* idx,
                         void* workspace, void* stream) {
  if (B == 0) return cudaSuccess;
  if (N > kMaxPoints) return cudaErrorInvalidValue;
  auto run = [&](auto kernel, int threads) {
    return launch(kernel, B, threads, stream, points, chosen, N, S, m, idx, static_cast<T*>(workspace));
  };
  if (N <= 1024) return run(fps_kernel<T, I, 4, 256>, 256);
  if (N <= 2048) return run(fps_kernel<T, I, 8, 256>, 256);
  if (N <= 4096) return run(fps_kernel<T, I, 8, 512>, 512);
  if constexpr (sizeof(T) == sizeof(float))
    if (N <= 8192) return run(fps_kernel<T, I, 16, 512>, 512);
  return run(fps_kernel<T, I, 0, 1024>, 1024);
}

#define INSTANTIATE(T, I)                                                                                       \
  template size_t farthest_points_cuda_workspace<T, I>(int64_t, int64_t, int64_t, int64_t);                     \
  template int farthest_points_cuda<T, I>(const T*, const I*, int64_t, int64_t, int64_t, int64_t, I*, void*, void*);
INSTANTIATE(float, int32_t)
INSTANTIATE(float, int64_t)
INSTANTIATE(double, int32_t)
INSTANTIATE(double, int64_t)

}  // namespace samplenet
