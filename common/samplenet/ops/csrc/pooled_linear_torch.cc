// The pooled linear layer as PyTorch operators; see torch_common.h. There is no CUDA kernel.
#include "pooled_linear.h"
#include "torch_common.h"

namespace samplenet {
namespace {

// features (B, N, C) and weight (C, F) of one float type.
void check_layer(const Tensor& features, const Tensor& weight) {
  const auto type = features.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double,
                  "samplenet: features must be float32 or float64, got ", torch::headeronly::toString(type));
  check_shape("features", features, {-1, -1, -1});
  check_shape("weight", weight, {features.size(2), -1});
  check_type("weight", weight, features, type);
  STD_TORCH_CHECK(features.size(1) > 0, "samplenet: features are of no point");
}

std::tuple<Tensor, Tensor> pooled_linear_op(const Tensor& features_in, const Tensor& weight_in) {
  check_layer(features_in, weight_in);
  const Tensor features = packed(features_in), weight = packed(weight_in);
  const int64_t B = features.size(0), N = features.size(1), C = features.size(2), F = weight.size(1);
  Tensor values = empty(features, {B, F}, features.scalar_type()), idx = empty(features, {B, F}, ScalarType::Long);
  by_type(features, [&](auto zero) {
    using T = decltype(zero);
    pooled_linear(in<T>(features), in<T>(weight), B, N, C, F, out<T>(values), out<int64_t>(idx), threads());
  });
  return {values, idx};
}

std::tuple<Tensor, Tensor> pooled_linear_backward_op(const Tensor& grad_in, const Tensor& features_in,
                                                     const Tensor& weight_in, const Tensor& idx_in) {
  check_layer(features_in, weight_in);
  const Tensor features = packed(features_in), weight = packed(weight_in);
  const int64_t B = features.size(0), N = features.size(1), C = features.size(2), F = weight.size(1);
  check_shape("grad", grad_in, {B, F});
  check_type("grad", grad_in, features, features.scalar_type());
  check_shape("idx", idx_in, {B, F});
  const Tensor grad = packed(grad_in), idx = indices("idx", idx_in, features, N);
  Tensor grad_features = empty(features, {B, N, C}, features.scalar_type());
  Tensor grad_weight = empty(features, {C, F}, features.scalar_type());
  by_type(features, [&](auto zero) {
    using T = decltype(zero);
    pooled_linear_backward(in<T>(grad), in<T>(features), in<T>(weight), in<int64_t>(idx), B, N, C, F,
                           out<T>(grad_features), out<T>(grad_weight), threads());
  });
  return {grad_features, grad_weight};
}

}  // namespace
}  // namespace samplenet

STABLE_TORCH_LIBRARY_FRAGMENT(samplenet, library) {
  library.def("pooled_linear(Tensor features, Tensor weight) -> (Tensor, Tensor)");
  library.def("pooled_linear_backward(Tensor grad, Tensor features, Tensor weight, Tensor idx) -> (Tensor, Tensor)");
}
STABLE_TORCH_LIBRARY_IMPL(samplenet, CPU, library) {
  library.impl("pooled_linear", TORCH_BOX(&samplenet::pooled_linear_op));
  library.impl("pooled_linear_backward", TORCH_BOX(&samplenet::pooled_linear_backward_op));
}
