// The soft z-buffer, see projections.h: a thread for each pixel weighs the points in its well (pixel_wells.cuh), then visits
// them again for the weighted sums, kChannels at a time.
#define SAMPLENET_ISA cuda
#include "cuda_common.cuh"
#include "image_tiles.cuh"
#include "pixel_wells.cuh"
#include "projections.h"

namespace samplenet {
namespace {

constexpr int kChannels = 4;

template <class T>
__global__ void __launch_bounds__(kTileThreads) project_features_kernel(Points<T> given, Features<T> features,
                                                                        Canvas canvas, Well well, T* images, T* coverage) {
  __shared__ Listed<T> list;
  const Tile tile(canvas);
  const Wells<T> wells(given, features, canvas, well, tile, list);
  const Weights<T> weights = wells.weigh();
  const int64_t C = features.C, pixel = tile.pixel(canvas);
  for (int64_t first = 0; first < C; first += kChannels) {
    T sums[kChannels] = {};
    wells.each([&](T score, const T* shown) {
      const T part = weights.part(score);
      for (int c = 0; c < kChannels; ++c) sums[c] += first + c < C ? part * shown[first + c] : T(0);
    });
    for (int c = 0; c < kChannels; ++c) {
      if (tile.inside && first + c < C) images[pixel * C + first + c] = weights.total > 0 ? sums[c] / weights.total : T(0);
    }
  }
  if (tile.inside) coverage[pixel] = weights.total > 0;
}

}  // namespace

template <class T>
int project_features_cuda(const Points<T>& points, const Features<T>& features, const Canvas& canvas, const Well& well,
                          T* images, T* coverage, void* stream) {
  return launch(project_features_kernel<T>, tiles_of(points.B, canvas), kTileThreads, stream, points, features, canvas,
                well, images, coverage);
}

#define INSTANTIATE(T)                                                                                                \
  template int project_features_cuda<T>(const Points<T>&, const Features<T>&, const Canvas&, const Well&, T*, T*, void*);
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace samplenet
