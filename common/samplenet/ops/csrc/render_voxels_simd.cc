// Compiled once for each instruction set; see simd.h.
#include "render_voxels.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "voxel_grid.h"
#include "voxel_rays.h"

namespace samplenet::SAMPLENET_ISA {

// The images of cloud b.
template <class T>
class Picture {
  const Images<T>& images_;
  const int64_t b_, D_, Z_, C_;

 public:
  Picture(const Images<T>& images, int64_t b, int64_t C, const VoxelOptions& options)
      : images_(images), b_(b), D_(options.size), Z_(options.size_z), C_(C) {}

  // Calls visit(pixel, row, x) for each pixel of a row and its place among the rays' images, which are `width` wide; slabs
  // count from below.
  template <class R, class Visit>
  void each(int64_t y, R& rays, int64_t width, const Visit& visit) const {
    const int64_t first = (D_ - 1 - y) * D_;
    for (int64_t x = 0; x < D_; ++x) visit(images_.silhouette[b_ * D_ * D_ + first + x], rays.silhouette[x]);
    if (images_.depth) {
      for (int64_t x = 0; x < D_; ++x) visit(images_.depth[b_ * D_ * D_ + first + x], rays.depth[x]);
    }
    if (images_.colour) {
      T* pixels = images_.colour + (b_ * D_ * D_ + first) * C_;
      for (int64_t c = 0; c < C_; ++c) {
        for (int64_t x = 0; x < D_; ++x) visit(pixels[x * C_ + c], rays.colour[c * width + x]);
      }
    }
    if (images_.probabilities) {
      T* pixels = images_.probabilities + b_ * (Z_ + 1) * D_ * D_ + first;
      for (int64_t k = 0; k <= Z_; ++k) {
        for (int64_t x = 0; x < D_; ++x) visit(pixels[k * D_ * D_ + x], rays.ends[k * width + x]);
      }
    }
  }
};

template <class T>
constexpr T NOT_A_NUMBER = std::numeric_limits<T>::quiet_NaN();

// Calls body(first, last) for ranges of the clouds, each of which has its own grid: few of them, and some for each thread.
template <class T>
void for_clouds(const Clouds<T>& clouds, const VoxelOptions& options, const Parallel& parallel, const Body& body) {
  if (clouds.B == 0) return;
  const int64_t parts = std::min<int64_t>(clouds.B, 4 * parallel.threads);
  const int64_t cells = options.size * options.size * options.size_z;
  const int64_t cost = (clouds.N * 20 + cells * options.kernel_size / 4) * (clouds.C + 1);  // nanoseconds, roughly
  parallel.run(parts, cost * clouds.B / parts, [&](int64_t begin, int64_t end) {
    body(clouds.B * begin / parts, clouds.B * end / parts);
  });
}

template <class T>
void render_voxels(const Clouds<T>& clouds, const VoxelOptions& options, const Images<T>& images, const Parallel& parallel) {
  for_clouds(clouds, options, parallel, [&](int64_t begin, int64_t end) {
    Grid<T> grid(options, clouds.C);
    Rays<T> rays(options, options.max_projection ? 0 : clouds.C, grid.width());
    for (int64_t b = begin; b < end; ++b) {
      const T sigma = clouds.sigma[b], scale = clouds.scale[b];
      const bool is_number = !std::isnan(sigma) && !std::isnan(scale);
      const Gaussian<T> along_plane(options.kernel_size, sigma, 1);
      const Gaussian<T> along_ray(options.kernel_size_z(), sigma, options.stretch());
      const Picture<T> picture(images, b, clouds.C, options);
      grid.add(clouds.points + b * clouds.N * 3, clouds.colours + b * clouds.N * clouds.C, clouds.N, along_plane);
      for (int64_t y = 0; y < options.size; ++y) {
        grid.cut(y, along_ray, rays);
        options.max_projection ? rays.follow_to_largest(scale) : rays.follow(scale);
        picture.each(y, rays, grid.width(), [&](T& pixel, T seen) { pixel = is_number ? seen : NOT_A_NUMBER<T>; });
      }
    }
  });
}

template <class T>
void render_voxels_backward(const Images<const T>& grad, const Clouds<T>& clouds, const VoxelOptions& options,
                            const CloudGradients<T>& out, const Parallel& parallel) {
  const int64_t N = clouds.N, C = clouds.C;
  for_clouds(clouds, options, parallel, [&](int64_t begin, int64_t end) {
    Grid<T> grid(options, C);
    Rays<T> rays(options, options.max_projection ? 0 : C, grid.width());
    for (int64_t b = begin; b < end; ++b) {
      const T sigma = clouds.sigma[b], scale = clouds.scale[b];
      const T *points = clouds.points + b * N * 3, *colours = clouds.colours + b * N * C;
      T *grad_points = out.points + b * N * 3, *grad_colours = out.colours + b * N * C;
      const Picture<const T> picture(grad, b, C, options);
      bool is_asked = false;
      for (int64_t y = 0; y < options.size; ++y) {
        picture.each(y, rays, grid.width(), [&](T pixel, T) { is_asked = is_asked || pixel != 0; });
      }
      const bool is_number = !std::isnan(sigma) && !std::isnan(scale);
      if (!is_asked || !is_number) {
        const T all = is_asked ? NOT_A_NUMBER<T> : T(0);
        std::fill_n(grad_points, N * 3, all);
        std::fill_n(grad_colours, N * C, all);
        out.scale[b] = all;
        if (out.sigma) out.sigma[b] = all;
        continue;
      }
      const Gaussian<T> along_plane(options.kernel_size, sigma, 1);
      const Gaussian<T> along_ray(options.kernel_size_z(), sigma, options.stretch());
      grid.grad_sigma = 0;
      std::fill(rays.grad_scale.begin(), rays.grad_scale.end(), T(0));
      grid.add(points, colours, N, along_plane);
      for (int64_t y = 0; y < options.size; ++y) {
        grid.cut(y, along_ray, rays);
        picture.each(y, rays, grid.width(), [&](T pixel, T& seen) { seen = pixel; });
        options.max_projection ? rays.differentiate_largest(scale) : rays.differentiate(scale);
        grid.cut_back(y, along_ray, rays, out.sigma);
      }
      grid.add_back(points, colours, N, along_plane, out.sigma, grad_points, grad_colours);
      double grad_scale = 0;
      for (const T part : rays.grad_scale) grad_scale += part;
      out.scale[b] = static_cast<T>(grad_scale);
      if (out.sigma) out.sigma[b] = static_cast<T>(grid.grad_sigma);
    }
  });
}

#define INSTANTIATE(T)                                                                                                 \
  template void render_voxels<T>(const Clouds<T>&, const VoxelOptions&, const Images<T>&, const Parallel&);            \
  template void render_voxels_backward<T>(const Images<const T>&, const Clouds<T>&, const VoxelOptions&,               \
                                          const CloudGradients<T>&, const Parallel&);
INSTANTIATE(float)
INSTANTIATE(double)

}  // namespace samplenet::SAMPLENET_ISA
