// Gradient of the soft z-buffer, see projections.h: the pixels weigh their points again (pixel_wells.cuh), then a warp for
// each point gathers the gradients of the pixels whose wells hold it, kChannels at a time.
#define SAMPLENET_ISA cuda
#include "cuda_common.cuh"
#include "image_tiles.cuh"
#include "pixel_wells.cuh"
#include "projections.h"

namespace samplenet {
namespace {

constexpr int kThreads = 256, kChannels = 4;

// What a point needs to know of a pixel: its weights, and the gradient along what it shows.
template <class T>
struct PixelState {
  Weights<T> weights;
  T along;
};

template <class T>
__global__ void __launch_bounds__(kTileThreads)
    weigh_kernel(const T* __restrict__ grad, Points<T> given, Features<T> features, const T* __restrict__ images,
                 Canvas canvas, Well well, PixelState<T>* states) {
  __shared__ Listed<T> list;
  const Tile tile(canvas);
  const int64_t C = features.C, pixel = tile.pixel(canvas);
  PixelState<T> state = {Wells<T>(given, features, canvas, well, tile, list).weigh(), 0};
  for (int64_t c = 0; c < C && tile.inside; ++c) state.along += grad[pixel * C + c] * images[pixel * C + c];
  if (tile.inside) states[pixel] = state;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    project_features_backward_kernel(const T* __restrict__ grad, Points<T> given, Features<T> features, Canvas canvas,
                                     Well well, const PixelState<T>* __restrict__ states, T* grad_points, T* grad_features) {
  const int lane = threadIdx.x % 32;
  const int64_t n = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / 32, C = features.C;
  if (n >= given.B * given.N) return;
  const T *point = given.points + n * 3, *shown = features.features + n * C;
  const int64_t image = n / given.N * canvas.height * canvas.width;
  const T share = static_cast<T>(canvas.as_released ? 1 + LEAK : 1);
  Range rows = {0, 0}, columns = {0, 0};
  T score = 0, of_score = 0;
  if (is_drawn(point, shown, C, canvas)) {
    rows = within(point[0], canvas.height, canvas, well);
    columns = within(point[1], canvas.width, canvas, well);
    score = score_of(point[2], well);
  }
  const int64_t wide = columns.end - columns.begin, pixels = (rows.end - rows.begin) * wide;
  for (int64_t first = 0; first < C; first += kChannels) {
    T sums[kChannels] = {};
    for (int64_t k = lane; k < pixels; k += 32) {
      const int64_t pixel = image + (rows.begin + k / wide) * canvas.width + columns.begin + k % wide;
      const PixelState<T> state = states[pixel];
      const T weight = state.weights.part(score) / state.weights.total;
      T along = first == 0 ? -share * state.along : T(0);
      for (int c = 0; c < kChannels; ++c) {
        if (first + c >= C) continue;
        const T slope = grad[pixel * C + first + c];
        sums[c] += weight * slope;
        along += slope * shown[first + c];
      }
      of_score += weight * along;
    }
    for (int c = 0; c < kChannels; ++c) {
      const T sum = warp_sum(sums[c]);
      if (lane == 0 && first + c < C) grad_features[n * C + first + c] = sum;
    }
  }
  of_score = warp_sum(of_score);
  if (lane >= 3) return;
  grad_points[n * 3 + lane] = lane == 2 ? -of_score * score * score / static_cast<T>(well.beta) : T(0);
}

}  // namespace

template <class T>
size_t project_features_backward_cuda_workspace(const Points<T>& points, const Canvas& canvas) {
  return points.B * canvas.height * canvas.width * sizeof(PixelState<T>);
}

template <class T>
int project_features_backward_cuda(const T* grad, const Points<T>& points, const Features<T>& features, const T* images,
                                   const Canvas& canvas, const Well& well, T* grad_points, T* grad_features,
                                   void* workspace, void* stream) {
  PixelState<T>* states = static_cast<PixelState<T>*>(workspace);
  const int error = launch(weigh_kernel<T>, tiles_of(points.B, canvas), kTileThreads, stream, grad, points, features,
                           images, canvas, well, states);
  if (error) return error;
  return launch(project_features_backward_kernel<T>, ceil_div(points.B * points.N * 32, kThreads), kThreads, stream, grad,
                points, features, canvas, well, states, grad_points, grad_features);
}

#define INSTANTIATE(T)                                                                                                \
  template size_t project_features_backward_cuda_workspace<T>(const Points<T>&, const Canvas&);                       \
  template int project_features_backward_cuda<T>(const T*, const Points<T>&, const Features<T>&, const T*,            \
                                                 const Canvas&, const Well&, T*, T*, void*, void*);
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace samplenet
