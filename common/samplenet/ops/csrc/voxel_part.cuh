// Some clouds of a batch, and the grids in global memory through which they are drawn; see render_voxels.h.
#pragma once
#include "cuda_common.cuh"
#include "render_voxels.h"

namespace samplenet {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
// Of all grids of a part, unless one cloud has more: 235 MB in float32 at most. The emulator draws small parts.
#ifdef __CUDACC__
constexpr int64_t kCells = 1 << 23;
#else
constexpr int64_t kCells = 1 << 13;
#endif

// What a cloud is drawn with; found by voxel_prepare.cuh.
struct CloudState {
  bool is_asked, is_number;  // whether its images have a gradient; whether neither sigma nor scale is NaN
  int reach[2];              // taps on either side, along the plane and along the ray
  double units[2];           // sums of occupancies and of colours are whole numbers of 1 / units

  __device__ bool is_drawn() const { return is_asked && is_number; }
};

// Grids are (B, channels, Z, D, D). Channel 0 holds the occupancies, the next C the colours, and one more, if colours are
// divided, the occupancies that are not clipped.
template <class T>
struct Part {
  Clouds<T> clouds;
  VoxelOptions options;
  int64_t C, cells, channels;
  int64_t kernel_size_z;
  double stretch, end_factor;  // voxels along a ray for each of a row; factor of the first and the last probability
  CloudState* states;
  long long* sums;  // (B, 1 + C, Z, D, D), of the points' shares
  T* raw;           // the same as numbers; backward their gradients come to `spare`
  // Smoothed along x; along y too; along the rays too, and then their gradients; and for what comes between. Only the
  // gradient of sigma needs four.
  T *along_x, *along_y, *smoothed, *spare;
  T* taps;           // (B, 2, 2, longest): along the plane and the ray, weights and their derivatives by sigma, from 0 on
  double* partial;   // (B, partials): sums of blocks, for the gradients of scale and sigma
  int64_t longest, ray_blocks, cell_blocks, partials;

  __device__ const T* taps_of(int64_t cloud, int along_ray, int slopes) const {
    return taps + ((cloud * 2 + along_ray) * 2 + slopes) * longest;
  }
  // Where a cloud's channel begins in a grid.
  __device__ int64_t at(int64_t cloud, int64_t channel) const { return (cloud * channels + channel) * cells; }
  __device__ int64_t raw_at(int64_t cloud, int64_t channel) const { return (cloud * (1 + C) + channel) * cells; }
  __device__ bool is_clipped(int64_t channel) const { return channel == 0 || (channel <= C && !options.clip_after); }
};

template <class T>
__device__ __forceinline__ T clip(T value, T low, T high) {
  return value > low ? (value < high ? value : high) : low;
}

// All of a block's values, joined in a fixed order; every thread must call it and gets the result.
template <class V, class Join>
__device__ V block_join(V value, const Join& join) {
  __shared__ V parts[kWarps];
  for (int bits = 16; bits; bits /= 2) value = join(value, __shfl_xor_sync(kAll, value, bits));
  __syncthreads();  // the parts of an earlier call have been read
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  value = parts[0];
  for (int w = 1; w < kWarps; ++w) value = join(value, parts[w]);
  return value;
}

__device__ inline double block_sum(double value) {
  return block_join(value, [](double a, double b) { return a + b; });
}

// Gives out pieces of a workspace, or counts its bytes if there is none yet.
class Pieces {
  char* const begin_;
  size_t used_ = 0;

 public:
  explicit Pieces(void* workspace) : begin_(static_cast<char*>(workspace)) {}

  template <class V>
  V* take(int64_t count) {
    V* piece = begin_ ? reinterpret_cast<V*>(begin_ + used_) : nullptr;
    used_ += (count * sizeof(V) + 255) / 256 * 256;
    return piece;
  }

  size_t used() const { return used_; }
};

inline int64_t channels_of(int64_t C, const VoxelOptions& options) {
  return options.max_projection || C == 0 ? 1 : 1 + C + options.divide_colours;
}

// How many clouds a part has at most.
inline int64_t at_once(int64_t B, int64_t C, const VoxelOptions& options) {
  const int64_t most = kCells / (options.size * options.size * options.size_z * channels_of(C, options));
  return most < 1 ? 1 : most < B ? most : B;
}

// A part with its memory. Four grids are for the gradient of sigma, two are enough for all else.
template <class T>
Part<T> part_of(const Clouds<T>& clouds, const VoxelOptions& options, bool four, Pieces& pieces) {
  const int64_t B = clouds.B, D = options.size, Z = options.size_z;
  Part<T> part = {};
  part.clouds = clouds;
  part.options = options;
  part.C = options.max_projection ? 0 : clouds.C;
  part.cells = Z * D * D;
  part.channels = channels_of(clouds.C, options);
  part.kernel_size_z = options.kernel_size_z();
  part.stretch = options.stretch();
  part.end_factor = options.as_released ? std::exp(1e-5) : 1;
  part.longest = Z > D ? Z : D;
  part.ray_blocks = ceil_div(D * D, kThreads);
  part.cell_blocks = ceil_div(part.cells, kThreads);
  part.partials = part.ray_blocks + 3 * (1 + part.C) * part.cell_blocks;
  part.states = pieces.take<CloudState>(B);
  part.sums = pieces.take<long long>(B * (1 + part.C) * part.cells);
  part.raw = pieces.take<T>(B * (1 + part.C) * part.cells);
  part.along_x = pieces.take<T>(B * part.channels * part.cells);
  part.along_y = pieces.take<T>(B * part.channels * part.cells);
  part.smoothed = four ? pieces.take<T>(B * part.channels * part.cells) : part.along_x;
  part.spare = four ? pieces.take<T>(B * part.channels * part.cells) : part.along_y;
  part.taps = pieces.take<T>(B * 4 * part.longest);
  part.partial = pieces.take<double>(B * part.partials);
  return part;
}

}  // namespace
}  // namespace samplenet
