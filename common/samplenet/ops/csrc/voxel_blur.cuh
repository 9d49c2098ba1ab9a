// Smoothing of the grids along an axis, and its gradients: a thread for each cell of a channel. The taps are symmetric, so
// that gradients are smoothed as values are.
#pragma once
#include "voxel_part.cuh"

namespace samplenet {
namespace {

enum Axis { kX, kY, kRay };

// This thread's cell, and its place along an axis. 32 bits hold them, and divide faster.
template <class T>
struct Cell {
  int64_t cloud, channel;
  int index, place, step, length;  // index: in the channel; step: to the next cell of the axis
  bool inside;

  __device__ Cell(const Part<T>& part, int64_t channels, Axis axis) {
    const unsigned blocks = static_cast<unsigned>(part.cell_blocks), plane = blockIdx.x / blocks;
    const int D = static_cast<int>(part.options.size), Z = static_cast<int>(part.options.size_z);
    cloud = plane / static_cast<unsigned>(channels);
    channel = plane % static_cast<unsigned>(channels);
    index = static_cast<int>(blockIdx.x % blocks) * kThreads + static_cast<int>(threadIdx.x);
    inside = index < part.cells && part.states[cloud].is_drawn();
    step = axis == kX ? 1 : axis == kY ? D : D * D;
    length = axis == kRay ? Z : D;
    place = index / step % length;
  }

  // The sum of taps[|t|] * value(index of the cell at distance t).
  template <class Value>
  __device__ T sum(const T* taps, int reach, const Value& value) const {
    T all = 0;
    for (int t = -reach; t <= reach; ++t) {
      if (place + t >= 0 && place + t < length) all += taps[t < 0 ? -t : t] * value(index + t * step);
    }
    return all;
  }
};

// The points' sums of a channel, clipped where they are.
template <class T>
struct Raw {
  const T* values;
  bool is_clipped;

  __device__ Raw(const Part<T>& part, int64_t cloud, int64_t channel)
      : values(part.raw + part.raw_at(cloud, channel > part.C ? 0 : channel)), is_clipped(part.is_clipped(channel)) {}

  __device__ T operator()(int i) const { return is_clipped ? clip(values[i], T(0), T(1)) : values[i]; }
  __device__ bool passes_gradients(int i) const { return !is_clipped || (values[i] >= 0 && values[i] <= 1); }
};

// out = `in` smoothed along the axis; along x, what is smoothed is the points' sums.
template <class T>
__global__ void __launch_bounds__(kThreads) smooth_kernel(Part<T> part, Axis axis, const T* __restrict__ in, T* out) {
  const Cell<T> cell(part, part.channels, axis);
  if (!cell.inside) return;
  const int reach = part.states[cell.cloud].reach[axis == kRay];
  const T* weights = part.taps_of(cell.cloud, axis == kRay, 0);
  const int64_t at = part.at(cell.cloud, cell.channel);
  out[at + cell.index] = axis == kX ? cell.sum(weights, reach, Raw<T>(part, cell.cloud, cell.channel))
                                    : cell.sum(weights, reach, [&](int i) { return in[at + i]; });
}

// The way back: out = `grad` smoothed along the axis, and 0 where the points' sums were cut. With sigma, `in` is what was
// smoothed, and each block adds up what the derivatives of the taps made of it.
template <class T>
__global__ void __launch_bounds__(kThreads) smooth_back_kernel(Part<T> part, Axis axis, bool with_sigma,
                                                               const T* __restrict__ grad, const T* __restrict__ in, T* out) {
  const int64_t channels = 1 + part.C;
  const Cell<T> cell(part, channels, axis);
  double of_sigma = 0;
  if (cell.inside) {
    const int reach = part.states[cell.cloud].reach[axis == kRay];
    const T* weights = part.taps_of(cell.cloud, axis == kRay, 0);
    const T* slopes = part.taps_of(cell.cloud, axis == kRay, 1);
    const int64_t at = part.at(cell.cloud, cell.channel);
    const Raw<T> raw(part, cell.cloud, cell.channel);
    const bool passes = axis != kX || raw.passes_gradients(cell.index);
    const T sum = cell.sum(weights, reach, [&](int i) { return grad[at + i]; });
    out[at + cell.index] = passes ? sum : T(0);
    if (with_sigma) {
      const T change = axis == kX ? cell.sum(slopes, reach, raw) : cell.sum(slopes, reach, [&](int i) { return in[at + i]; });
      of_sigma = static_cast<double>(grad[at + cell.index]) * change;
    }
  }
  if (!with_sigma) return;
  of_sigma = block_sum(of_sigma);
  const int64_t block = blockIdx.x % (channels * part.cell_blocks) + axis * channels * part.cell_blocks;
  if (threadIdx.x == 0) part.partial[cell.cloud * part.partials + part.ray_blocks + block] = of_sigma;
}

}  // namespace
}  // namespace samplenet
