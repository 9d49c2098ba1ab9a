// Farthest point sampling on the GPU: a block for each cloud, one barrier an iteration.
//
// Each thread holds P points and their squared distance to the picked ones in registers. The farthest goes through the
// warp to shared memory, and every warp reduces those for itself, so all threads know the pick without another
// barrier. P = 0: any number of points, the distances in the workspace; few large clouds: see farthest_points.cuh. A picked
// point's distance is -1.
#include "cuda_common.cuh"
#include "farthest_points.cuh"
#include "farthest_points.h"
#include "types.h"

namespace samplenet {
namespace {

template <class T, class I, int P, int THREADS>
__global__ void __launch_bounds__(THREADS, 1) fps_kernel(const T* __restrict__ points, const I* __restrict__ chosen,
                                                      int64_t N, int64_t S, int64_t m, I* idx, T* distances) {
  constexpr int kHeld = P ? P : 1;
  __shared__ Farthest<T> shared[2][THREADS / 32];
  __shared__ uint32_t picked[P ? P * THREADS / 32 : 1];  // a bit a point, kept while `chosen` lasts
  const uint32_t tid = threadIdx.x, count = static_cast<uint32_t>(N), turns = static_cast<uint32_t>(m);
  const T infinity = static_cast<T>(INFINITY);
  const int64_t cloud = blockIdx.x;
  points += 3 * cloud * N;
  chosen += cloud * S;
  idx += cloud * m;
  distances += cloud * N;

  T x[kHeld], y[kHeld], z[kHeld], near[kHeld];
  if constexpr (P > 0) {
#pragma unroll
    for (int p = 0; p < P; ++p) {
      const uint32_t i = tid + p * THREADS;
      const T* point = points + 3 * static_cast<int64_t>(i < count ? i : 0);
      x[p] = point[0];
      y[p] = point[1];
      z[p] = point[2];
      near[p] = i < count ? infinity : -1;
    }
    for (int word = tid; word < P * THREADS / 32; word += THREADS) picked[word] = 0;
  } else {
    for (int64_t i = tid; i < N; i += THREADS) distances[i] = infinity;
  }
  __syncthreads();

  uint32_t pick = 0;  // the lowest index, should `chosen` hold none: all distances are infinite
  int64_t next = 0;
  for (uint32_t turn = 0;; ++turn) {
    while (next < S) {
      const int64_t c = chosen[next++];
      if (c < 0 || c >= N || (P ? picked[c / 32] >> c % 32 & 1 : distances[c] < 0)) continue;
      pick = static_cast<uint32_t>(c);
      __syncthreads();  // all have read the marks
      if (P && tid == 0) picked[pick / 32] |= 1u << pick % 32;
      break;
    }
    if (tid == 0) idx[turn] = static_cast<I>(pick);
    if (turn + 1 == turns) break;
    const T* point = points + 3 * static_cast<int64_t>(pick);
    const T px = point[0], py = point[1], pz = point[2];
    Farthest<T> best = {-2, 0};
    if constexpr (P > 0) {
#pragma unroll
      for (int p = 0; p < P; ++p) {
        const uint32_t i = tid + p * THREADS;
        near[p] = lesser(i == pick ? -1 : near[p], square_dist(px, py, pz, x[p], y[p], z[p]));
        if (near[p] > best.d) best = {near[p], i};
      }
    } else {
#pragma unroll 4
      for (int64_t i = tid; i < N; i += THREADS) {
        const T d = square_dist(px, py, pz, points[3 * i], points[3 * i + 1], points[3 * i + 2]);
        const T now = lesser(i == pick ? -1 : distances[i], d);
        distances[i] = now;
        if (now > best.d) best = {now, static_cast<uint32_t>(i)};
      }
    }
    pick = block_farthest(best, shared, turn & 1).i;
  }
}

template <class T>
constexpr int64_t kRegisters = 32768 / sizeof(T);  // points that fit the registers of a block

// Above this a block reads its cloud for longer than a launch a turn takes, unless many clouds fill the device.
inline bool is_large(int64_t B, int64_t N) { return N > 32768 && B <= 16; }

}  // namespace

template <class T, class I>
size_t farthest_points_cuda_workspace(int64_t B, int64_t N, int64_t, int64_t) {
  return is_large(B, N) ? large_workspace<T>(B, N) : N > kRegisters<T> ? B * N * sizeof(T) : 0;
}

template <class T, class I>
int farthest_points_cuda(const T* points, const I* chosen, int64_t B, int64_t N, int64_t S, int64_t m, I* idx,
                         void* workspace, void* stream) {
  if (B == 0) return cudaSuccess;
  if (N > kMaxPoints) return cudaErrorInvalidValue;
  if (is_large(B, N)) return sample_large(points, chosen, B, N, S, m, idx, workspace, stream);
  auto run = [&](auto kernel, int threads) {
    return launch(kernel, B, threads, stream, points, chosen, N, S, m, idx, static_cast<T*>(workspace));
  };
  if (N <= 1024) return run(fps_kernel<T, I, 4, 256>, 256);
  if (N <= 2048) return run(fps_kernel<T, I, 8, 256>, 256);
  if (N <= 4096) return run(fps_kernel<T, I, 8, 512>, 512);
  if constexpr (kRegisters<T> == 8192)
    if (N <= 8192) return run(fps_kernel<T, I, 16, 512>, 512);
  return run(fps_kernel<T, I, 0, 1024>, 1024);
}

#define INSTANTIATE(T, I)                                                                   \
  template size_t farthest_points_cuda_workspace<T, I>(int64_t, int64_t, int64_t, int64_t); \
  template int farthest_points_cuda<T, I>(const T*, const I*, int64_t, int64_t, int64_t, int64_t, I*, void*, void*);
FOR_EACH_TYPE(INSTANTIATE)

}  // namespace samplenet
