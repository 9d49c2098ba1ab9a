// Points drawn on images as PyTorch operators; see torch_common.h.
#include "projections.h"
#include "torch_common.h"

namespace samplenet {
namespace {

Canvas canvas_of(int64_t height, int64_t width, bool as_released) {
  check_in_range("height", height, 1, 1 << 20);
  check_in_range("width", width, 1, 1 << 20);
  return {height, width, as_released};
}

void check_positive(const char* name, double value) {
  STD_TORCH_CHECK(value > 0, "samplenet: ", name, " must be above 0, got ", value);
}

template <class T>
Points<T> points_of(const Tensor& points) {
  return {in<T>(points), points.size(0), points.size(1)};
}

Tensor project_sums_op(const Tensor& points_in, int64_t height, int64_t width, double variance, bool as_released) {
  check_cloud("points", points_in, points_in);
  check_positive("variance", variance);
  const Canvas canvas = canvas_of(height, width, as_released);
  const Tensor points = packed(points_in);
  Tensor sums = empty(points, {points.size(0), height, width}, points.scalar_type());
  by_type(points, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (kCuda) {
      if (points.is_cuda()) {
        return on_gpu("project_sums", points, 0, [&](void*, void* stream) {
          return project_sums_cuda(points_of<T>(points), canvas, variance, out<T>(sums), stream);
        });
      }
    }
    project_sums(points_of<T>(points), canvas, variance, out<T>(sums), threads());
  });
  return sums;
}

Tensor project_sums_backward_op(const Tensor& grad_in, const Tensor& points_in, double variance, bool as_released) {
  check_cloud("points", points_in, points_in);
  check_shape("grad", grad_in, {points_in.size(0), -1, -1});
  check_type("grad", grad_in, points_in, points_in.scalar_type());
  check_positive("variance", variance);
  const Canvas canvas = canvas_of(grad_in.size(1), grad_in.size(2), as_released);
  const Tensor points = packed(points_in), grad = packed(grad_in);
  Tensor grad_points = empty(points, {points.size(0), points.size(1), 3}, points.scalar_type());
  by_type(points, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (kCuda) {
      if (points.is_cuda()) {
        return on_gpu("project_sums_backward", points, 0, [&](void*, void* stream) {
          return project_sums_backward_cuda(in<T>(grad), points_of<T>(points), canvas, variance, out<T>(grad_points),
                                            stream);
        });
      }
    }
    project_sums_backward(in<T>(grad), points_of<T>(points), canvas, variance, out<T>(grad_points), threads());
  });
  return grad_points;
}

void check_features(const Tensor& points, const Tensor& features, double radius, double beta) {
  check_cloud("points", points, points);
  check_shape("features", features, {points.size(0), points.size(1), -1});
  check_type("features", features, points, points.scalar_type());
  check_positive("radius", radius);
  check_positive("beta", beta);
}

std::tuple<Tensor, Tensor> project_features_op(const Tensor& points_in, const Tensor& features_in, int64_t height,
                                               int64_t width, double radius, double beta, bool as_released) {
  check_features(points_in, features_in, radius, beta);
  const Canvas canvas = canvas_of(height, width, as_released);
  const Tensor points = packed(points_in), features = packed(features_in);
  const int64_t B = points.size(0), C = features.size(2);
  Tensor images = empty(points, {B, height, width, C}, points.scalar_type());
  Tensor coverage = empty(points, {B, height, width}, points.scalar_type());
  by_type(points, [&](auto zero) {
    using T = decltype(zero);
    const Features<T> given{in<T>(features), C};
    if constexpr (kCuda) {
      if (points.is_cuda()) {
        return on_gpu("project_features", points, 0, [&](void*, void* stream) {
          return project_features_cuda(points_of<T>(points), given, canvas, Well{radius, beta}, out<T>(images),
                                       out<T>(coverage), stream);
        });
      }
    }
    project_features(points_of<T>(points), given, canvas, Well{radius, beta}, out<T>(images), out<T>(coverage), threads());
  });
  return {images, coverage};
}

std::tuple<Tensor, Tensor> project_features_backward_op(const Tensor& grad_in, const Tensor& points_in,
                                                        const Tensor& features_in, const Tensor& images_in,
                                                        double radius, double beta, bool as_released) {
  check_features(points_in, features_in, radius, beta);
  const int64_t B = points_in.size(0), N = points_in.size(1), C = features_in.size(2);
  check_shape("images", images_in, {B, -1, -1, C});
  check_shape("grad", grad_in, {B, images_in.size(1), images_in.size(2), C});
  for (const Tensor* t : {&images_in, &grad_in}) check_type("grad or images", *t, points_in, points_in.scalar_type());
  const Canvas canvas = canvas_of(images_in.size(1), images_in.size(2), as_released);
  const Tensor points = packed(points_in), features = packed(features_in), grad = packed(grad_in);
  const Tensor images = packed(images_in);
  Tensor grad_points = empty(points, {B, N, 3}, points.scalar_type());
  Tensor grad_features = empty(points, {B, N, C}, points.scalar_type());
  by_type(points, [&](auto zero) {
    using T = decltype(zero);
    const Features<T> given{in<T>(features), C};
    if constexpr (kCuda) {
      if (points.is_cuda()) {
        const size_t bytes = project_features_backward_cuda_workspace(points_of<T>(points), canvas);
        return on_gpu("project_features_backward", points, bytes, [&](void* work, void* stream) {
          return project_features_backward_cuda(in<T>(grad), points_of<T>(points), given, in<T>(images), canvas,
                                                Well{radius, beta}, out<T>(grad_points), out<T>(grad_features), work,
                                                stream);
        });
      }
    }
    project_features_backward(in<T>(grad), points_of<T>(points), given, in<T>(images), canvas, Well{radius, beta},
                              out<T>(grad_points), out<T>(grad_features), threads());
  });
  return {grad_points, grad_features};
}

void implement(torch::stable::detail::StableLibrary& library) {
  library.impl("project_sums", TORCH_BOX(&project_sums_op));
  library.impl("project_sums_backward", TORCH_BOX(&project_sums_backward_op));
  library.impl("project_features", TORCH_BOX(&project_features_op));
  library.impl("project_features_backward", TORCH_BOX(&project_features_backward_op));
}

}  // namespace
}  // namespace samplenet

STABLE_TORCH_LIBRARY_FRAGMENT(samplenet, library) {
  library.def("project_sums(Tensor points, int height, int width, float variance, bool as_released) -> Tensor");
  library.def("project_sums_backward(Tensor grad, Tensor points, float variance, bool as_released) -> Tensor");
  library.def(
      "project_features(Tensor points, Tensor features, int height, int width, float radius, float beta, "
      "bool as_released) -> (Tensor, Tensor)");
  library.def(
      "project_features_backward(Tensor grad, Tensor points, Tensor features, Tensor images, float radius, float beta, "
      "bool as_released) -> (Tensor, Tensor)");
}
SAMPLENET_TORCH_IMPL(samplenet::implement)
