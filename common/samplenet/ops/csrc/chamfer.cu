// Chamfer distance on the GPU: each pair's distance is computed once and serves both directions.
//
// The larger cloud lies in registers, kRows points a thread ("rows"); the other ("columns") passes by in groups of 32.
// At step s lane l meets column (l + s) % 32, and each column's running minimum moves along from lane to lane, so both
// minima are plain register operations. Kept is not the index but the group it lies in (32 columns, or kRows rows);
// blocks merge (distance bits, group) by an integer atomic minimum, which knows no order, and a second kernel finds
// the lowest index in the group. That key holds a float only: double takes two one-way searches.
#include "chamfer.h"
#include "chamfer_locate.cuh"
#include "cuda_common.cuh"
#include "knn.h"
#include "types.h"

namespace samplenet {
namespace {

constexpr int kThreads = 128, kRowTile = kRows * kThreads, kBatch = 128;

__global__ void __launch_bounds__(kThreads) chamfer_kernel(const float* __restrict__ rows,
                                                           const float* __restrict__ cols, int64_t M, int64_t N,
                                                           unsigned row_tiles, unsigned chunks, int64_t chunk,
                                                           Key* row_keys, Key* col_keys) {
  // Staging for the rows (index i + i / kRows: no bank conflicts), then for the columns, then for the row keys.
  __shared__ union {
    float row[3][kRowTile / kRows * (kRows + 1)];
    float col[3][2 * kBatch];  // each group twice, so that lane + s needs no wrapping
    Key key[kRowTile / kRows * (kRows + 1)];
  } stage;
  const int lane = threadIdx.x % 32;
  const int64_t cloud = blockIdx.x / (row_tiles * chunks);
  const int64_t first = static_cast<int64_t>(blockIdx.x / chunks % row_tiles) * kRowTile;
  const int64_t begin = blockIdx.x % chunks * chunk;
  const int64_t end = begin + chunk < N ? begin + chunk : N;
  rows += 3 * cloud * M;
  cols += 3 * cloud * N;
  row_keys += cloud * M;
  col_keys += cloud * N;

  for (int flat = threadIdx.x; flat < 3 * kRowTile; flat += kThreads) {
    const int i = flat / 3;
    stage.row[flat - 3 * i][i + i / kRows] = first + i < M ? rows[3 * first + flat] : NAN;
  }
  __syncthreads();
  float x[kRows], y[kRows], z[kRows], best[kRows];
  uint32_t where[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int at = threadIdx.x * (kRows + 1) + r;
    x[r] = stage.row[0][at];
    y[r] = stage.row[1][at];
    z[r] = stage.row[2][at];
    best[r] = INFINITY;
    where[r] = static_cast<uint32_t>(begin / 32);
  }
  const bool working = first + static_cast<int>(threadIdx.x - lane) * kRows < M;
  const uint32_t warp_group = static_cast<uint32_t>(first / kRows) + threadIdx.x - lane;

  for (int64_t start = begin; start < end; start += kBatch) {
    const int count = static_cast<int>(end - start < kBatch ? end - start : kBatch), groups = (count + 31) / 32;
    __syncthreads();
    for (int flat = threadIdx.x; flat < 96 * groups; flat += kThreads) {
      const int i = flat / 3, at = i / 32 * 64 + i % 32;
      float* to = stage.col[flat - 3 * i];
      to[at] = to[at + 32] = i < count ? cols[3 * start + flat] : NAN;
    }
    __syncthreads();
    for (int g = 0; working && g < groups; ++g) {
      float near[kRows], col_best = INFINITY;
      int col_lane = 0;
#pragma unroll
      for (int r = 0; r < kRows; ++r) near[r] = INFINITY;
#pragma unroll 8
      for (int s = 0; s < 32; ++s) {
        const int at = 64 * g + lane + s;
        const float cx = stage.col[0][at], cy = stage.col[1][at], cz = stage.col[2][at];
        float low = NAN;
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          const float d = square_dist(x[r], y[r], z[r], cx, cy, cz);
          near[r] = lesser(near[r], d);
          low = r ? lesser(low, d) : d;
        }
        if (low < col_best || (low == col_best && lane < col_lane)) {
          col_best = low;
          col_lane = lane;
        }
        col_best = __shfl_sync(kAll, col_best, (lane + 1) % 32);
        col_lane = __shfl_sync(kAll, col_lane, (lane + 1) % 32);
      }
#pragma unroll
      for (int r = 0; r < kRows; ++r)
        if (near[r] < best[r]) {
          best[r] = near[r];
          where[r] = static_cast<uint32_t>(start / 32) + g;
        }
      const int64_t column = start + 32 * g + lane;  // back at its own lane
      if (column < end) atomicMin(col_keys + column, make_key(col_best, warp_group + col_lane));
    }
  }

  __syncthreads();
#pragma unroll
  for (int r = 0; r < kRows; ++r) stage.key[threadIdx.x * (kRows + 1) + r] = make_key(best[r], where[r]);
  __syncthreads();
  for (int i = threadIdx.x; i < kRowTile && first + i < M; i += kThreads)
    atomicMin(row_keys + first + i, stage.key[i + i / kRows]);
}

template <class I>
int run(const float* rows, const float* cols, int64_t B, int64_t M, int64_t N, float* row_dist2, float* col_dist2,
        I* row_idx, I* col_idx, Key* keys, void* stream) {
  if (M > kMaxPoints * kRows) return cudaErrorInvalidValue;
  const int64_t row_tiles = ceil_div(M, kRowTile);
  int64_t chunk = 1024;
  while (chunk < N && B * row_tiles * ceil_div(N, chunk) > INT32_MAX) chunk *= 2;  // the largest grid
  while (chunk > 32 && B * row_tiles * ceil_div(N, chunk) < 500) chunk /= 2;  // four blocks for each of 132 processors
  const int64_t chunks = ceil_div(N, chunk);
  int error = cudaMemsetAsync(keys, 0xff, B * (M + N) * sizeof(Key), static_cast<cudaStream_t>(stream));
  if (!error)
    error = launch(chamfer_kernel, B * row_tiles * chunks, kThreads, stream, rows, cols, M, N,
                   static_cast<unsigned>(row_tiles), static_cast<unsigned>(chunks), chunk, keys, keys + B * M);
  if (!error)
    error = launch(locate_kernel<I>, ceil_div(32 * B * M + kRows * B * N, kLocateThreads), kLocateThreads, stream,
                   rows, cols, B, M, N, keys, keys + B * M, row_dist2, col_dist2, row_idx, col_idx);
  return error;
}

}  // namespace

template <class T, class I>
size_t chamfer_cuda_workspace(int64_t B, int64_t M, int64_t N) {
  return sizeof(T) == sizeof(float) ? B * (M + N) * sizeof(Key)
                                    : knn_cuda_workspace<T, I>(B, M, N, 1) + knn_cuda_workspace<T, I>(B, N, M, 1);
}

template <class T, class I>
int chamfer_cuda(const T* a, const T* b, int64_t B, int64_t M, int64_t N, T* a2b, T* b2a, I* idx_ab, I* idx_ba,
                 void* workspace, void* stream) {
  if (B == 0) return cudaSuccess;
  if constexpr (sizeof(T) == sizeof(float)) {
    Key* keys = static_cast<Key*>(workspace);
    return M >= N ? run(a, b, B, M, N, a2b, b2a, idx_ab, idx_ba, keys, stream)
                  : run(b, a, B, N, M, b2a, a2b, idx_ba, idx_ab, keys, stream);
  } else {
    const int error = knn_cuda(a, b, B, M, N, int64_t{1}, a2b, idx_ab, workspace, stream);
    return error ? error : knn_cuda(b, a, B, N, M, int64_t{1}, b2a, idx_ba, workspace, stream);
  }
}

#define INSTANTIATE(T, I)                                                                                     \
  template size_t chamfer_cuda_workspace<T, I>(int64_t, int64_t, int64_t);                                    \
  template int chamfer_cuda<T, I>(const T*, const T*, int64_t, int64_t, int64_t, T*, T*, I*, I*, void*, void*);
FOR_EACH_TYPE(INSTANTIATE)

}  // namespace samplenet
