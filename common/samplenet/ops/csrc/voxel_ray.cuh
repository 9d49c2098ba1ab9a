// The ray of a pixel through the smoothed grids.
#pragma once
#include "voxel_part.cuh"

namespace samplenet {
namespace {

// The ray of this thread's pixel; voxels count from the nearest.
template <class T>
class Ray {
  const Part<T>& part_;
  T* grid_;  // of the cloud, at the pixel's column and row
  T scale_, low_, high_;

 public:
  int64_t cloud, pixel;  // pixel: in the image, whose first row is the grid's last
  bool inside;

  __device__ explicit Ray(const Part<T>& part) : part_(part) {
    const int64_t D = part.options.size, i = blockIdx.x % part.ray_blocks * kThreads + threadIdx.x;
    cloud = blockIdx.x / part.ray_blocks;
    inside = i < D * D;
    pixel = (D - 1 - i / D) * D + i % D;
    grid_ = part.smoothed + part.at(cloud, 0) + i;
    scale_ = part.clouds.scale[cloud];
    const double tiny = part.options.as_released && !part.options.max_projection ? 1e-5 : 0;
    low_ = static_cast<T>(tiny);
    high_ = static_cast<T>(1 - tiny);
  }

  // The smoothed value of a channel, which its gradient replaces.
  __device__ T& value(int64_t channel, int64_t k) const {
    const int64_t D = part_.options.size;
    return grid_[channel * part_.cells + k * D * D];
  }
  __device__ T scaled(int64_t k) const { return value(0, k) * scale_; }
  __device__ T clipped(T scaled) const { return clip(scaled, low_, high_); }
  __device__ T occupancy(int64_t k) const { return clipped(scaled(k)); }
  __device__ T scale() const { return scale_; }
  __device__ T factor(int64_t k) const { return k == 0 ? static_cast<T>(part_.end_factor) : T(1); }

  __device__ T depth(int64_t k) const {
    const double front = part_.options.as_released ? 0 : 0.5;
    return static_cast<T>((k + front) / part_.options.size_z - 0.5 + part_.options.camera_distance);
  }

  // What a smoothed colour is multiplied by.
  __device__ T share(int64_t k) const {
    return part_.options.divide_colours ? T(1) / (value(part_.C + 1, k) + T(0.01)) : T(1);
  }
  __device__ T shown(T tint) const { return part_.options.clip_after ? clip(tint, T(0), T(1)) : tint; }

  __device__ T largest() const {
    T most = 0;
    for (int64_t k = 0; k < part_.options.size_z; ++k) most = occupancy(k) > most ? occupancy(k) : most;
    return most;
  }
};

}  // namespace
}  // namespace samplenet
