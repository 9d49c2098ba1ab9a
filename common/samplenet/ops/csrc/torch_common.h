// Checks, allocation and dispatch for the PyTorch operators `samplenet::*` (the files *_torch.cc). Only the
// stable interface of PyTorch 2.10 is used, so that one binary serves 2.10 and every later version.
//
// No call, however wrong, reads outside a tensor. On CUDA a wrong index is not an error: the kernels skip it,
// because reading it here would make the host wait. Non-contiguous tensors are copied. The checks that users
// see are in ops/torch/checks.py.
#pragma once
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

#include "parallel.h"

namespace samplenet {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline std::string shape_of(const Tensor& t) {
  std::string out = "(";
  for (int64_t d = 0; d < t.dim(); ++d) out += (d ? ", " : "") + std::to_string(t.size(d));
  return out + ")";
}

// Every size of `shape` that is not -1 is the tensor's.
inline void check_shape(const char* name, const Tensor& t, std::initializer_list<int64_t> shape) {
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

inline void check_type(const char* name, const Tensor& t, const Tensor& cloud, ScalarType type) {
  STD_TORCH_CHECK(t.scalar_type() == type, "samplenet: ", name, " must be ", torch::headeronly::toString(type),
                  ", got ", torch::headeronly::toString(t.scalar_type()));
  STD_TORCH_CHECK(t.device() == cloud.device(), "samplenet: ", name, " must be on the device of the cloud");
}

// (B, N, 3), float32 or float64, of the type and the device of the call's first cloud.
inline void check_cloud(const char* name, const Tensor& t, const Tensor& first) {
  check_shape(name, t, {-1, -1, 3});
  auto type = t.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double, "samplenet: ", name,
                  " must be float32 or float64, got ", torch::headeronly::toString(type));
  check_type(name, t, first, first.scalar_type());
}

inline void check_in_range(const char* name, int64_t value, int64_t low, int64_t high) {
  const bool inside = value >= low && value <= high;
  STD_TORCH_CHECK(inside, "samplenet: ", name, " must be in [", low, ", ", high, "], got ", value);
}

inline Tensor packed(const Tensor& t) { return t.is_contiguous() ? t : torch::stable::contiguous(t); }

// Contiguous int64 indices, on the CPU all within a cloud of n points.
inline Tensor indices(const char* name, const Tensor& t, const Tensor& cloud, int64_t n) {
  check_type(name, t, cloud, ScalarType::Long);
  Tensor idx = packed(t);
  if (idx.is_cpu()) {
    const int64_t* values = idx.const_data_ptr<int64_t>();
    const int64_t count = idx.numel();
    for (int64_t i = 0; i < count; ++i) check_in_range(name, values[i], 0, n - 1);
  }
  return idx;
}

inline Tensor empty(const Tensor& like, std::initializer_list<int64_t> shape, ScalarType type) {
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
inline Parallel threads() {
  return {static_cast<int>(torch::stable::get_num_threads()),
          [](int64_t n, int64_t cost, const Body& body) {
            const int64_t grain = std::max<int64_t>(1, 20000 / std::max<int64_t>(1, cost));
            torch::stable::parallel_for(0, n, grain, body);
          }};
}

#ifdef SAMPLENET_CUDA
constexpr bool kCuda = true;

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
#else
constexpr bool kCuda = false;

template <class Launch>
void on_gpu(const char*, const Tensor&, size_t, Launch);  // never called
#endif

// Calls f(T()) with the floating type T of the cloud.
template <class F>
void by_type(const Tensor& cloud, F f) {
  if (cloud.scalar_type() == ScalarType::Double) {
    f(double());
  } else {
    f(float());
  }
}

}  // namespace samplenet

// Implements the operators that `implement(library)` names, for every device with kernels.
#ifdef SAMPLENET_CUDA
#define SAMPLENET_TORCH_IMPL(implement)                                            \
  STABLE_TORCH_LIBRARY_IMPL(samplenet, CPU, library) { implement(library); }       \
  STABLE_TORCH_LIBRARY_IMPL(samplenet, CUDA, library) { implement(library); }
#else
#define SAMPLENET_TORCH_IMPL(implement) \
  STABLE_TORCH_LIBRARY_IMPL(samplenet, CPU, library) { implement(library); }
#endif
