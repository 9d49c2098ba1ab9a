// Sums by destination, in a fixed order: what the backward passes scatter is pulled by its destination instead.
#pragma once
#include "cuda_common.cuh"

namespace samplenet {

constexpr int kPullThreads = 256, kPullWarps = kPullThreads / 32;

// Adds up, for the 32 points j = first + lane of a cloud of N, 2 grad[e] (point_j - source_{e / k}) over the entries
// e < E with idx[e] == j. Each warp of the block scans its part of the entries 32 at a time, hits add up in the order
// of e by shuffles, and the parts add up in the order of the warps: the same bits each time, whatever the hardware
// schedules. Chosen over sorting the entries by destination since it needs no workspace, one launch, and N E / 1024
// steps, a small part of what finding the neighbours took; all entries at one destination cost E shuffles, not E^2. An
// index out of range is no hit. Lane j of warp 0 gets the sum.
template <class T, class I>
__device__ void pull(const T* grad, const T* points, const T* source, const I* idx, int64_t first, int64_t N, int64_t E,
                     int64_t k, T (&sum)[3]) {
  __shared__ T parts[kPullWarps][3][32];
  constexpr int kAhead = 4;  // entries a lane loads before it uses any, to hide latency
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const uint64_t width = static_cast<uint64_t>(N - first < 32 ? N - first : 32);
  const int64_t step = 32 * kAhead, part = (E + kPullWarps * step - 1) / (kPullWarps * step) * step;
  const int64_t begin = warp * part, end = begin + part < E ? begin + part : E;
  const T* own = points + 3 * (first + lane < N ? first + lane : first);
  const T x = own[0], y = own[1], z = own[2];
  sum[0] = sum[1] = sum[2] = 0;
  for (int64_t start = begin; start < end; start += step) {
    int to[kAhead];  // lane of the destination, or -1
    T weight[kAhead] = {}, from[kAhead][3] = {};
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int64_t e = start + 32 * a + lane;
      const uint64_t j = e < end ? static_cast<uint64_t>(static_cast<int64_t>(idx[e]) - first) : width;
      to[a] = j < width ? static_cast<int>(j) : -1;
    }
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      if (to[a] < 0) continue;
      const int64_t e = start + 32 * a + lane;
      const int64_t i = k == 1 ? e : E <= UINT32_MAX ? static_cast<uint32_t>(e) / static_cast<uint32_t>(k) : e / k;
      weight[a] = grad[e];
#pragma unroll
      for (int c = 0; c < 3; ++c) from[a][c] = source[3 * i + c];
    }
#pragma unroll
    for (int a = 0; a < kAhead; ++a)
      for (unsigned hits = __ballot_sync(kAll, to[a] >= 0); hits; hits &= hits - 1) {
        const int other = __ffs(hits) - 1;
        const int j = __shfl_sync(kAll, to[a], other);
        const T w = __shfl_sync(kAll, weight[a], other), from_x = __shfl_sync(kAll, from[a][0], other),
                from_y = __shfl_sync(kAll, from[a][1], other), from_z = __shfl_sync(kAll, from[a][2], other);
        if (j != lane) continue;
        sum[0] = add(sum[0], mul(add(w, w), sub(x, from_x)));
        sum[1] = add(sum[1], mul(add(w, w), sub(y, from_y)));
        sum[2] = add(sum[2], mul(add(w, w), sub(z, from_z)));
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
