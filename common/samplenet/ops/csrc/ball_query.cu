// The ball query on the GPU: a warp goes through the points for one query, 32 at a time, until it has k. The warps of a
// block share tiles of points in shared memory, and the block ends when none of them seeks more.
#include "ball_query.h"
#include "cuda_common.cuh"
#include "knn_scan.cuh"
#include "types.h"

namespace samplenet {
namespace {

template <class T, class I>
__global__ void __launch_bounds__(kThreads) ball_query_kernel(const T* __restrict__ queries,
                                                              const T* __restrict__ points, Job job, T bound,
                                                              int64_t k, I* idx, I* count) {
  __shared__ Tile<T> tile;
  __shared__ bool seeks[kWarps];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  T query[1][3];
  job.take(1);
  load_queries(queries, job, query);
  const bool inside = job.first < job.M;
  I* row = idx + (inside ? job.row(0) * k : 0);
  int64_t found = 0, lowest = 0;
  for (int64_t start = 0; start < job.N; start += kTile<T>) {
    if (lane == 0) seeks[warp] = inside && found < k;
    __syncthreads();  // after it nobody needs the tile before
    bool more = false;
    for (int w = 0; w < kWarps; ++w) more = more || seeks[w];
    if (!more) break;
    const int size = static_cast<int>(job.N - start < kTile<T> ? job.N - start : kTile<T>), steps = (size + 31) / 32;
    load_tile(tile, points + 3 * (job.cloud * job.N + start), size, 32 * steps);
    __syncthreads();
    for (int step = 0; inside && found < k && step < steps; ++step) {
      const int at = 32 * step + lane;
      const T d = square_dist(query[0][0], query[0][1], query[0][2], tile[0][at], tile[1][at], tile[2][at]);
      const bool hit = d < bound;  // false for NaN
      const unsigned hits = __ballot_sync(kAll, hit);
      const int64_t rank = found + __popc(hits & ((1u << lane) - 1));
      if (hit && rank < k) row[rank] = static_cast<I>(start + at);
      if (found == 0 && hits) lowest = start + 32 * step + __ffs(hits) - 1;
      found += __popc(hits);
    }
  }
  if (!inside) return;
  if (found > k) found = k;
  for (int64_t rank = found + lane; rank < k; rank += 32) row[rank] = static_cast<I>(lowest);
  if (lane == 0) count[job.row(0)] = static_cast<I>(found);
}

}  // namespace

template <class T, class I>
int ball_query_cuda(const T* queries, const T* points, int64_t B, int64_t M, int64_t N, double radius, int64_t k,
                    I* idx, I* count, void* stream) {
  const int64_t blocks = ceil_div(M, kWarps);
  if (blocks > INT32_MAX) return cudaErrorInvalidValue;
  const Job job{M, N, N, static_cast<unsigned>(blocks), 1, 0, 0, 0, 0};
  const T bound = static_cast<T>(radius) * static_cast<T>(radius);
  return launch(ball_query_kernel<T, I>, B * blocks, kThreads, stream, queries, points, job, bound, k, idx, count);
}

#define INSTANTIATE(T, I)                                                                                         \
  template int ball_query_cuda<T, I>(const T*, const T*, int64_t, int64_t, int64_t, double, int64_t, I*, I*, void*);
FOR_EACH_TYPE(INSTANTIATE)

}  // namespace samplenet
