// From (distance, group) to (distance, lowest index): the second half of chamfer.cu.
#pragma once
#include "cuda_common.cuh"

namespace samplenet {
namespace {

using Key = unsigned long long;
constexpr int kRows = 8, kLocateThreads = 256;

__device__ __forceinline__ Key make_key(float d, uint32_t group) {
  return static_cast<Key>(static_cast<uint32_t>(__float_as_int(d))) << 32 | group;
}

// WIDTH lanes find the first of the WIDTH candidates in the key's group that lies at the key's distance.
template <class I, int WIDTH>
__device__ void locate(const float* points, const float* candidates, const Key* keys, int64_t item, int64_t M,
                       int64_t N, int64_t B, float* dist2, I* idx) {
  const int lane = threadIdx.x % 32, rank = lane % WIDTH;
  const bool inside = item < B * M;
  const int64_t at = inside ? item : 0, cloud = at / M;
  const Key key = keys[at];
  const float best = __int_as_float(static_cast<int>(key >> 32));
  const int64_t first = static_cast<int64_t>(key & 0xffffffffu) * WIDTH, j = first + rank;
  bool hit = false;
  if (j < N) {
    const float *p = points + 3 * at, *c = candidates + 3 * (cloud * N + j);
    hit = lesser(INFINITY, square_dist(p[0], p[1], p[2], c[0], c[1], c[2])) == best;
  }
  const unsigned hits = __ballot_sync(kAll, hit) >> (lane - rank);
  if (inside && rank == 0) {
    dist2[item] = best;
    idx[item] = static_cast<I>(first + __ffs(hits) - 1);
  }
}

template <class I>
__global__ void __launch_bounds__(kLocateThreads) locate_kernel(const float* __restrict__ rows,
                                                                const float* __restrict__ cols, int64_t B, int64_t M,
                                                                int64_t N, const Key* row_keys, const Key* col_keys,
                                                                float* row_dist2, float* col_dist2, I* row_idx,
                                                                I* col_idx) {
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kLocateThreads + threadIdx.x;
  if (thread < 32 * B * M)
    locate<I, 32>(rows, cols, row_keys, thread / 32, M, N, B, row_dist2, row_idx);
  else
    locate<I, kRows>(cols, rows, col_keys, (thread - 32 * B * M) / kRows, N, M, B, col_dist2, col_idx);
}

}  // namespace
}  // namespace samplenet
