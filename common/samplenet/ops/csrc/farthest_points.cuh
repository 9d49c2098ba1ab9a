// Farthest of the points a warp or block holds, and sampling from clouds too large for one block.
#pragma once
#include "cuda_common.cuh"

namespace samplenet {

template <class T>
struct alignas(8) Farthest {
  T d;
  uint32_t i;
};

// The largest distance of the warp and its lowest index, to all lanes.
template <class T>
__device__ __forceinline__ Farthest<T> warp_farthest(Farthest<T> own) {
#pragma unroll
  for (int stride = 16; stride; stride /= 2) {
    const T d = __shfl_xor_sync(kAll, own.d, stride);
    const uint32_t i = __shfl_xor_sync(kAll, own.i, stride);
    if (d > own.d || (d == own.d && i < own.i)) own = {d, i};
  }
  return own;
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
// The bits of floats >= 0 order as integers do, and one such is there while points are left.
__device__ __forceinline__ Farthest<float> warp_farthest(Farthest<float> own) {
  const int bits = __float_as_int(own.d), top = __reduce_max_sync(kAll, bits);
  return {__int_as_float(top), __reduce_min_sync(kAll, bits == top ? own.i : 0xffffffffu)};
}
#endif

// The same for a block of WARPS warps, with one barrier, since each warp reduces the warps' results for itself. Calls
// in turn alternate `side`, as a warp may be one call ahead.
template <class T, int WARPS>
__device__ __forceinline__ Farthest<T> block_farthest(Farthest<T> own, Farthest<T> (&shared)[2][WARPS], int side) {
  own = warp_farthest(own);
  if (threadIdx.x % 32 == 0) shared[side][threadIdx.x / 32] = own;
  __syncthreads();
  return warp_farthest(shared[side][threadIdx.x % WARPS]);
}

// Large clouds: a launch a turn, because many blocks share a cloud and a launch is the barrier that every device and
// CUDA graph has. A block's candidates lie in the workspace, one row for even and one for odd turns.
constexpr int kTurnThreads = 256, kTurnBlocks = 128;  // blocks: at most, for a cloud

// Keeps what is distinct in `chosen` as the first picks (at most m; index 0 if it holds none) and marks them.
template <class T, class I>
__global__ void __launch_bounds__(1024) fps_start_kernel(const I* __restrict__ chosen, int64_t N, int64_t S, int64_t m,
                                                         I* idx, T* distances, int64_t* kept) {
  chosen += blockIdx.x * S;
  idx += blockIdx.x * m;
  distances += blockIdx.x * N;
  for (int64_t i = threadIdx.x; i < N; i += 1024) distances[i] = static_cast<T>(INFINITY);
  __syncthreads();
  if (threadIdx.x) return;
  int64_t count = 0;
  for (int64_t s = 0; s < S && count < m; ++s) {
    const int64_t c = chosen[s];
    if (c < 0 || c >= N || distances[c] < 0) continue;
    distances[c] = -1;
    idx[count++] = static_cast<I>(c);
  }
  if (!count) {
    distances[0] = -1;
    idx[count++] = 0;
  }
  kept[blockIdx.x] = count;
}

// Finds pick number `turn` from the candidates of the launch before, and new candidates for the next.
template <class T, class I>
__global__ void __launch_bounds__(kTurnThreads, 4) fps_turn_kernel(const T* __restrict__ points, int64_t N, int64_t m,
                                                                int64_t turn, unsigned blocks, I* idx, T* distances,
                                                                const int64_t* __restrict__ kept,
                                                                Farthest<T>* candidates) {
  __shared__ Farthest<T> shared[2][kTurnThreads / 32];
  const int64_t cloud = blockIdx.x / blocks, block = blockIdx.x % blocks;
  points += 3 * cloud * N;
  distances += cloud * N;
  idx += cloud * m;
  candidates += 2 * kTurnBlocks * cloud;
  int64_t pick;
  if (turn < kept[cloud]) {
    pick = idx[turn];
  } else {
    Farthest<T> best = {-2, 0};
    if (threadIdx.x < blocks) best = candidates[(turn + 1) % 2 * kTurnBlocks + threadIdx.x];
    pick = block_farthest(best, shared, 0).i;
    if (block == 0 && threadIdx.x == 0) idx[turn] = static_cast<I>(pick);
  }
  if (turn + 1 == m) return;
  const T x = points[3 * pick], y = points[3 * pick + 1], z = points[3 * pick + 2];
  Farthest<T> best = {-2, 0};
#pragma unroll 4
  for (int64_t i = block * kTurnThreads + threadIdx.x; i < N; i += blocks * kTurnThreads) {
    const T d = square_dist(x, y, z, points[3 * i], points[3 * i + 1], points[3 * i + 2]);
    const T now = lesser(i == pick ? -1 : distances[i], d);
    distances[i] = now;
    if (now > best.d) best = {now, static_cast<uint32_t>(i)};
  }
  best = block_farthest(best, shared, 1);
  if (threadIdx.x == 0) candidates[turn % 2 * kTurnBlocks + block] = best;
}

template <class T>
size_t large_workspace(int64_t B, int64_t N) {
  return B * (2 * kTurnBlocks * sizeof(Farthest<T>) + sizeof(int64_t) + N * sizeof(T));
}

template <class T, class I>
int sample_large(const T* points, const I* chosen, int64_t B, int64_t N, int64_t S, int64_t m, I* idx, void* workspace,
                 void* stream) {
  auto* candidates = static_cast<Farthest<T>*>(workspace);
  auto* kept = reinterpret_cast<int64_t*>(candidates + 2 * kTurnBlocks * B);
  T* distances = reinterpret_cast<T*>(kept + B);
  const int64_t share = ceil_div(N, 4 * kTurnThreads), blocks = share < kTurnBlocks ? share : kTurnBlocks;
  int error = launch(fps_start_kernel<T, I>, B, 1024, stream, chosen, N, S, m, idx, distances, kept);
  for (int64_t turn = 0; turn < m && !error; ++turn)
    error = launch(fps_turn_kernel<T, I>, B * blocks, kTurnThreads, stream, points, N, m, turn,
                   static_cast<unsigned>(blocks), idx, distances, kept, candidates);
  return error;
}

}  // namespace samplenet
