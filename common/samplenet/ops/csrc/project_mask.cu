// Silhouettes of clouds, see projections.h: forward a thread for each pixel (image_tiles.cuh), backward a warp for each
// point, which gathers the gradients of the pixels around it.
#define SAMPLENET_ISA cuda
#include "cuda_common.cuh"
#include "exponential.h"
#include "image_tiles.cuh"
#include "projections.h"

namespace samplenet {
namespace {

using namespace SAMPLENET_ISA;

constexpr int kThreads = 256;

// A Gaussian around a coordinate: exp(scale d^2) at distance d, and nothing that T can hold beyond `reach`.
struct Bell {
  double scale, reach;
};

template <class T>
Bell bell_of(double variance) {
  return {-0.5 / variance, std::sqrt(-2.0 * LOWEST_POWER<T> * variance)};
}

template <class T>
__global__ void __launch_bounds__(kTileThreads) project_sums_kernel(Points<T> given, Canvas canvas, Bell bell, T* sums) {
  __shared__ Listed<T> list;
  const Tile tile(canvas);
  const T scale = static_cast<T>(bell.scale);
  T sum = 0;
  const auto keep = [&](const T* point, int64_t) { return is_seen(point) && tile.is_near(point, bell.reach, canvas); };
  visit_points(given.points + tile.cloud * given.N * 3, given.N, list, keep, [&](const T* point, int64_t) {
    const T down = offset(point[0], tile.pixel_row, canvas), right = offset(point[1], tile.pixel_column, canvas);
    sum += exp((down * down + right * right) * scale);
  });
  if (tile.inside) sums[tile.pixel(canvas)] = sum;
}

template <class T>
__global__ void __launch_bounds__(kThreads) project_sums_backward_kernel(const T* __restrict__ grad, Points<T> given,
                                                                         Canvas canvas, Bell bell, T* grad_points) {
  const int lane = threadIdx.x % 32;
  const int64_t n = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / 32;
  if (n >= given.B * given.N) return;
  const T *point = given.points + n * 3, *image = grad + n / given.N * canvas.height * canvas.width;
  const T scale = static_cast<T>(bell.scale);
  T sum[2] = {};
  if (is_seen(point)) {
    const Range rows = around(point[0], bell.reach, canvas.height, canvas);
    const Range columns = around(point[1], bell.reach, canvas.width, canvas);
    for (int64_t j = columns.begin + lane; j < columns.end; j += 32) {
      const T right = offset(point[1], j, canvas), across = exp(right * right * scale);
      T values = 0, slopes = 0;  // down the column
      for (int64_t i = rows.begin; i < rows.end; ++i) {
        const T down = offset(point[0], i, canvas), value = exp(down * down * scale) * image[i * canvas.width + j];
        values += value;
        slopes += value * down;
      }
      sum[0] += slopes * across;
      sum[1] += values * across * right;
    }
  }
  for (int c = 0; c < 2; ++c) {
    const T all = 2 * scale * warp_sum(sum[c]);
    if (lane == 0) grad_points[n * 3 + c] = all;
  }
  if (lane == 0) grad_points[n * 3 + 2] = 0;
}

}  // namespace

template <class T>
int project_sums_cuda(const Points<T>& points, const Canvas& canvas, double variance, T* sums, void* stream) {
  return launch(project_sums_kernel<T>, tiles_of(points.B, canvas), kTileThreads, stream, points, canvas,
                bell_of<T>(variance), sums);
}

template <class T>
int project_sums_backward_cuda(const T* grad, const Points<T>& points, const Canvas& canvas, double variance,
                               T* grad_points, void* stream) {
  return launch(project_sums_backward_kernel<T>, ceil_div(points.B * points.N * 32, kThreads), kThreads, stream, grad,
                points, canvas, bell_of<T>(variance), grad_points);
}

#define INSTANTIATE(T)                                                                                             \
  template int project_sums_cuda<T>(const Points<T>&, const Canvas&, double, T*, void*);                           \
  template int project_sums_backward_cuda<T>(const T*, const Points<T>&, const Canvas&, double, T*, void*);
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace samplenet
