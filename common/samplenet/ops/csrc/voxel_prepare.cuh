// What a cloud is drawn with: the taps of its Gaussians, the units of its sums, whether its images have a gradient. A block
// for each cloud.
#pragma once
#include "voxel_part.cuh"
#include "voxel_splat.h"

namespace samplenet {
namespace {

// The normalised taps of a Gaussian and their derivatives by sigma, from the middle to `length`. Returns how many matter: not
// those that the middle one swallows in T.
template <class T>
__device__ int fill_taps(int64_t taps, double sigma, double stretch, int64_t length, T* weights, T* slopes) {
  const double smallest = 1e-3, s = (sigma < smallest ? smallest : sigma) * stretch;
  const T epsilon = sizeof(T) == sizeof(float) ? T(1.1920929e-7) : T(2.220446049250313e-16);
  double sum = 0, squares = 0;
  for (int64_t t = threadIdx.x; t <= taps / 2; t += kThreads) {
    const double weight = (t ? 2 : 1) * exp(-0.5 * (t / s) * (t / s));
    sum += weight;
    squares += weight * t * t;
  }
  sum = block_sum(sum);
  squares = block_sum(squares);
  int reach = 0;
  for (int64_t t = threadIdx.x; t < length && t <= taps / 2; t += kThreads) {
    const double weight = exp(-0.5 * (t / s) * (t / s));
    if (weight > epsilon / 2) reach = static_cast<int>(t);
    weights[t] = static_cast<T>(weight / sum);
    slopes[t] = sigma < smallest ? T(0) : static_cast<T>(weight / sum * (t * t - squares / sum) / (s * s * s) * stretch);
  }
  return block_join(reach, [](int a, int b) { return a > b ? a : b; });
}

// The power of 2 by which numbers up to `largest` are multiplied, so that 64 bits hold the sum of N of them.
__device__ inline double unit_of(double largest, int64_t N) {
  int of_largest = 0, of_count = 0;
  frexp(largest, &of_largest);
  frexp(static_cast<double>(N), &of_count);
  const int power = 61 - of_largest - of_count;
  return ldexp(1.0, power < 1000 ? power : 1000);
}

template <class T>
__device__ double largest_colour(const Clouds<T>& clouds, int64_t cloud, int64_t C) {
  double largest = 0;
  for (int64_t n = threadIdx.x; C > 0 && n < clouds.N; n += kThreads) {
    const int64_t at = cloud * clouds.N + n;
    const T* colours = clouds.colours + at * clouds.C;
    if (!SAMPLENET_ISA::is_usable(clouds.points + at * 3, colours, clouds.C)) continue;
    for (int64_t c = 0; c < C; ++c) largest = fmax(largest, fabs(static_cast<double>(colours[c])));
  }
  return block_join(largest, [](double a, double b) { return a > b ? a : b; });
}

// Whether a part (count) of an image's gradient is not all 0.
template <class T>
__device__ bool is_some(const T* grad, int64_t cloud, int64_t count) {
  bool found = false;
  for (int64_t i = threadIdx.x; grad && i < count; i += kThreads) found = found || grad[cloud * count + i] != 0;
  return found;
}

// With all `grad` null, the gradient of no image is looked at.
template <class T>
__global__ void __launch_bounds__(kThreads) prepare_kernel(Part<T> part, Images<const T> grad) {
  const int64_t cloud = blockIdx.x, D = part.options.size, Z = part.options.size_z, pixels = D * D;
  const T sigma = part.clouds.sigma[cloud], scale = part.clouds.scale[cloud];
  T* taps = part.taps + cloud * 4 * part.longest;
  CloudState state;
  state.reach[0] = fill_taps(part.options.kernel_size, sigma, 1, D, taps, taps + part.longest);
  taps += 2 * part.longest;
  state.reach[1] = fill_taps(part.kernel_size_z, sigma, part.stretch, Z, taps, taps + part.longest);
  state.units[0] = unit_of(1, part.clouds.N);
  state.units[1] = unit_of(largest_colour(part.clouds, cloud, part.C), part.clouds.N);
  const bool is_asked = !grad.silhouette || is_some(grad.silhouette, cloud, pixels) || is_some(grad.depth, cloud, pixels) ||
                        is_some(grad.colour, cloud, pixels * part.C) ||
                        is_some(grad.probabilities, cloud, pixels * (Z + 1));
  state.is_asked = block_join(static_cast<int>(is_asked), [](int a, int b) { return a | b; });
  state.is_number = !std::isnan(sigma) && !std::isnan(scale);
  if (threadIdx.x == 0) part.states[cloud] = state;
}

}  // namespace
}  // namespace samplenet
