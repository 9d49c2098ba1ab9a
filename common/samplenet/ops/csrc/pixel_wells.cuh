// The soft z-buffer of a pixel: the points whose wells hold it, and what they weigh there.
#pragma once
#include "image_tiles.cuh"
#include "projections.h"

namespace samplenet {
namespace {

using namespace SAMPLENET_ISA;

// What a pixel weighs its points by.
template <class T>
struct Weights {
  T nearest, total;  // the highest score, and the sum of the weights; 0 without points

  __device__ T part(T score) const { return exp(score - nearest); }
};

// Visits the points in the wells of a tile's pixels.
template <class T>
class Wells {
  const T* const points_;  // of the tile's cloud
  const T* const features_;
  const int64_t N_, C_;
  const Canvas& canvas_;
  const Well& well_;
  const Tile& tile_;
  Listed<T>& list_;

 public:
  __device__ Wells(const Points<T>& points, const Features<T>& features, const Canvas& canvas, const Well& well,
                   const Tile& tile, Listed<T>& list)
      : points_(points.points + tile.cloud * points.N * 3), features_(features.features + tile.cloud * points.N * features.C),
        N_(points.N), C_(features.C), canvas_(canvas), well_(well), tile_(tile), list_(list) {}

  // Calls visit(score, features) for the points in this thread's well, in their order.
  template <class Visit>
  __device__ void each(const Visit& visit) const {
    const T radius = static_cast<T>(well_.radius);
    const auto keep = [&](const T* point, int64_t n) {
      return tile_.is_near(point, well_.radius + 1, canvas_) && is_drawn(point, features_ + n * C_, C_, canvas_);
    };
    visit_points(points_, N_, list_, keep, [&](const T* point, int64_t n) {
      const T down = offset(point[0], tile_.pixel_row, canvas_), right = offset(point[1], tile_.pixel_column, canvas_);
      if (std::abs(down) <= radius && std::abs(right) <= radius) visit(score_of(point[2], well_), features_ + n * C_);
    });
  }

  // Looks for the highest score, then adds up the weights; as released, the points outside leak into the sum.
  __device__ Weights<T> weigh() const {
    Weights<T> weights = {};
    each([&](T score, const T*) { weights.nearest = score > weights.nearest ? score : weights.nearest; });
    int64_t outside = N_;
    each([&](T score, const T*) {
      weights.total += weights.part(score);
      --outside;
    });
    if (canvas_.as_released && outside < N_) {
      const T others = outside * weights.part(static_cast<T>(well_.beta / (FAR_AWAY + TINY)));
      weights.total += static_cast<T>(LEAK) * (weights.total + others);
    }
    return weights;
  }
};

}  // namespace
}  // namespace samplenet
