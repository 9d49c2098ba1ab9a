// Bitonic sorting of one (distance, index) pair, or distance, a lane.
#pragma once
#include "cuda_common.cuh"

namespace samplenet {

// One step of a network: lanes `stride` apart compare; `up`: the smaller to the lower lane.
template <class T>
__device__ __forceinline__ void exchange(T& d, uint32_t& i, int stride, bool up) {
  const T other_d = __shfl_xor_sync(kAll, d, stride);
  const uint32_t other_i = __shfl_xor_sync(kAll, i, stride);
  const bool lower = (threadIdx.x & stride) == 0;
  if (before(other_d, other_i, d, i) == (up == lower)) {
    d = other_d;
    i = other_i;
  }
}

template <class T>
__device__ __forceinline__ void exchange(T& d, int stride, bool up) {
  const T other = __shfl_xor_sync(kAll, d, stride);
  const bool lower = (threadIdx.x & stride) == 0;
  if ((other < d) == (up == lower)) d = other;
}

// Sorts what exchange(stride, up) moves, ascending with the lane.
template <class Exchange>
__device__ __forceinline__ void sort_lanes(Exchange exchange) {
#pragma unroll
  for (int size = 2; size <= 32; size *= 2)
#pragma unroll
    for (int stride = size / 2; stride; stride /= 2) exchange(stride, (threadIdx.x % 32 & size) == 0);
}

// The 32 smallest of two sorted rows of 32 pairs, sorted, to the first.
template <class T>
__device__ __forceinline__ void merge_lanes(T& d, uint32_t& i, T new_d, uint32_t new_i) {
  const T other_d = __shfl_xor_sync(kAll, new_d, 31);  // reversed, so that the smaller ones form a bitonic row
  const uint32_t other_i = __shfl_xor_sync(kAll, new_i, 31);
  if (before(other_d, other_i, d, i)) {
    d = other_d;
    i = other_i;
  }
#pragma unroll
  for (int stride = 16; stride; stride /= 2) exchange(d, i, stride, true);
}

// The next smaller number than a distance; below 0 for 0.
__device__ __forceinline__ float below(float d) { return d > 0 ? __int_as_float(__float_as_int(d) - 1) : -1.0f; }
__device__ __forceinline__ double below(double d) {
  return d > 0 ? __longlong_as_double(__double_as_longlong(d) - 1) : -1.0;
}

}  // namespace samplenet
