// Batch norm with ReLU as PyTorch operators; see torch_common.h. There is no CUDA kernel.
#include "batch_norm_relu.h"
#include "torch_common.h"

namespace samplenet {
namespace {

// features (R, C) with R >= 1, and each of `vectors` (C), all of one float type.
void check_norm(const Tensor& features, std::initializer_list<std::pair<const char*, const Tensor&>> vectors) {
  const auto type = features.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double,
                  "samplenet: features must be float32 or float64, got ", torch::headeronly::toString(type));
  check_shape("features", features, {-1, -1});
  STD_TORCH_CHECK(features.size(0) > 0, "samplenet: features have no row");
  for (const auto& [name, vector] : vectors) {
    check_shape(name, vector, {features.size(1)});
    check_type(name, vector, features, type);
  }
}

std::tuple<Tensor, Tensor, Tensor> batch_norm_relu_op(const Tensor& features_in, const Tensor& scale_in,
                                                      const Tensor& shift_in, double epsilon) {
  check_norm(features_in, {{"scale", scale_in}, {"shift", shift_in}});
  const Tensor features = packed(features_in), scale = packed(scale_in), shift = packed(shift_in);
  const int64_t R = features.size(0), C = features.size(1);
  Tensor result = empty(features, {R, C}, features.scalar_type());
  Tensor mean = empty(features, {C}, features.scalar_type()), variance = empty(features, {C}, features.scalar_type());
  by_type(features, [&](auto zero) {
    using T = decltype(zero);
    batch_norm_relu(in<T>(features), in<T>(scale), in<T>(shift), epsilon, R, C, out<T>(result), out<T>(mean),
                    out<T>(variance), threads());
  });
  return {result, mean, variance};
}

std::tuple<Tensor, Tensor, Tensor> batch_norm_relu_backward_op(const Tensor& grad_in, const Tensor& features_in,
                                                               const Tensor& scale_in, const Tensor& shift_in,
                                                               const Tensor& mean_in, const Tensor& variance_in,
                                                               double epsilon) {
  check_norm(features_in, {{"scale", scale_in}, {"shift", shift_in}, {"mean", mean_in}, {"variance", variance_in}});
  const Tensor features = packed(features_in), scale = packed(scale_in), shift = packed(shift_in);
  const Tensor mean = packed(mean_in), variance = packed(variance_in), grad = packed(grad_in);
  const int64_t R = features.size(0), C = features.size(1);
  check_shape("grad", grad, {R, C});
  check_type("grad", grad, features, features.scalar_type());
  Tensor grad_features = empty(features, {R, C}, features.scalar_type());
  Tensor grad_scale = empty(features, {C}, features.scalar_type());
  Tensor grad_shift = empty(features, {C}, features.scalar_type());
  by_type(features, [&](auto zero) {
    using T = decltype(zero);
    batch_norm_relu_backward(in<T>(grad), in<T>(features), in<T>(scale), in<T>(shift), in<T>(mean), in<T>(variance),
                             epsilon, R, C, out<T>(grad_features), out<T>(grad_scale), out<T>(grad_shift), threads());
  });
  return {grad_features, grad_scale, grad_shift};
}

}  // namespace
}  // namespace samplenet

STABLE_TORCH_LIBRARY_FRAGMENT(samplenet, library) {
  library.def("batch_norm_relu(Tensor features, Tensor scale, Tensor shift, float epsilon) -> (Tensor, Tensor, Tensor)");
  library.def(
      "batch_norm_relu_backward(Tensor grad, Tensor features, Tensor scale, Tensor shift, Tensor mean, "
      "Tensor variance, float epsilon) -> (Tensor, Tensor, Tensor)");
}
STABLE_TORCH_LIBRARY_IMPL(samplenet, CPU, library) {
  library.impl("batch_norm_relu", TORCH_BOX(&samplenet::batch_norm_relu_op));
  library.impl("batch_norm_relu_backward", TORCH_BOX(&samplenet::batch_norm_relu_backward_op));
}
