// Points into the grid, and gradients back to the points: a thread for each.
#pragma once
#include "voxel_part.cuh"
#include "voxel_splat.h"

namespace samplenet {
namespace {

using namespace SAMPLENET_ISA;

// This thread's point of the part.
template <class T>
struct Own {
  int64_t cloud, index;  // index: in the part
  bool inside;
  const T *point, *colours;

  __device__ explicit Own(const Clouds<T>& clouds) {
    const int64_t blocks = (clouds.N + kThreads - 1) / kThreads, n = blockIdx.x % blocks * kThreads + threadIdx.x;
    cloud = blockIdx.x / blocks;
    index = cloud * clouds.N + n;
    inside = n < clouds.N;
    point = clouds.points + index * 3;
    colours = clouds.colours + index * clouds.C;
  }
};

// Whole numbers add up to the same bits in any order.
__device__ __forceinline__ void add_whole(long long* sum, double value) {
  atomicAdd(reinterpret_cast<unsigned long long*>(sum), static_cast<unsigned long long>(llrint(value)));
}

template <class T>
__global__ void __launch_bounds__(kThreads) splat_kernel(Part<T> part) {
  const Own<T> own(part.clouds);
  const CloudState& state = part.states[own.cloud];
  if (!own.inside || !state.is_drawn() || !is_usable(own.point, own.colours, part.clouds.C)) return;
  const Corners<T> corners(own.point, part.options);
  long long* sums = part.sums + part.raw_at(own.cloud, 0);
  const int64_t D = part.options.size;
#pragma unroll
  for (int corner = 0; corner < 8; ++corner) {
    const int i = corner / 4, j = corner / 2 % 2, k = corner % 2;
    const T share = corners.z.share[i] * corners.y.share[j] * corners.x.share[k];
    if (share == 0) continue;
    long long* cell = sums + (corners.z.at[i] * D + corners.y.at[j]) * D + corners.x.at[k];
    add_whole(cell, share * state.units[0]);
    for (int64_t c = 0; c < part.C; ++c) add_whole(cell + (c + 1) * part.cells, share * own.colours[c] * state.units[1]);
  }
}

// Turns the sums into numbers; a thread for each cell of a channel.
template <class T>
__global__ void __launch_bounds__(kThreads) settle_kernel(Part<T> part) {
  const int64_t channel = blockIdx.x / part.cell_blocks, cell = blockIdx.x % part.cell_blocks * kThreads + threadIdx.x;
  if (cell >= part.cells) return;
  const double unit = part.states[channel / (1 + part.C)].units[channel % (1 + part.C) > 0];
  part.raw[channel * part.cells + cell] = static_cast<T>(part.sums[channel * part.cells + cell] / unit);
}

// From the gradients of the points' sums, in `spare`.
template <class T>
__global__ void __launch_bounds__(kThreads) gather_kernel(Part<T> part, CloudGradients<T> out) {
  const Own<T> own(part.clouds);
  if (!own.inside) return;
  const CloudState& state = part.states[own.cloud];
  const int64_t C = part.C, D = part.options.size;
  T *grad_point = out.points + own.index * 3, *grad_colours = out.colours + own.index * part.clouds.C;
  const T all = state.is_asked && !state.is_number ? static_cast<T>(NAN) : T(0);
  for (int i = 0; i < 3; ++i) grad_point[i] = all;
  for (int64_t c = 0; c < part.clouds.C; ++c) grad_colours[c] = all;
  if (!state.is_drawn() || !is_usable(own.point, own.colours, part.clouds.C)) return;
  const Corners<T> corners(own.point, part.options);
  const T* grads = part.spare + part.at(own.cloud, 0);
  const auto grad_at = [&](int64_t c, int64_t z, int64_t y, int64_t x) {
    return grads[c * part.cells + (z * D + y) * D + x];
  };
  const auto along = [&](int64_t z, int64_t y, int64_t x) {
    T sum = grad_at(0, z, y, x);
    for (int64_t c = 0; c < C && part.options.colours_move_points; ++c) sum += grad_at(c + 1, z, y, x) * own.colours[c];
    return sum;
  };
  corners.differentiate(along, grad_point);
  for (int64_t c = 0; c < C; ++c) {
    grad_colours[c] = corners.sum([&](int64_t z, int64_t y, int64_t x) { return grad_at(c + 1, z, y, x); });
  }
}

}  // namespace
}  // namespace samplenet
