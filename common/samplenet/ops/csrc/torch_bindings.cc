// PyTorch operators `samplenet::*`: checks, allocation, dispatch. Only the stable interface of PyTorch 2.10 is used, so
// one binary serves 2.10 and every later version.
//
// No call, however wrong, reads outside a tensor; on CUDA a wrong index is no error but skipped by the kernels, for
// reading it here would make the host wait. Non-contiguous tensors are copied. The checks meant for people are in torch.py.
#ifdef SAMPLENET_CUDA
#define USE_CUDA  // the CUDA part of PyTorch's C interface
#include <cuda_runtime_api.h>
#endif
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <tuple>

#include "chamfer.h"
#include "fps.h"
#include "knn.h"

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

std::string shape_of(const Tensor& t) {
  std::string out = "(";
  for (int64_t d = 0; d < t.dim(); ++d) out += (d ? ", " : "") + std::to_string(t.size(d));
  return out + ")";
}

// Every size of `shape` that is not -1 is the tensor's.
void check_shape(const char* name, const Tensor& t, std::initializer_list<int64_t> shape) {
  bool same = t.dim() == static_cast<int64_t>(shape.size());
  std::string want;
  int64_t d = 0;
  for (int64_t size : shape) {
    want += (d ? ", " : "") + (size < 0 ? std::string("*") : std::to_string(size));
    same = same && (size < 0 || t.size(d) == size);
    ++d;
  }
  STD_TORCH_CHECK(same, "samplenet: ", name, " must have shape (", want, "), got ", shape_of(t));
}

void check_type(const char* name, const Tensor& t, const Tensor& cloud, ScalarType type) {
  STD_TORCH_CHECK(t.scalar_type() == type, "samplenet: ", name, " must be ", torch::headeronly::toString(type),
                  ", got ", torch::headeronly::toString(t.scalar_type()));
  STD_TORCH_CHECK(t.device() == cloud.device(), "samplenet: ", name, " must be on the device of the cloud");
}

// (B, N, 3), float32 or float64, of the type and the device of the call's first cloud.
void check_cloud(const char* name, const Tensor& t, const Tensor& first) {
  check_shape(name, t, {-1, -1, 3});
  auto type = t.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double, "samplenet: ", name,
                  " must be float32 or float64, got ", torch::headeronly::toString(type));
  check_type(name, t, first, first.scalar_type());
}

void check_in_range(const char* name, int64_t value, int64_t low, int64_t high) {
  const bool inside = value >= low && value <= high;
  STD_TORCH_CHECK(inside, "samplenet: ", name, " must be in [", low, ", ", high, "], got ", value);
}

Tensor packed(const Tensor& t) { return t.is_contiguous() ? t : torch::stable::contiguous(t); }

// Contiguous int64 indices, on the CPU all within a cloud of n points.
Tensor indices(const char* name, const Tensor& t, const Tensor& cloud, int64_t n) {
  check_type(name, t, cloud, ScalarType::Long);
  Tensor idx = packed(t);
  if (idx.is_cpu()) {
    const int64_t* values = idx.const_data_ptr<int64_t>();
    const int64_t count = idx.numel();
    for (int64_t i = 0; i < count; ++i) check_in_range(name, values[i], 0, n - 1);
  }
  return idx;
}

Tensor empty(const Tensor& like, std::initializer_list<int64_t> shape, ScalarType type) {
  return torch::stable::new_empty(like, {shape.begin(), shape.size()}, type);
}

template <class T>
const T* in(const Tensor& t) {
  return static_cast<const T*>(t.const_data_ptr());
}

template <class T>
T* out(const Tensor& t) {
  return static_cast<T*>(t.mutable_data_ptr());
}

// PyTorch's threads; a piece of work takes 20 microseconds or more.
samplenet::Parallel threads() {
  return {static_cast<int>(torch::stable::get_num_threads()),
          [](int64_t n, int64_t cost, const samplenet::Body& body) {
            const int64_t grain = std::max<int64_t>(1, 20000 / std::max<int64_t>(1, cost));
            torch::stable::parallel_for(0, n, grain, body);
          }};
}

#ifdef SAMPLENET_CUDA
// Runs launch(workspace, stream) on the device and the current stream of `cloud`.
template <class Launch>
void on_gpu(const char* name, const Tensor& cloud, size_t bytes, Launch launch) {
  const auto device = cloud.get_device_index();
  torch::stable::accelerator::DeviceGuard guard(device);
  void* stream = nullptr;
  const bool found = aoti_torch_get_current_cuda_stream(device, &stream) == AOTI_TORCH_SUCCESS;
  STD_TORCH_CHECK(found, "samplenet: ", name, ": no current CUDA stream");
  Tensor workspace = empty(cloud, {static_cast<int64_t>(bytes)}, ScalarType::Byte);
  const int error = launch(bytes ? workspace.mutable_data_ptr() : nullptr, stream);
  STD_TORCH_CHECK(error == 0, "samplenet: ", name, ": ", cudaGetErrorString(static_cast<cudaError_t>(error)));
}
#endif

// Calls f(T()) with the floating type of the cloud.
template <class F>
void by_type(const Tensor& cloud, F f) {
  if (cloud.scalar_type() == ScalarType::Double) {
    f(double());
  } else {
    f(float());
  }
}

std::tuple<Tensor, Tensor> knn(const Tensor& queries_in, const Tensor& points_in, int64_t k) {
  check_cloud("queries", queries_in, queries_in);
  check_cloud("points", points_in, queries_in);
  const int64_t B = queries_in.size(0), M = queries_in.size(1), N = points_in.size(1);
  check_shape("points", points_in, {B, N, 3});
  check_in_range("k", k, 1, N);
  const Tensor queries = packed(queries_in), points = packed(points_in);
  Tensor dist2 = empty(queries, {B, M, k}, queries.scalar_type()), idx = empty(queries, {B, M, k}, ScalarType::Long);
  by_type(queries, [&](auto zero) {
    using T = decltype(zero);
#ifdef SAMPLENET_CUDA
    if (queries.is_cuda()) {
      const size_t bytes = samplenet::knn_cuda_workspace<T, int64_t>(B, M, N, k);
      return on_gpu("knn", queries, bytes, [&](void* work, void* stream) {
        return samplenet::knn_cuda(in<T>(queries), in<T>(points), B, M, N, k, out<T>(dist2), out<int64_t>(idx), work,
                                   stream);
      });
    }
#endif
    samplenet::knn(in<T>(queries), in<T>(points), B, M, N, k, out<T>(dist2), out<int64_t>(idx), threads());
  });
  return {dist2, idx};
}

std::tuple<Tensor, Tensor> knn_backward(const Tensor& grad_in, const Tensor& queries_in, const Tensor& points_in,
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
#ifdef SAMPLENET_CUDA
    if (queries.is_cuda()) {
      const size_t bytes = samplenet::knn_backward_cuda_workspace<T, int64_t>(B, M, N, k);
      return on_gpu("knn_backward", queries, bytes, [&](void* work, void* stream) {
        return samplenet::knn_backward_cuda(in<T>(grad), in<T>(queries), in<T>(points), in<int64_t>(idx), B, M, N, k,
                                            out<T>(grad_queries), out<T>(grad_points), work, stream);
      });
    }
#endif
    samplenet::knn_backward(in<T>(grad), in<T>(queries), in<T>(points), in<int64_t>(idx), B, M, N, k,
                            out<T>(grad_queries), out<T>(grad_points), threads());
  });
  return {grad_queries, grad_points};
}

// a (B, M, 3) and b (B, N, 3), neither without points.
void check_pair(const Tensor& a, const Tensor& b) {
  check_cloud("a", a, a);
  check_cloud("b", b, a);
  check_shape("b", b, {a.size(0), -1, 3});
  STD_TORCH_CHECK(a.size(1) > 0, "samplenet: a is empty");
  STD_TORCH_CHECK(b.size(1) > 0, "samplenet: b is empty");
}

std::tuple<Tensor, Tensor, Tensor, Tensor> chamfer(const Tensor& a_in, const Tensor& b_in) {
  check_pair(a_in, b_in);
  const Tensor a = packed(a_in), b = packed(b_in);
  const int64_t B = a.size(0), M = a.size(1), N = b.size(1);
  Tensor a2b = empty(a, {B, M}, a.scalar_type()), b2a = empty(a, {B, N}, a.scalar_type());
  Tensor idx_ab = empty(a, {B, M}, ScalarType::Long), idx_ba = empty(a, {B, N}, ScalarType::Long);
  by_type(a, [&](auto zero) {
    using T = decltype(zero);
#ifdef SAMPLENET_CUDA
    if (a.is_cuda()) {
      const size_t bytes = samplenet::chamfer_cuda_workspace<T, int64_t>(B, M, N);
      return on_gpu("chamfer", a, bytes, [&](void* work, void* stream) {
        return samplenet::chamfer_cuda(in<T>(a), in<T>(b), B, M, N, out<T>(a2b), out<T>(b2a), out<int64_t>(idx_ab),
                                       out<int64_t>(idx_ba), work, stream);
      });
    }
#endif
    samplenet::chamfer(in<T>(a), in<T>(b), B, M, N, out<T>(a2b), out<T>(b2a), out<int64_t>(idx_ab),
                       out<int64_t>(idx_ba), threads());
  });
  return {a2b, b2a, idx_ab, idx_ba};
}

std::tuple<Tensor, Tensor> chamfer_backward(const Tensor& grad_a2b_in, const Tensor& grad_b2a_in, const Tensor& a_in,
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
#ifdef SAMPLENET_CUDA
    if (a.is_cuda()) {
      const size_t bytes = samplenet::chamfer_backward_cuda_workspace<T, int64_t>(B, M, N);
      return on_gpu("chamfer_backward", a, bytes, [&](void* work, void* stream) {
        return samplenet::chamfer_backward_cuda(in<T>(grad_a2b), in<T>(grad_b2a), in<T>(a), in<T>(b),
                                                in<int64_t>(idx_ab), in<int64_t>(idx_ba), B, M, N, out<T>(grad_a),
                                                out<T>(grad_b), work, stream);
      });
    }
#endif
    samplenet::chamfer_backward(in<T>(grad_a2b), in<T>(grad_b2a), in<T>(a), in<T>(b), in<int64_t>(idx_ab),
                                in<int64_t>(idx_ba), B, M, N, out<T>(grad_a), out<T>(grad_b), threads());
  });
  return {grad_a, grad_b};
}

Tensor farthest_points(const Tensor& points_in, const Tensor& chosen_in, int64_t m) {
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
#ifdef SAMPLENET_CUDA
    if (points.is_cuda()) {
      const size_t bytes = samplenet::farthest_points_cuda_workspace<T, int64_t>(B, N, S, m);
      return on_gpu("farthest_points", points, bytes, [&](void* work, void* stream) {
        return samplenet::farthest_points_cuda(in<T>(points), in<int64_t>(chosen), B, N, S, m, out<int64_t>(idx), work,
                                               stream);
      });
    }
#endif
    samplenet::farthest_points(in<T>(points), in<int64_t>(chosen), B, N, S, m, out<int64_t>(idx), threads());
  });
  return idx;
}

void implement(torch::stable::detail::StableLibrary& library) {
  library.impl("knn", TORCH_BOX(&knn));
  library.impl("knn_backward", TORCH_BOX(&knn_backward));
  library.impl("chamfer", TORCH_BOX(&chamfer));
  library.impl("chamfer_backward", TORCH_BOX(&chamfer_backward));
  library.impl("farthest_points", TORCH_BOX(&farthest_points));
}

}  // namespace

STABLE_TORCH_LIBRARY(samplenet, library) {
  library.def("knn(Tensor queries, Tensor points, int k) -> (Tensor, Tensor)");
  library.def("knn_backward(Tensor grad, Tensor queries, Tensor points, Tensor idx) -> (Tensor, Tensor)");
  library.def("chamfer(Tensor a, Tensor b) -> (Tensor, Tensor, Tensor, Tensor)");
  library.def(
      "chamfer_backward(Tensor grad_a2b, Tensor grad_b2a, Tensor a, Tensor b, Tensor idx_ab, Tensor idx_ba) "
      "-> (Tensor, Tensor)");
  library.def("farthest_points(Tensor points, Tensor chosen, int m) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(samplenet, CPU, library) { implement(library); }
#ifdef SAMPLENET_CUDA
STABLE_TORCH_LIBRARY_IMPL(samplenet, CUDA, library) { implement(library); }
#endif
