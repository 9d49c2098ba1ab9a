// The rays of one row of an image, through the slab of voxels that they cross: forward and backward. Included by the
// kernels with vectors; see simd.h.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "render_voxels.h"
#include "simd.h"

namespace samplenet::SAMPLENET_ISA {

template <class T>
class Rays {
  using S = Simd<T>;
  using V = typename S::V;
  static constexpr double TINY = 1e-5;  // as released, occupancies on a ray are in [TINY, 1 - TINY]

  const VoxelOptions& options_;
  const int64_t Z_, C_, width_;
  const double factor_;  // of the first and the last probability
  const T low_, high_;
  std::vector<T> slab_, passed_, depths_;

  static V clip(V a, T low, T high) { return S::min(S::max(a, S::set(low)), S::set(high)); }
  static V where_equal(V a, V b, V yes) { return S::select(S::equal(a, b), yes, S::set(T(0))); }
  V occupancy(int64_t k, int64_t x, V scale) { return clip(S::load(channel(0) + k * width_ + x) * scale, low_, high_); }
  V factor(int64_t k) const { return S::set(k == 0 ? static_cast<T>(factor_) : T(1)); }

  // What a smoothed colour is multiplied by.
  V share(int64_t k, int64_t x) {
    if (!options_.divide_colours) return S::set(T(1));
    return S::set(T(1)) / (S::load(channel(C_ + 1) + k * width_ + x) + S::set(T(0.01)));
  }

  V find_largest(int64_t x, V scale) {
    V largest = S::set(T(0));
    for (int64_t k = 0; k < Z_; ++k) largest = S::max(clip(S::load(channel(0) + k * width_ + x) * scale, 0, 1), largest);
    return largest;
  }

 public:
  // Rows of the images, or of their gradients: (width), (width), (C, width), (Z + 1, width).
  std::vector<T> silhouette, depth, colour, ends;
  std::vector<T> grad_scale;  // (width), added to

  Rays(const VoxelOptions& options, int64_t C, int64_t width)
      : options_(options), Z_(options.size_z), C_(C), width_(width), factor_(options.as_released ? std::exp(TINY) : 1),
        low_(options.as_released ? T(TINY) : T(0)), high_(options.as_released ? T(1 - TINY) : T(1)),
        slab_((C + 1 + options.divide_colours) * Z_ * width), passed_(Z_ * S::W), silhouette(width), depth(width),
        colour(C * width), ends((Z_ + 1) * width), grad_scale(width) {
    const double front = options.as_released ? 0 : 0.5;
    for (int64_t k = 0; k < Z_; ++k) depths_.push_back((k + front) / Z_ - 0.5 + options.camera_distance);
  }

  // The smoothed occupancies (c = 0), colours (1 to C) and occupancies that were not clipped (C + 1) of the slab,
  // (Z, width). Backward they are overwritten by their gradients.
  T* channel(int64_t c) { return &slab_[c * Z_ * width_]; }

  void follow(T scale_of_all) {
    const V scale = S::set(scale_of_all), one = S::set(T(1)), first = S::set(static_cast<T>(1 - 1 / factor_));
    for (int64_t x = 0; x < width_; x += S::W) {
      V passed = one, mean = S::set(T(0));
      for (int64_t k = 0; k < Z_; ++k) {
        const V o = occupancy(k, x, scale), end = passed * o * factor(k);
        S::store(&ends[k * width_ + x], end);
        mean = S::fma(end, S::set(depths_[k]), mean);
        passed = passed * (one - o);
      }
      const V beyond = passed * S::set(static_cast<T>(factor_));
      S::store(&ends[Z_ * width_ + x], beyond);
      S::store(&silhouette[x], one - passed + first * S::load(&ends[x]));
      S::store(&depth[x], S::fma(beyond, S::set(static_cast<T>(options_.max_depth)), mean));
      for (int64_t c = 0; c < C_; ++c) {
        V sum = beyond;  // on white
        for (int64_t k = 0; k < Z_; ++k) {
          V tint = S::load(channel(c + 1) + k * width_ + x) * share(k, x);
          if (options_.clip_after) tint = clip(tint, 0, 1);
          sum = S::fma(S::load(&ends[k * width_ + x]), tint, sum);
        }
        S::store(&colour[c * width_ + x], sum);
      }
    }
  }

  // A voxel's gradient is what its value exceeds that of the rays which pass it, times the share of rays which reach it.
  void differentiate(T scale_of_all) {
    const V scale = S::set(scale_of_all), one = S::set(T(1));
    for (int64_t x = 0; x < width_; x += S::W) {
      const V grad_silhouette = S::load(&silhouette[x]), grad_depth = S::load(&depth[x]);
      V passed = one, behind = S::load(&ends[Z_ * width_ + x]), sum = S::load(&grad_scale[x]);
      for (int64_t k = 0; k < Z_; ++k) {
        S::store(&passed_[k * S::W], passed);
        passed = passed * (one - occupancy(k, x, scale));
      }
      behind = S::fma(grad_depth, S::set(static_cast<T>(options_.max_depth)), behind);
      for (int64_t c = 0; c < C_; ++c) behind = behind + S::load(&colour[c * width_ + x]);
      behind = behind * factor(0);
      for (int64_t k = Z_ - 1; k >= 0; --k) {
        T* here = channel(0) + k * width_ + x;
        const V smoothed = S::load(here), raw = smoothed * scale, o = clip(raw, low_, high_);
        const V reach = S::load(&passed_[k * S::W]), end = reach * o * factor(k);
        V value = S::fma(grad_depth, S::set(depths_[k]), grad_silhouette) + S::load(&ends[k * width_ + x]);
        for (int64_t c = 0; c < C_; ++c) {
          T* colours = channel(c + 1) + k * width_ + x;
          const V grad = S::load(&colour[c * width_ + x]), tint = S::load(colours) * share(k, x);
          const V shown = options_.clip_after ? clip(tint, 0, 1) : tint;
          value = S::fma(grad, shown, value);
          S::store(colours, where_equal(shown, tint, end * grad * share(k, x)));
        }
        const V more = value * factor(k) - behind, grad = where_equal(raw, o, reach * more);
        behind = S::fma(o, more, behind);
        sum = S::fma(grad, smoothed, sum);
        S::store(here, grad * scale);
      }
      S::store(&grad_scale[x], sum);
    }
  }

  // Of max_projection.
  void follow_to_largest(T scale) {
    for (int64_t x = 0; x < width_; x += S::W) S::store(&silhouette[x], find_largest(x, S::set(scale)));
  }

  // The gradient of the largest goes to the first of equal ones.
  void differentiate_largest(T scale_of_all) {
    const V scale = S::set(scale_of_all);
    for (int64_t x = 0; x < width_; x += S::W) {
      const V largest = find_largest(x, scale);
      V left = S::load(&silhouette[x]), sum = S::load(&grad_scale[x]);
      for (int64_t k = 0; k < Z_; ++k) {
        T* here = channel(0) + k * width_ + x;
        const V smoothed = S::load(here), raw = smoothed * scale, o = clip(raw, 0, 1);
        const V taken = where_equal(o, largest, left), grad = where_equal(raw, o, taken);
        left = left - taken;
        sum = S::fma(grad, smoothed, sum);
        S::store(here, grad * scale);
      }
      S::store(&grad_scale[x], sum);
    }
  }
};

}  // namespace samplenet::SAMPLENET_ISA
