// The Chamfer distance as PyTorch operators; see torch_common.h.
#include "chamfer.h"
#include "torch_common.h"

namespace samplenet {
namespace {

// a (B, M, 3) and b (B, N, 3), neither without points.
void check_pair(const Tensor& a, const Tensor& b) {
  check_cloud("a", a, a);
  check_cloud("b", b, a);
  check_shape("b", b, {a.size(0), -1, 3});
  STD_TORCH_CHECK(a.size(1) > 0, "samplenet: a is empty");
  STD_TORCH_CHECK(b.size(1) > 0, "samplenet: b is empty");
}

std::tuple<Tensor, Tensor, Tensor, Tensor> chamfer_op(const Tensor& a_in, const Tensor& b_in) {
  check_pair(a_in, b_in);
  const Tensor a = packed(a_in), b = packed(b_in);
  const int64_t B = a.size(0), M = a.size(1), N = b.size(1);
  Tensor a2b = empty(a, {B, M}, a.scalar_type()), b2a = empty(a, {B, N}, a.scalar_type());
  Tensor idx_ab = empty(a, {B, M}, ScalarType::Long), idx_ba = empty(a, {B, N}, ScalarType::Long);
  by_type(a, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (kCuda) {
      if (a.is_cuda()) {
        const size_t bytes = chamfer_cuda_workspace<T, int64_t>(B, M, N);
        return on_gpu("chamfer", a, bytes, [&](void* work, void* stream) {
          return chamfer_cuda(in<T>(a), in<T>(b), B, M, N, out<T>(a2b), out<T>(b2a), out<int64_t>(idx_ab),
                                         out<int64_t>(idx_ba), work, stream);
        });
      }
    }
    chamfer(in<T>(a), in<T>(b), B, M, N, out<T>(a2b), out<T>(b2a), out<int64_t>(idx_ab),
                       out<int64_t>(idx_ba), threads());
  });
  return {a2b, b2a, idx_ab, idx_ba};
}

std::tuple<Tensor, Tensor> chamfer_backward_op(const Tensor& grad_a2b_in, const Tensor& grad_b2a_in, const Tensor& a_in,
                                            const Tensor& b_in, const Tensor& idx_ab_in, const Tensor& idx_ba_in) {
  check_pair(a_in, b_in);
  const Tensor a = packed(a_in), b = packed(b_in);
  const int64_t B = a.size(0), M = a.size(1), N = b.size(1);
  check_shape("grad_a2b", grad_a2b_in, {B, M});
  check_shape("grad_b2a", grad_b2a_in, {B, N});
  check_type("grad_a2b", grad_a2b_in, a, a.scalar_type());
  check_type("grad_b2a", grad_b2a_in, a, a.scalar_type());
  check_shape("idx_ab", idx_ab_in, {B, M});
  check_shape("idx_ba", idx_ba_in, {B, N});
  const Tensor grad_a2b = packed(grad_a2b_in), grad_b2a = packed(grad_b2a_in);
  const Tensor idx_ab = indices("idx_ab", idx_ab_in, a, N), idx_ba = indices("idx_ba", idx_ba_in, a, M);
  Tensor grad_a = empty(a, {B, M, 3}, a.scalar_type()), grad_b = empty(a, {B, N, 3}, a.scalar_type());
  by_type(a, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (kCuda) {
      if (a.is_cuda()) {
        const size_t bytes = chamfer_backward_cuda_workspace<T, int64_t>(B, M, N);
        return on_gpu("chamfer_backward", a, bytes, [&](void* work, void* stream) {
          return chamfer_backward_cuda(in<T>(grad_a2b), in<T>(grad_b2a), in<T>(a), in<T>(b),
                                                  in<int64_t>(idx_ab), in<int64_t>(idx_ba), B, M, N, out<T>(grad_a),
                                                  out<T>(grad_b), work, stream);
        });
      }
    }
    chamfer_backward(in<T>(grad_a2b), in<T>(grad_b2a), in<T>(a), in<T>(b), in<int64_t>(idx_ab),
                                in<int64_t>(idx_ba), B, M, N, out<T>(grad_a), out<T>(grad_b), threads());
  });
  return {grad_a, grad_b};
}

void implement(torch::stable::detail::StableLibrary& library) {
  library.impl("chamfer", TORCH_BOX(&chamfer_op));
  library.impl("chamfer_backward", TORCH_BOX(&chamfer_backward_op));
}

}  // namespace
}  // namespace samplenet

STABLE_TORCH_LIBRARY_FRAGMENT(samplenet, library) {
  library.def("chamfer(Tensor a, Tensor b) -> (Tensor, Tensor, Tensor, Tensor)");
  library.def(
      "chamfer_backward(Tensor grad_a2b, Tensor grad_b2a, Tensor a, Tensor b, Tensor idx_ab, Tensor idx_ba) "
      "-> (Tensor, Tensor)");
}
SAMPLENET_TORCH_IMPL(samplenet::implement)
