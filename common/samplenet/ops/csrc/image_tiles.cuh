// An image drawn in tiles: a block for each, a thread for each pixel, which visits the points near the tile in their
// order. No atomics, so the same input gives the same bits.
#pragma once
#include "cuda_common.cuh"
#include "pixel_windows.h"

namespace samplenet {
namespace {

constexpr int kTile = 16, kTileThreads = kTile * kTile, kTileWarps = kTileThreads / 32;

// The pixels of this block.
struct Tile {
  int64_t cloud, row, column;  // of the first pixel
  int64_t pixel_row, pixel_column;  // of this thread
  bool inside;  // whether the image has this thread's pixel

  __device__ explicit Tile(const Canvas& canvas) {
    const int64_t wide = (canvas.width + kTile - 1) / kTile, tiles = (canvas.height + kTile - 1) / kTile * wide;
    cloud = blockIdx.x / tiles;
    row = blockIdx.x % tiles / wide * kTile;
    column = blockIdx.x % tiles % wide * kTile;
    pixel_row = row + threadIdx.x / kTile;
    pixel_column = column + threadIdx.x % kTile;
    inside = pixel_row < canvas.height && pixel_column < canvas.width;
  }

  // Which pixel of the batch this thread's is.
  __device__ int64_t pixel(const Canvas& canvas) const {
    return (cloud * canvas.height + pixel_row) * canvas.width + pixel_column;
  }

  // Whether a point (3) may lie within `reach` of a pixel's centre, in rows and in columns.
  template <class T>
  __device__ bool is_near(const T* point, double reach, const Canvas& canvas) const {
    const SAMPLENET_ISA::Range rows = SAMPLENET_ISA::around(point[0], reach, canvas.height, canvas);
    const SAMPLENET_ISA::Range columns = SAMPLENET_ISA::around(point[1], reach, canvas.width, canvas);
    return rows.begin < row + kTile && rows.end > row && columns.begin < column + kTile && columns.end > column;
  }
};

inline int64_t tiles_of(int64_t B, const Canvas& canvas) {
  return B * ceil_div(canvas.height, kTile) * ceil_div(canvas.width, kTile);
}

// Points near a tile, in the order of the cloud.
template <class T>
struct Listed {
  T points[kTileThreads][3];
  int64_t index[kTileThreads];
  int counts[kTileWarps];
};

// Calls visit(point, n) in each thread for the points n of a cloud (N, 3) for which keep(point, n) holds. All threads of
// the block must call it.
template <class T, class Keep, class Visit>
__device__ void visit_points(const T* points, int64_t N, Listed<T>& list, const Keep& keep, const Visit& visit) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int64_t start = 0; start < N; start += kTileThreads) {
    const int64_t n = start + threadIdx.x;
    T point[3] = {};
    for (int c = 0; c < 3 && n < N; ++c) point[c] = points[3 * n + c];
    const bool kept = n < N && keep(point, n);
    const unsigned hits = __ballot_sync(kAll, kept);
    if (lane == 0) list.counts[warp] = __popc(hits);
    __syncthreads();
    int at = __popc(hits & ((1u << lane) - 1)), count = 0;
    for (int w = 0; w < kTileWarps; ++w) {
      at += w < warp ? list.counts[w] : 0;
      count += list.counts[w];
    }
    if (kept) {
      for (int c = 0; c < 3; ++c) list.points[at][c] = point[c];
      list.index[at] = n;
    }
    __syncthreads();
    for (int k = 0; k < count; ++k) visit(list.points[k], list.index[k]);
  }
}

// The sum over the lanes of a warp, in a fixed order.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
  for (int bits = 16; bits; bits /= 2) value += __shfl_xor_sync(kAll, value, bits);
  return value;
}

}  // namespace
}  // namespace samplenet
