// k nearest points on the GPU: a warp searches for Q queries at once, its lanes share the points.
//
// k = 1: each lane keeps its minimum, one reduction ends it. Else two scans find up to 32 neighbours: the first takes
// each lane's minimum, and the k-th smallest of these 32 bounds the k-th distance from above so tightly that only about
// 1.4 k points pass it in the second (k = 16); those are gathered in shared memory and sorted across the lanes, 32 at a
// time. More than 32 neighbours: again, leaving out the points up to the last one found. Indices are held in 32 bits,
// so N ends at 2^32 - 2.
#include "cuda_common.cuh"
#include "knn.h"

namespace samplenet {
namespace {

constexpr int kWarps = 8, kThreads = 32 * kWarps;
constexpr int kTileBytes = 4096;  // a coordinate
constexpr uint32_t kNone = 0xffffffffu;

// Calls visit(index, distances to the Q queries) for all points, 32 a step, one a lane; past the end with NaN.
template <class T, int Q, int SIZE, class Visit>
__device__ __forceinline__ void scan(T (&tile)[3][SIZE], const T* points, int64_t N, const T (&query)[Q][3],
                                     bool loaded, Visit visit) {
  constexpr int kTile = SIZE - 11;
  for (int64_t start = 0; start < N; start += kTile) {
    const int count = static_cast<int>(N - start < kTile ? N - start : kTile), padded = (count + 31) / 32 * 32;
    if (!loaded || N > kTile) {
      __syncthreads();
      load_tile(tile, points + 3 * start, count, padded);
      __syncthreads();
    }
    for (int i = threadIdx.x % 32; i < padded; i += 32) {
      const T x = tile[0][i], y = tile[1][i], z = tile[2][i];
      T d[Q];
#pragma unroll
      for (int q = 0; q < Q; ++q) d[q] = square_dist(query[q][0], query[q][1], query[q][2], x, y, z);
      visit(static_cast<uint32_t>(start + i), d);
    }
  }
}

// One step of a bitonic network across the lanes; `up`: smaller pairs to lower lanes.
template <class T>
__device__ __forceinline__ void exchange(T& d, uint32_t& i, int stride, bool up) {
  const T other_d = __shfl_xor_sync(kAll, d, stride);
  const uint32_t other_i = __shfl_xor_sync(kAll, i, stride);
  const bool lower = (threadIdx.x & stride) == 0;
  if (before(other_d, other_i, d, i) == (up == lower)) d = other_d, i = other_i;
}

template <class T>
__device__ __forceinline__ void sort_lanes(T& d, uint32_t& i) {
#pragma unroll
  for (int size = 2; size <= 32; size *= 2)
#pragma unroll
    for (int stride = size / 2; stride; stride /= 2) exchange(d, i, stride, (threadIdx.x % 32 & size) == 0);
}

// The 32 smallest of two sorted rows of 32 pairs, sorted, to the first.
template <class T>
__device__ __forceinline__ void merge_lanes(T& d, uint32_t& i, T new_d, uint32_t new_i) {
  const T other_d = __shfl_xor_sync(kAll, new_d, 31);
  const uint32_t other_i = __shfl_xor_sync(kAll, new_i, 31);
  if (before(other_d, other_i, d, i)) d = other_d, i = other_i;
#pragma unroll
  for (int stride = 16; stride; stride /= 2) exchange(d, i, stride, true);
}

// The largest number below a distance: what comes later in the scan must be nearer than the k-th, not as near.
__device__ __forceinline__ float below(float d) { return d > 0 ? __int_as_float(__float_as_int(d) - 1) : -1.0f; }
__device__ __forceinline__ double below(double d) {
  return d > 0 ? __longlong_as_double(__double_as_longlong(d) - 1) : -1.0;
}

// The cloud and the queries a warp works for; past the last query it repeats that one.
template <class T, int Q>
__device__ __forceinline__ void load_queries(const T* queries, int64_t cloud, int64_t first, int64_t M,
                                             T (&query)[Q][3]) {
#pragma unroll
  for (int q = 0; q < Q; ++q)
    for (int c = 0; c < 3; ++c) query[q][c] = queries[3 * (cloud * M + (first + q < M ? first + q : M - 1)) + c];
}

template <class T, class I, int Q>
__global__ void __launch_bounds__(kThreads) nearest_kernel(const T* __restrict__ queries, const T* __restrict__ points,
                                                           int64_t M, int64_t N, int64_t blocks, T* dist2, I* idx) {
  __shared__ T tile[3][kTileBytes / sizeof(T) + 11];
  const int64_t cloud = blockIdx.x / blocks, first = (blockIdx.x % blocks * kWarps + threadIdx.x / 32) * Q;
  T query[Q][3], best[Q];
  uint32_t who[Q];
  load_queries(queries, cloud, first, M, query);
#pragma unroll
  for (int q = 0; q < Q; ++q) best[q] = static_cast<T>(INFINITY), who[q] = kNone;
  scan(tile, points + 3 * cloud * N, N, query, false, [&](uint32_t i, const T(&d)[Q]) {
#pragma unroll
    for (int q = 0; q < Q; ++q)
      if (d[q] < best[q]) best[q] = d[q], who[q] = i;
  });
#pragma unroll
  for (int q = 0; q < Q; ++q) {
    for (int stride = 16; stride; stride /= 2) exchange(best[q], who[q], stride, true);  // lane 0 gets the smallest
    if (threadIdx.x % 32 == 0 && first + q < M) {
      dist2[cloud * M + first + q] = best[q];
      idx[cloud * M + first + q] = who[q] == kNone ? 0 : static_cast<I>(who[q]);  // none is finite: the first
    }
  }
}

template <class T, class I, int Q>
__global__ void __launch_bounds__(kThreads) knn_kernel(const T* __restrict__ queries, const T* __restrict__ points,
                                                       int64_t M, int64_t N, int64_t k, int64_t blocks, T* dist2,
                                                       I* idx) {
  __shared__ T tile[3][kTileBytes / sizeof(T) + 11];
  __shared__ T pending_d[kWarps][Q][64];  // pairs that passed the bound and are not sorted yet
  __shared__ uint32_t pending_i[kWarps][Q][64];
  const T infinity = static_cast<T>(INFINITY);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t cloud = blockIdx.x / blocks, first = (blockIdx.x % blocks * kWarps + warp) * Q;
  points += 3 * cloud * N;
  T query[Q][3], last_d[Q], best_d[Q], bound[Q];  // best: the nearest of this round, sorted across the lanes
  uint32_t last_i[Q], best_i[Q];                  // last: the farthest of the rounds before
  int held[Q];
  load_queries(queries, cloud, first, M, query);

  for (int64_t done = 0; done < k; done += 32) {
    const int wanted = static_cast<int>(k - done < 32 ? k - done : 32);
#pragma unroll
    for (int q = 0; q < Q; ++q) bound[q] = best_d[q] = infinity, best_i[q] = kNone, held[q] = 0;
    scan(tile, points, N, query, done > 0, [&](uint32_t i, const T(&d)[Q]) {
#pragma unroll
      for (int q = 0; q < Q; ++q)
        if (done == 0 || before(last_d[q], last_i[q], d[q], i)) bound[q] = lesser(bound[q], d[q]);
    });
#pragma unroll
    for (int q = 0; q < Q; ++q) {
      uint32_t any = lane;
      sort_lanes(bound[q], any);
      bound[q] = __shfl_sync(kAll, bound[q], wanted - 1);
    }

    // Sorts 32 pending pairs in; the bound then excludes also what is as far as the k-th, which came earlier.
    auto flush = [&](int q) {
      __syncwarp();
      T d = lane < held[q] ? pending_d[warp][q][lane] : infinity;
      uint32_t i = lane < held[q] ? pending_i[warp][q][lane] : kNone;
      const T rest_d = pending_d[warp][q][lane + 32];
      const uint32_t rest_i = pending_i[warp][q][lane + 32];
      __syncwarp();
      pending_d[warp][q][lane] = rest_d, pending_i[warp][q][lane] = rest_i;
      held[q] = held[q] > 32 ? held[q] - 32 : 0;
      sort_lanes(d, i);
      merge_lanes(best_d[q], best_i[q], d, i);
      if (__shfl_sync(kAll, best_i[q], wanted - 1) != kNone)
        bound[q] = lesser(bound[q], below(__shfl_sync(kAll, best_d[q], wanted - 1)));
    };
    scan(tile, points, N, query, true, [&](uint32_t i, const T(&distance)[Q]) {
#pragma unroll
      for (int q = 0; q < Q; ++q) {
        const T d = lesser(distance[q], infinity);
        const bool hit = d <= bound[q] && i < N && (done == 0 || before(last_d[q], last_i[q], d, i));
        const unsigned hits = __ballot_sync(kAll, hit);
        if (!hits) continue;
        if (hit) {
          const int at = held[q] + __popc(hits & ((1u << lane) - 1));
          pending_d[warp][q][at] = d, pending_i[warp][q][at] = i;
        }
        held[q] += __popc(hits);
        if (held[q] >= 32) flush(q);
      }
    });
#pragma unroll
    for (int q = 0; q < Q; ++q) {
      if (held[q]) flush(q);
      if (lane < wanted && first + q < M) {
        dist2[(cloud * M + first + q) * k + done + lane] = best_d[q];
        idx[(cloud * M + first + q) * k + done + lane] = static_cast<I>(best_i[q]);
      }
      last_d[q] = __shfl_sync(kAll, best_d[q], 31), last_i[q] = __shfl_sync(kAll, best_i[q], 31);
    }
  }
}

template <class T, class I, int Q>
int run(const T* queries, const T* points, int64_t B, int64_t M, int64_t N, int64_t k, T* dist2, I* idx,
        void* stream) {
  const int64_t blocks = ceil_div(M, kWarps * Q);
  if (k == 1) return launch(nearest_kernel<T, I, Q>, B * blocks, kThreads, stream, queries, points, M, N, blocks, dist2, idx);
  return launch(knn_kernel<T, I, Q>, B * blocks, kThreads, stream, queries, points, M, N, k, blocks, dist2, idx);
}

}  // namespace

template <class T, class I>
size_t knn_cuda_workspace(int64_t, int64_t, int64_t, int64_t) {
  return 0;
}

template <class T, class I>
int knn_cuda(const T* queries, const T* points, int64_t B, int64_t M, int64_t N, int64_t k, T* dist2, I* idx, void*,
             void* stream) {
  if (B == 0 || M == 0) return cudaSuccess;
  if (N > kMaxPoints) return cudaErrorInvalidValue;
  // Four queries a warp save loads; one a warp fills the device when there are few.
  if (B * M >= 16384) return run<T, I, 4>(queries, points, B, M, N, k, dist2, idx, stream);
  return run<T, I, 1>(queries, points, B, M, N, k, dist2, idx, stream);
}

#define INSTANTIATE(T, I)                                                                                          \
  template size_t knn_cuda_workspace<T, I>(int64_t, int64_t, int64_t, int64_t);                                    \
  template int knn_cuda<T, I>(const T*, const T*, int64_t, int64_t, int64_t, int64_t, T*, I*, void*, void*);
INSTANTIATE(float, int32_t)
INSTANTIATE(float, int64_t)
INSTANTIATE(double, int32_t)
INSTANTIATE(double, int64_t)

}  // namespace samplenet
