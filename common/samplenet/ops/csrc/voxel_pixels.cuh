// From the smoothed grids to the images, and back: a thread for each pixel.
#pragma once
#include "voxel_part.cuh"
#include "voxel_ray.cuh"

namespace samplenet {
namespace {

constexpr int kChannels = 4;  // colours that a ray adds up at a time

// The pixels (count) of an image of the cloud.
template <class T>
__device__ T* image_of(T* image, int64_t cloud, int64_t count) {
  return image ? image + cloud * count : nullptr;
}

template <class T>
__global__ void __launch_bounds__(kThreads) follow_kernel(Part<T> part, Images<T> images) {
  const Ray<T> ray(part);
  if (!ray.inside) return;
  const int64_t C = part.C, D = part.options.size, Z = part.options.size_z, pixels = D * D;
  T* silhouette = images.silhouette + ray.cloud * pixels + ray.pixel;
  T* depth = image_of(images.depth, ray.cloud, pixels);
  T* colour = image_of(images.colour, ray.cloud, pixels * C);
  T* ends = image_of(images.probabilities, ray.cloud, pixels * (Z + 1));
  if (!part.states[ray.cloud].is_number) {
    const T none = static_cast<T>(NAN);
    *silhouette = none;
    if (depth) depth[ray.pixel] = none;
    for (int64_t c = 0; colour && c < C; ++c) colour[ray.pixel * C + c] = none;
    for (int64_t k = 0; ends && k <= Z; ++k) ends[k * pixels + ray.pixel] = none;
    return;
  }
  if (part.options.max_projection) {
    *silhouette = ray.largest();
    return;
  }
  for (int64_t first = 0; first == 0 || first < C; first += kChannels) {
    T passed = 1, mean = 0, nearest = 0, sums[kChannels] = {};
    for (int64_t k = 0; k < Z; ++k) {
      const T o = ray.occupancy(k), end = passed * o * ray.factor(k);
      for (int c = 0; c < kChannels && first + c < C; ++c)
        sums[c] += end * ray.shown(ray.value(first + c + 1, k) * ray.share(k));
      if (k == 0) nearest = end;
      mean += end * ray.depth(k);
      passed *= 1 - o;
      if (ends && first == 0) ends[k * pixels + ray.pixel] = end;
    }
    const T beyond = passed * static_cast<T>(part.end_factor);
    for (int c = 0; c < kChannels && first + c < C; ++c) colour[ray.pixel * C + first + c] = sums[c] + beyond;  // on white
    if (first > 0) continue;
    if (ends) ends[Z * pixels + ray.pixel] = beyond;
    *silhouette = 1 - passed + static_cast<T>(1 - 1 / part.end_factor) * nearest;
    if (depth) depth[ray.pixel] = mean + beyond * static_cast<T>(part.options.max_depth);
  }
}

// Gradients of one pixel's images take the place of its ray's values; returns that of scale. A voxel's gradient is what its
// value exceeds that of the rays which pass it, times the share of rays which reach it.
template <class T>
__device__ T ray_back(const Part<T>& part, const Ray<T>& ray, const Images<const T>& grad) {
  const int64_t C = part.C, D = part.options.size, Z = part.options.size_z, pixels = D * D;
  const T* depth = image_of(grad.depth, ray.cloud, pixels);
  const T* colour = image_of(grad.colour, ray.cloud, pixels * C);
  const T* ends = image_of(grad.probabilities, ray.cloud, pixels * (Z + 1));
  const T grad_silhouette = grad.silhouette[ray.cloud * pixels + ray.pixel], grad_depth = depth ? depth[ray.pixel] : T(0);
  T* reaching = part.spare + part.at(ray.cloud, 0) + ray.pixel;  // the shares of rays; any place of this pixel's own
  T passed = 1, of_scale = 0;
  for (int64_t k = 0; k < Z; ++k) {
    reaching[k * pixels] = passed;
    passed *= 1 - ray.occupancy(k);
  }
  T behind = (ends ? ends[Z * pixels + ray.pixel] : T(0)) + grad_depth * static_cast<T>(part.options.max_depth);
  for (int64_t c = 0; colour && c < C; ++c) behind += colour[ray.pixel * C + c];
  behind *= static_cast<T>(part.end_factor);
  for (int64_t k = Z - 1; k >= 0; --k) {
    const T smoothed = ray.value(0, k), scaled = ray.scaled(k), o = ray.clipped(scaled), reach = reaching[k * pixels];
    const T share = C > 0 ? ray.share(k) : T(1), end = reach * o * ray.factor(k);
    T value = grad_silhouette + grad_depth * ray.depth(k) + (ends ? ends[k * pixels + ray.pixel] : T(0));
    for (int64_t c = 0; colour && c < C; ++c) {
      const T slope = colour[ray.pixel * C + c], tint = ray.value(c + 1, k) * share, shown = ray.shown(tint);
      value += slope * shown;
      ray.value(c + 1, k) = shown == tint ? end * slope * share : T(0);
    }
    const T more = value * ray.factor(k) - behind, of_scaled = scaled == o ? reach * more : T(0);
    behind += o * more;
    of_scale += of_scaled * smoothed;
    ray.value(0, k) = of_scaled * ray.scale();
  }
  return of_scale;
}

// Of max_projection: the gradient goes to the first of equal ones.
template <class T>
__device__ T ray_back_to_largest(const Part<T>& part, const Ray<T>& ray, const Images<const T>& grad) {
  const int64_t D = part.options.size, pixels = D * D;
  const T largest = ray.largest();
  T left = grad.silhouette[ray.cloud * pixels + ray.pixel], of_scale = 0;
  for (int64_t k = 0; k < part.options.size_z; ++k) {
    const T smoothed = ray.value(0, k), scaled = ray.scaled(k), o = ray.clipped(scaled);
    const bool takes = o == largest;
    const T of_scaled = takes && scaled == o ? left : T(0);
    if (takes) left = 0;
    of_scale += of_scaled * smoothed;
    ray.value(0, k) = of_scaled * ray.scale();
  }
  return of_scale;
}

template <class T>
__global__ void __launch_bounds__(kThreads) follow_back_kernel(Part<T> part, Images<const T> grad) {
  const Ray<T> ray(part);
  double of_scale = 0;
  if (ray.inside && part.states[ray.cloud].is_drawn())
    of_scale = part.options.max_projection ? ray_back_to_largest(part, ray, grad) : ray_back(part, ray, grad);
  of_scale = block_sum(of_scale);
  if (threadIdx.x == 0) part.partial[ray.cloud * part.partials + blockIdx.x % part.ray_blocks] = of_scale;
}

}  // namespace
}  // namespace samplenet
