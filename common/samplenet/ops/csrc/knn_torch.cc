// The k nearest points as PyTorch operators; see torch_common.h.
#include "knn.h"
#include "torch_common.h"

namespace samplenet {
namespace {

std::tuple<Tensor, Tensor> knn_op(const Tensor& queries_in, const Tensor& points_in, int64_t k) {
  check_cloud("queries", queries_in, queries_in);
  check_cloud("points", points_in, queries_in);
  const int64_t B = queries_in.size(0), M = queries_in.size(1), N = points_in.size(1);
  check_shape("points", points_in, {B, N, 3});
  check_in_range("k", k, 1, N);
  const Tensor queries = packed(queries_in), points = packed(points_in);
  Tensor dist2 = empty(queries, {B, M, k}, queries.scalar_type()), idx = empty(queries, {B, M, k}, ScalarType::Long);
  by_type(queries, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (kCuda) {
      if (queries.is_cuda()) {
        const size_t bytes = knn_cuda_workspace<T, int64_t>(B, M, N, k);
        return on_gpu("knn", queries, bytes, [&](void* work, void* stream) {
          return knn_cuda(in<T>(queries), in<T>(points), B, M, N, k, out<T>(dist2), out<int64_t>(idx), work,
                                     stream);
        });
      }
    }
    knn(in<T>(queries), in<T>(points), B, M, N, k, out<T>(dist2), out<int64_t>(idx), threads());
  });
  return {dist2, idx};
}

std::tuple<Tensor, Tensor> knn_backward_op(const Tensor& grad_in, const Tensor& queries_in, const Tensor& points_in,
                                        const Tensor& idx_in) {
  check_cloud("queries", queries_in, queries_in);
  check_cloud("points", points_in, queries_in);
  const int64_t B = queries_in.size(0), M = queries_in.size(1), N = points_in.size(1);
  check_shape("points", points_in, {B, N, 3});
  check_shape("idx", idx_in, {B, M, -1});
  const int64_t k = idx_in.size(2);
  check_shape("grad", grad_in, {B, M, k});
  check_type("grad", grad_in, queries_in, queries_in.scalar_type());
  check_in_range("k", k, 1, N);
  const Tensor grad = packed(grad_in), queries = packed(queries_in), points = packed(points_in);
  const Tensor idx = indices("idx", idx_in, queries, N);
  Tensor grad_queries = empty(queries, {B, M, 3}, queries.scalar_type());
  Tensor grad_points = empty(queries, {B, N, 3}, queries.scalar_type());
  by_type(queries, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (kCuda) {
      if (queries.is_cuda()) {
        const size_t bytes = knn_backward_cuda_workspace<T, int64_t>(B, M, N, k);
        return on_gpu("knn_backward", queries, bytes, [&](void* work, void* stream) {
          return knn_backward_cuda(in<T>(grad), in<T>(queries), in<T>(points), in<int64_t>(idx), B, M, N, k,
                                              out<T>(grad_queries), out<T>(grad_points), work, stream);
        });
      }
    }
    knn_backward(in<T>(grad), in<T>(queries), in<T>(points), in<int64_t>(idx), B, M, N, k,
                            out<T>(grad_queries), out<T>(grad_points), threads());
  });
  return {grad_queries, grad_points};
}

void implement(torch::stable::detail::StableLibrary& library) {
  library.impl("knn", TORCH_BOX(&knn_op));
  library.impl("knn_backward", TORCH_BOX(&knn_backward_op));
}

}  // namespace
}  // namespace samplenet

STABLE_TORCH_LIBRARY_FRAGMENT(samplenet, library) {
  library.def("knn(Tensor queries, Tensor points, int k) -> (Tensor, Tensor)");
  library.def("knn_backward(Tensor grad, Tensor queries, Tensor points, Tensor idx) -> (Tensor, Tensor)");
}
SAMPLENET_TORCH_IMPL(samplenet::implement)
