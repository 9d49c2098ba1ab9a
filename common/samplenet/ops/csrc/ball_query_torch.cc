// The ball query as a PyTorch operator; see torch_common.h.
#include "ball_query.h"
#include "torch_common.h"

namespace samplenet {
namespace {

std::tuple<Tensor, Tensor> ball_query_op(const Tensor& queries_in, const Tensor& points_in, double radius, int64_t k) {
  check_cloud("queries", queries_in, queries_in);
  check_cloud("points", points_in, queries_in);
  const int64_t B = queries_in.size(0), M = queries_in.size(1), N = points_in.size(1);
  check_shape("points", points_in, {B, N, 3});
  STD_TORCH_CHECK(N > 0, "samplenet: points is empty (N = 0), at least one point is needed");
  STD_TORCH_CHECK(k > 0, "samplenet: k must be at least 1, got ", k);
  STD_TORCH_CHECK(radius > 0, "samplenet: radius must be a positive number, got ", radius);
  const Tensor queries = packed(queries_in), points = packed(points_in);
  Tensor idx = empty(queries, {B, M, k}, ScalarType::Long), count = empty(queries, {B, M}, ScalarType::Long);
  by_type(queries, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (kCuda) {
      if (queries.is_cuda()) {
        return on_gpu("ball_query", queries, 0, [&](void*, void* stream) {
          return ball_query_cuda(in<T>(queries), in<T>(points), B, M, N, radius, k, out<int64_t>(idx),
                                 out<int64_t>(count), stream);
        });
      }
    }
    ball_query(in<T>(queries), in<T>(points), B, M, N, radius, k, out<int64_t>(idx), out<int64_t>(count), threads());
  });
  return {idx, count};
}

void implement(torch::stable::detail::StableLibrary& library) { library.impl("ball_query", TORCH_BOX(&ball_query_op)); }

}  // namespace
}  // namespace samplenet

STABLE_TORCH_LIBRARY_FRAGMENT(samplenet, library) {
  library.def("ball_query(Tensor queries, Tensor points, float radius, int k) -> (Tensor, Tensor)");
}
SAMPLENET_TORCH_IMPL(samplenet::implement)
