// How a warp goes through the points for its queries, the search for the one nearest point, and merging what several
// warps found for a query.
#pragma once
#include "cuda_common.cuh"
#include "warp_sort.cuh"

namespace samplenet {
namespace {

constexpr int kWarps = 8, kThreads = 32 * kWarps;
constexpr int kTileBytes = 4096;  // a coordinate
constexpr uint32_t kNone = 0xffffffffu;

template <class T>
constexpr int kTile = kTileBytes / sizeof(T);  // points; at most 32 a lane, for the masks
template <class T>
using Tile = T[3][kTile<T> + 11];

// What a warp works on: queries first + q of a cloud, and the points begin <= i < begin + count of it.
struct Job {
  int64_t M, N, share;           // queries and points of a cloud, points of a part
  unsigned query_blocks, parts;  // a cloud has query_blocks * parts blocks
  int64_t cloud, first, begin, count;

  __device__ __forceinline__ void take(int Q) {
    const unsigned block = blockIdx.x % (query_blocks * parts);
    cloud = blockIdx.x / (query_blocks * parts);
    first = (static_cast<int64_t>(block / parts) * kWarps + threadIdx.x / 32) * Q;
    begin = block % parts * share;
    count = N - begin < share ? N - begin : share;
  }
  // The row of the output for a query.
  __device__ __forceinline__ int64_t row(int q) const {
    return (cloud * M + first + q) * parts + blockIdx.x % parts;  // parts divide the blocks of a cloud
  }
};

// The warp's queries; past the last one it repeats that.
template <class T, int Q>
__device__ __forceinline__ void load_queries(const T* queries, const Job& job, T (&query)[Q][3]) {
#pragma unroll
  for (int q = 0; q < Q; ++q)
    for (int c = 0; c < 3; ++c)
      query[q][c] = queries[3 * (job.cloud * job.M + (job.first + q < job.M ? job.first + q : job.M - 1)) + c];
}

// For each tile of points: visit(tile's first index, step, squared distances) for the point 32 step + lane of the tile,
// NaN past the end, then finish(tile's first index).
template <class T, int Q, class Visit, class Finish>
__device__ __forceinline__ void scan(Tile<T>& tile, const T* points, int64_t N, const T (&query)[Q][3], bool loaded,
                                     Visit visit, Finish finish) {
  for (int64_t start = 0; start < N; start += kTile<T>) {
    const int count = static_cast<int>(N - start < kTile<T> ? N - start : kTile<T>), steps = (count + 31) / 32;
    if (!loaded || N > kTile<T>) {
      __syncthreads();
      load_tile(tile, points + 3 * start, count, 32 * steps);
      __syncthreads();
    }
    const int lane = threadIdx.x % 32;
#pragma unroll 4
    for (int step = 0; step < steps; ++step) {
      const T x = tile[0][32 * step + lane], y = tile[1][32 * step + lane], z = tile[2][32 * step + lane];
      T d[Q];
#pragma unroll
      for (int q = 0; q < Q; ++q) d[q] = square_dist(query[q][0], query[q][1], query[q][2], x, y, z);
      visit(start, step, d);
    }
    finish(start);
  }
}

// k = 1: each lane keeps its minimum, one reduction ends it.
template <class T, class I, int Q>
__global__ void __launch_bounds__(kThreads) nearest_kernel(const T* __restrict__ queries, const T* __restrict__ points,
                                                           Job job, T* dist2, I* idx) {
  __shared__ Tile<T> tile;
  const int lane = threadIdx.x % 32;
  T query[Q][3], best[Q];
  uint32_t who[Q];
  job.take(Q);
  load_queries(queries, job, query);
#pragma unroll
  for (int q = 0; q < Q; ++q) {
    best[q] = static_cast<T>(INFINITY);
    who[q] = kNone;
  }
  scan(
      tile, points + 3 * (job.cloud * job.N + job.begin), job.count, query, false,
      [&](int64_t start, int step, const T(&d)[Q]) {
#pragma unroll
        for (int q = 0; q < Q; ++q)
          if (d[q] < best[q]) {
            best[q] = d[q];
            who[q] = static_cast<uint32_t>(start) + 32 * step + lane;
          }
      },
      [](int64_t) {});
#pragma unroll
  for (int q = 0; q < Q; ++q) {
    for (int stride = 16; stride; stride /= 2) exchange(best[q], who[q], stride, true);  // lane 0 gets the smallest
    if (lane == 0 && job.first + q < job.M) {
      dist2[job.row(q)] = best[q];
      idx[job.row(q)] = static_cast<I>(job.begin + (who[q] == kNone ? 0 : who[q]));  // none is finite: the first
    }
  }
}

// The k <= 32 nearest of what the parts found, a warp a query; each part's k are sorted.
template <class T, class I>
__global__ void __launch_bounds__(kThreads) merge_kernel(const T* part_d, const I* part_i, int64_t rows, int64_t parts,
                                                         int k, T* dist2, I* idx) {
  const int lane = threadIdx.x % 32;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  if (row >= rows) return;
  T best_d = static_cast<T>(INFINITY);
  uint32_t best_i = kNone;
  for (int64_t part = row * parts; part < (row + 1) * parts; ++part) {
    const T d = lane < k ? part_d[part * k + lane] : static_cast<T>(INFINITY);
    merge_lanes(best_d, best_i, d, lane < k ? static_cast<uint32_t>(part_i[part * k + lane]) : kNone);
  }
  if (lane < k) dist2[row * k + lane] = best_d, idx[row * k + lane] = static_cast<I>(best_i);
}

// Warps for a query: enough to fill the device, but each with 2048 points or more (a last one with some 60 less).
inline int64_t parts_of(int64_t rows, int64_t N, int64_t k) {
  if (rows == 0 || k > 32 || N < 4096) return 1;
  const int64_t wanted = ceil_div(2048, rows), most = N / 2048 < 64 ? N / 2048 : 64;
  return wanted < most ? wanted : most;
}

}  // namespace
}  // namespace samplenet
