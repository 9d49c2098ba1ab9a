// k nearest points on the GPU: a warp searches for Q queries at once, its lanes share the points.
//
// k = 1: see knn_scan.cuh. Else two scans find up to 32 neighbours: the first takes each lane's minimum, and the k-th
// smallest of these 32 bounds the k-th distance from above so tightly that only some 1.4 k points pass it in the second
// (k = 16); lanes note those in a bit mask, and the warp then sorts them, 32 at a time. More than 32 neighbours, with
// Q = 1: again, leaving out the points up to the last one found. Few queries of many points share the points between
// several warps, and a second kernel merges what they found. Indices are held in 32 bits, so N ends at 2^32 - 2.
#include "cuda_common.cuh"
#include "knn.h"
#include "knn_scan.cuh"
#include "types.h"
#include "warp_sort.cuh"

namespace samplenet {
namespace {

template <class T, class I, int Q>
__global__ void __launch_bounds__(kThreads, sizeof(T) == 4 && Q > 1 ? 4 : 2) knn_kernel(
    const T* __restrict__ queries, const T* __restrict__ points, Job job, int64_t k, T* dist2, I* idx) {
  __shared__ Tile<T> tile;
  __shared__ T pending_d[kWarps][Q][64];  // pairs that passed the bound and are not sorted yet
  __shared__ uint32_t pending_i[kWarps][Q][64];
  const T infinity = static_cast<T>(INFINITY);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  job.take(Q);
  points += 3 * (job.cloud * job.N + job.begin);
  const int64_t N = job.count;
  T query[Q][3], last_d[Q], best_d[Q], bound[Q];  // best: the nearest of this round, sorted across the lanes
  uint32_t last_i[Q], best_i[Q], mask[Q];         // last: the farthest of the rounds before
  int held[Q];                                    // pending pairs
  load_queries(queries, job, query);

  for (int64_t done = 0; done < (Q > 1 ? 1 : k); done += 32) {
    const int wanted = static_cast<int>(k - done < 32 ? k - done : 32);
    auto left = [&](int q, T d, uint32_t i) { return Q > 1 || done == 0 || before(last_d[q], last_i[q], d, i); };
#pragma unroll
    for (int q = 0; q < Q; ++q) {
      bound[q] = best_d[q] = infinity;
      best_i[q] = kNone;
      mask[q] = held[q] = 0;
    }
    scan(
        tile, points, N, query, done > 0,
        [&](int64_t start, int step, const T(&d)[Q]) {
#pragma unroll
          for (int q = 0; q < Q; ++q)
            if (left(q, d[q], static_cast<uint32_t>(start) + 32 * step + lane)) bound[q] = lesser(bound[q], d[q]);
        },
        [](int64_t) {});
#pragma unroll
    for (int q = 0; q < Q; ++q) {
      sort_lanes([&](int stride, bool up) { exchange(bound[q], stride, up); });
      bound[q] = __shfl_sync(kAll, bound[q], wanted - 1);
    }

    // One pair from each lane whose mask has a bit left. NaN passed the bound, and is infinity from here on.
    auto push = [&](int q, int64_t start) {
      const int at = mask[q] ? (__ffs(mask[q]) - 1) * 32 + lane : lane;
      const uint32_t i = static_cast<uint32_t>(start) + at;
      const T d = lesser(
          square_dist(query[q][0], query[q][1], query[q][2], tile[0][at], tile[1][at], tile[2][at]), infinity);
      const bool hit = mask[q] && i < N && left(q, d, i);
      const unsigned hits = __ballot_sync(kAll, hit);
      if (hit) {
        const int to = held[q] + __popc(hits & ((1u << lane) - 1));
        pending_d[warp][q][to] = d;
        pending_i[warp][q][to] = i;
      }
      held[q] += __popc(hits);
      mask[q] &= mask[q] - 1;
    };
    // Sorts 32 pending pairs in. Later tiles then need only what is nearer than the k-th: their indices are higher.
    auto flush = [&](int q) {
      __syncwarp();
      T d = lane < held[q] ? pending_d[warp][q][lane] : infinity;
      uint32_t i = lane < held[q] ? pending_i[warp][q][lane] : kNone;
      const T rest_d = pending_d[warp][q][lane + 32];
      const uint32_t rest_i = pending_i[warp][q][lane + 32];
      __syncwarp();
      held[q] = held[q] > 32 ? held[q] - 32 : 0;
      if (lane < held[q]) {
        pending_d[warp][q][lane] = rest_d;
        pending_i[warp][q][lane] = rest_i;
      }
      sort_lanes([&](int stride, bool up) { exchange(d, i, stride, up); });
      merge_lanes(best_d[q], best_i[q], d, i);
      const T worst = __shfl_sync(kAll, best_d[q], wanted - 1);
      if (__shfl_sync(kAll, best_i[q], wanted - 1) != kNone) bound[q] = lesser(bound[q], below(worst));
    };
    scan(
        tile, points, N, query, true,
        [&](int64_t, int step, const T(&d)[Q]) {
#pragma unroll
          for (int q = 0; q < Q; ++q)
            if (!(d[q] > bound[q])) mask[q] |= 1u << step;
        },
        [&](int64_t start) {
          const bool last = N - start <= kTile<T>;
#pragma unroll
          for (int q = 0; q < Q; ++q)
            while (true) {
              if (held[q] < 32 && __ballot_sync(kAll, mask[q] != 0))
                push(q, start);
              else if (held[q] >= 32 || (last && held[q]))
                flush(q);
              else
                break;
            }
        });
#pragma unroll
    for (int q = 0; q < Q; ++q) {
      if (lane < wanted && job.first + q < job.M) {
        dist2[job.row(q) * k + done + lane] = best_d[q];
        idx[job.row(q) * k + done + lane] = static_cast<I>(job.begin + best_i[q]);
      }
      last_d[q] = __shfl_sync(kAll, best_d[q], 31);
      last_i[q] = __shfl_sync(kAll, best_i[q], 31);
    }
  }
}

template <class T, class I, int Q>
int search(const T* queries, const T* points, int64_t B, int64_t M, int64_t N, int64_t k, int64_t parts, T* dist2,
           I* idx, void* stream) {
  const int64_t blocks = ceil_div(M, kWarps * Q) * parts;
  if (blocks > INT32_MAX) return cudaErrorInvalidValue;
  const unsigned per = static_cast<unsigned>(parts);
  const Job job{M, N, ceil_div(N, parts), static_cast<unsigned>(blocks) / per, per, 0, 0, 0, 0};
  if (k == 1) return launch(nearest_kernel<T, I, Q>, B * blocks, kThreads, stream, queries, points, job, dist2, idx);
  return launch(knn_kernel<T, I, Q>, B * blocks, kThreads, stream, queries, points, job, k, dist2, idx);
}

}  // namespace

template <class T, class I>
size_t knn_cuda_workspace(int64_t B, int64_t M, int64_t N, int64_t k) {
  const int64_t parts = parts_of(B * M, N, k);
  return parts > 1 ? B * M * parts * k * (sizeof(T) + sizeof(I)) : 0;
}

template <class T, class I>
int knn_cuda(const T* queries, const T* points, int64_t B, int64_t M, int64_t N, int64_t k, T* dist2, I* idx,
             void* workspace, void* stream) {
  if (B == 0 || M == 0) return cudaSuccess;
  if (N > kMaxPoints) return cudaErrorInvalidValue;
  const int64_t rows = B * M, parts = parts_of(rows, N, k), found = rows * parts * k;
  // Four queries a warp save loads; one a warp fills the device when there are few.
  if (rows >= 16384 && k <= 32) return search<T, I, 4>(queries, points, B, M, N, k, 1, dist2, idx, stream);
  if (parts == 1) return search<T, I, 1>(queries, points, B, M, N, k, 1, dist2, idx, stream);
  constexpr bool kWide = sizeof(T) > sizeof(I);  // the wider type first, so that both are aligned
  T* part_d = reinterpret_cast<T*>(static_cast<char*>(workspace) + (kWide ? 0 : found * sizeof(I)));
  I* part_i = reinterpret_cast<I*>(static_cast<char*>(workspace) + (kWide ? found * sizeof(T) : 0));
  const int error = search<T, I, 1>(queries, points, B, M, N, k, parts, part_d, part_i, stream);
  if (error) return error;
  return launch(merge_kernel<T, I>, ceil_div(rows, kWarps), kThreads, stream, part_d, part_i, rows, parts,
                static_cast<int>(k), dist2, idx);
}

#define INSTANTIATE(T, I)                                                       \
  template size_t knn_cuda_workspace<T, I>(int64_t, int64_t, int64_t, int64_t); \
  template int knn_cuda<T, I>(const T*, const T*, int64_t, int64_t, int64_t, int64_t, T*, I*, void*, void*);
FOR_EACH_TYPE(INSTANTIATE)

}  // namespace samplenet
