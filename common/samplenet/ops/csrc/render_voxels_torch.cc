// The renderer of clouds as PyTorch operators; see torch_common.h.
#include "render_voxels.h"
#include "torch_common.h"

namespace samplenet {
namespace {

// A call's inputs, checked and contiguous.
struct Call {
  Tensor points, sigma, scale, colours;
  VoxelOptions options;
  int64_t B, N, C, D, Z;

  Call(const Tensor& points_in, const Tensor& sigma_in, const Tensor& scale_in, const Tensor& colours_in,
       const VoxelOptions& options_in)
      : points(packed(points_in)), sigma(packed(sigma_in)), scale(packed(scale_in)), colours(packed(colours_in)),
        options(options_in), D(options.size), Z(options.size_z) {
    check_cloud("points", points, points);
    B = points.size(0), N = points.size(1);
    check_shape("sigma", sigma, {B});
    check_shape("scale", scale, {B});
    check_shape("colours", colours, {B, N, -1});
    for (const auto& [name, t] : {std::pair("sigma", &sigma), {"scale", &scale}, {"colours", &colours}})
      check_type(name, *t, points, points.scalar_type());
    C = colours.size(2);
    for (const auto& [name, size] : {std::pair("size", D), {"size_z", Z}, {"kernel_size", options.kernel_size}})
      check_in_range(name, size, 1, VoxelOptions::LARGEST);
  }

  template <class T>
  Clouds<T> clouds() const {
    return {in<T>(points), in<T>(sigma), in<T>(scale), in<T>(colours), B, N, C};
  }

  Tensor image(std::initializer_list<int64_t> shape) const { return empty(points, shape, points.scalar_type()); }

  Tensor gradient(const char* name, const Tensor& grad, std::initializer_list<int64_t> shape) const {
    check_shape(name, grad, shape);
    check_type(name, grad, points, points.scalar_type());
    return packed(grad);
  }
};

// The data of an image, null without any.
template <class T>
const T* some(const Tensor& t) {
  return t.numel() ? in<T>(t) : nullptr;
}

template <class T>
T* some_out(const Tensor& t) {
  return t.numel() ? out<T>(t) : nullptr;
}

std::tuple<Tensor, Tensor, Tensor, Tensor> render_voxels_op(
    const Tensor& points, const Tensor& sigma, const Tensor& scale, const Tensor& colours, int64_t size, int64_t size_z,
    int64_t kernel_size, double camera_distance, double max_depth, bool max_projection, bool clip_after,
    bool divide_colours, bool colours_move_points, bool as_released, bool probabilities) {
  const Call call(points, sigma, scale, colours,
                  {size, size_z, kernel_size, camera_distance, max_depth, max_projection, clip_after, divide_colours,
                   colours_move_points, as_released});
  const int64_t B = call.B, D = call.D, rays = max_projection ? 0 : D;
  Tensor silhouette = call.image({B, D, D}), depth = call.image({B, rays, rays});
  Tensor colour = call.image({B, rays, rays, call.C}), ends = call.image({B, probabilities ? call.Z + 1 : 0, D, D});
  by_type(call.points, [&](auto zero) {
    using T = decltype(zero);
    const Images<T> images{out<T>(silhouette), some_out<T>(depth), some_out<T>(colour), some_out<T>(ends)};
    const Clouds<T> clouds = call.clouds<T>();
    if constexpr (kCuda) {
      if (call.points.is_cuda()) {
        const size_t bytes = render_voxels_cuda_workspace(clouds, call.options);
        return on_gpu("render_voxels", call.points, bytes, [&](void* work, void* stream) {
          return render_voxels_cuda(clouds, call.options, images, work, stream);
        });
      }
    }
    render_voxels(clouds, call.options, images, threads());
  });
  return {silhouette, depth, colour, ends};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> render_voxels_backward_op(
    const Tensor& grad_silhouette, const Tensor& grad_depth, const Tensor& grad_colour, const Tensor& grad_probabilities,
    const Tensor& points, const Tensor& sigma, const Tensor& scale, const Tensor& colours, int64_t size, int64_t size_z,
    int64_t kernel_size, double camera_distance, double max_depth, bool max_projection, bool clip_after,
    bool divide_colours, bool colours_move_points, bool as_released, bool probabilities, bool with_sigma) {
  const Call call(points, sigma, scale, colours,
                  {size, size_z, kernel_size, camera_distance, max_depth, max_projection, clip_after, divide_colours,
                   colours_move_points, as_released});
  const int64_t B = call.B, N = call.N, C = call.C, D = call.D, rays = max_projection ? 0 : D;
  const Tensor silhouette = call.gradient("grad_silhouette", grad_silhouette, {B, D, D});
  const Tensor depth = call.gradient("grad_depth", grad_depth, {B, rays, rays});
  const Tensor colour = call.gradient("grad_colour", grad_colour, {B, rays, rays, C});
  const Tensor ends =
      call.gradient("grad_probabilities", grad_probabilities, {B, probabilities ? call.Z + 1 : 0, D, D});
  Tensor grad_points = call.image({B, N, 3}), grad_sigma = call.image({with_sigma ? B : 0});
  Tensor grad_scale = call.image({B}), grad_colours = call.image({B, N, C});
  by_type(call.points, [&](auto zero) {
    using T = decltype(zero);
    const Images<const T> grad{in<T>(silhouette), some<T>(depth), some<T>(colour), some<T>(ends)};
    const CloudGradients<T> gradients{out<T>(grad_points), some_out<T>(grad_sigma), out<T>(grad_scale),
                                      out<T>(grad_colours)};
    const Clouds<T> clouds = call.clouds<T>();
    if constexpr (kCuda) {
      if (call.points.is_cuda()) {
        const size_t bytes = render_voxels_backward_cuda_workspace(clouds, call.options, with_sigma);
        return on_gpu("render_voxels_backward", call.points, bytes, [&](void* work, void* stream) {
          return render_voxels_backward_cuda(grad, clouds, call.options, with_sigma, gradients, work, stream);
        });
      }
    }
    render_voxels_backward(grad, clouds, call.options, gradients, threads());
  });
  return {grad_points, grad_sigma, grad_scale, grad_colours};
}

void implement(torch::stable::detail::StableLibrary& library) {
  library.impl("render_voxels", TORCH_BOX(&render_voxels_op));
  library.impl("render_voxels_backward", TORCH_BOX(&render_voxels_backward_op));
}

}  // namespace
}  // namespace samplenet

#define CLOUDS "Tensor points, Tensor sigma, Tensor scale, Tensor colours, "
#define OPTIONS                                                                                                 \
  "int size, int size_z, int kernel_size, float camera_distance, float max_depth, bool max_projection, "        \
  "bool clip_after, bool divide_colours, bool colours_move_points, bool as_released, bool probabilities"
STABLE_TORCH_LIBRARY_FRAGMENT(samplenet, library) {
  library.def("render_voxels(" CLOUDS OPTIONS ") -> (Tensor, Tensor, Tensor, Tensor)");
  library.def(
      "render_voxels_backward(Tensor grad_silhouette, Tensor grad_depth, Tensor grad_colour, "
      "Tensor grad_probabilities, " CLOUDS OPTIONS ", bool with_sigma) -> (Tensor, Tensor, Tensor, Tensor)");
}
SAMPLENET_TORCH_IMPL(samplenet::implement)
