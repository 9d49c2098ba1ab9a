// Farthest point sampling as a PyTorch operator; see torch_common.h.
#include "farthest_points.h"
#include "torch_common.h"

namespace samplenet {
namespace {

Tensor farthest_points_op(const Tensor& points_in, const Tensor& chosen_in, int64_t m) {
  check_cloud("points", points_in, points_in);
  const Tensor points = packed(points_in);
  const int64_t B = points.size(0), N = points.size(1);
  check_in_range("m", m, 1, N);
  check_shape("chosen", chosen_in, {B, -1});
  const int64_t S = chosen_in.size(1);
  STD_TORCH_CHECK(S > 0, "samplenet: chosen must hold at least one index a cloud, got shape ", shape_of(chosen_in));
  const Tensor chosen = indices("chosen", chosen_in, points, N);
  Tensor idx = empty(points, {B, m}, ScalarType::Long);
  by_type(points, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (kCuda) {
      if (points.is_cuda()) {
        const size_t bytes = farthest_points_cuda_workspace<T, int64_t>(B, N, S, m);
        return on_gpu("farthest_points", points, bytes, [&](void* work, void* stream) {
          return farthest_points_cuda(in<T>(points), in<int64_t>(chosen), B, N, S, m, out<int64_t>(idx), work,
                                                 stream);
        });
      }
    }
    farthest_points(in<T>(points), in<int64_t>(chosen), B, N, S, m, out<int64_t>(idx), threads());
  });
  return idx;
}

void implement(torch::stable::detail::StableLibrary& library) {
  library.impl("farthest_points", TORCH_BOX(&farthest_points_op));
}

}  // namespace
}  // namespace samplenet

STABLE_TORCH_LIBRARY_FRAGMENT(samplenet, library) {
  library.def("farthest_points(Tensor points, Tensor chosen, int m) -> Tensor");
}
SAMPLENET_TORCH_IMPL(samplenet::implement)
