// Checks, allocation, dispatch and registration for the TensorFlow ops (the files *_tf.cc). The checks use the
// words of ops/contract.py.
//
// SAMPLENET_CUDA adds the GPU kernels. Without it, TensorFlow places the ops on the CPU and copies their tensors.
#pragma once
#include <algorithm>
#include <cstdint>
#include <exception>
#include <initializer_list>
#include <limits>
#include <new>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "parallel.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/util/work_sharder.h"
#ifdef SAMPLENET_CUDA
#include <cuda_runtime_api.h>

#include "xla/stream_executor/stream.h"
#endif

namespace samplenet {

using absl::Status;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

template <class... Words>
Status invalid(const Words&... words) {
  return absl::InvalidArgumentError(absl::StrCat(words...));
}

inline std::string written(const TensorShape& shape) { return absl::StrCat("(", absl::StrJoin(shape.dim_sizes(), ", "), ")"); }

// Each input from `first` on, by name, is (B, *, 3) with one B, and int32 can count its points.
inline Status check_clouds(OpKernelContext* ctx, const char* op, int first, std::initializer_list<const char*> names) {
  const TensorShape& one = ctx->input(first).shape();
  int i = first;
  for (const char* name : names) {
    const TensorShape& shape = ctx->input(i++).shape();
    if (shape.dims() != 3 || shape.dim_size(2) != 3)
      return invalid(op, ": ", name, " must have shape (B, N, 3), got ", written(shape));
    if (shape.dim_size(1) > std::numeric_limits<int32_t>::max())
      return invalid(op, ": ", name, " holds more points than int32 can count, ", shape.dim_size(1));
    if (shape.dim_size(0) != one.dim_size(0))
      return invalid(op, ": inputs must share the batch size B, got ", *names.begin(), " of ", one.dim_size(0), ", ",
                     name, " of ", shape.dim_size(0));
  }
  return absl::OkStatus();
}

inline Status check_not_empty(const char* op, const char* name, int64_t n) {
  if (n > 0) return absl::OkStatus();
  return invalid(op, ": ", name, " is empty (N = 0), at least one point is needed");
}

inline Status check_count(const char* op, const char* name, int64_t value, int64_t n) {
  if (1 <= value && value <= n) return absl::OkStatus();
  return invalid(op, ": ", name, " must be in [1, N] = [1, ", n, "], got ", value);
}

inline Status check_shape(const char* op, const char* name, const Tensor& tensor, const TensorShape& want) {
  if (tensor.shape() == want) return absl::OkStatus();
  return invalid(op, ": ", name, " must have shape ", written(want), ", got ", written(tensor.shape()));
}

// Only where the host can read the indices: on a GPU the caller has made sure of them.
inline Status check_range(const char* op, const char* name, const Tensor& indices, int64_t n) {
  const int32_t* idx = indices.flat<int32_t>().data();
  int32_t low = 0, high = 0;
  for (int64_t i = 0; i < indices.NumElements(); ++i) {
    low = std::min(low, idx[i]);
    high = std::max(high, idx[i]);
  }
  if (low >= 0 && (high < n || indices.NumElements() == 0)) return absl::OkStatus();
  return invalid(op, ": ", name, " must be in [0, N) = [0, ", n, "), got values from ", low, " to ", high);
}

// Allocation and dispatch

// Output i with these sizes, or null and the context's status set.
template <class T>
T* output(OpKernelContext* ctx, int i, std::initializer_list<int64_t> sizes) {
  TensorShape shape;
  Tensor* tensor = nullptr;
  Status status = TensorShape::BuildTensorShape(sizes, &shape);
  if (status.ok()) status = ctx->allocate_output(i, shape, &tensor);
  if (!status.ok()) ctx->CtxFailure(__FILE__, __LINE__, status);
  return status.ok() ? tensor->flat<T>().data() : nullptr;
}

template <class T>
const T* input(OpKernelContext* ctx, int i) {
  return ctx->input(i).flat<T>().data();
}

// The device's threads for its operations, as many as tf.config.threading allows.
inline Parallel workers(OpKernelContext* ctx) {
  const auto* pool = ctx->device()->tensorflow_cpu_worker_threads();
  return {pool->num_threads, [pool](int64_t n, int64_t cost, const Body& body) {
            tensorflow::Shard(pool->num_threads, pool->workers, n, 3 * cost, body);  // Shard counts in cycles
          }};
}

// work(parallel); what it throws becomes the status of the op.
template <class Work>
void run_on_cpu(OpKernelContext* ctx, const char* op, const Work& work) {
  try {
    work(workers(ctx));
  } catch (const std::bad_alloc&) {
    ctx->CtxFailure(__FILE__, __LINE__, absl::ResourceExhaustedError(absl::StrCat(op, ": not enough memory")));
  } catch (const std::exception& error) {
    ctx->CtxFailure(__FILE__, __LINE__, absl::InternalError(absl::StrCat(op, ": ", error.what())));
  }
}

#ifdef SAMPLENET_CUDA
// work(workspace, stream) puts the kernel on the stream of the op.
template <class Work>
void run_on_gpu(OpKernelContext* ctx, const char* op, size_t bytes, const Work& work) {
  Tensor workspace;
  if (bytes > 0) {
    const TensorShape shape({static_cast<int64_t>(bytes)});
    OP_REQUIRES_OK(ctx, ctx->allocate_temp(tensorflow::DT_INT8, shape, &workspace));
  }
  void* stream = ctx->op_device_context()->stream()->platform_specific_handle().stream;
  const auto code = static_cast<cudaError_t>(work(bytes > 0 ? workspace.flat<int8_t>().data() : nullptr, stream));
  OP_REQUIRES(ctx, code == cudaSuccess, absl::InternalError(absl::StrCat(op, ": CUDA: ", cudaGetErrorString(code))));
}
#else
template <class Work>
void run_on_gpu(OpKernelContext*, const char*, size_t, const Work&);  // never called
#endif

// Shapes while tracing: sizes may be unknown, and those known are checked

inline Status cloud_shapes(InferenceContext* c, int first, int count, DimensionHandle* batch, DimensionHandle* sizes) {
  *batch = c->UnknownDim();
  for (int i = 0; i < count; ++i) {
    ShapeHandle cloud;
    DimensionHandle three;
    TF_RETURN_IF_ERROR(c->WithRank(c->input(first + i), 3, &cloud));
    TF_RETURN_IF_ERROR(c->WithValue(c->Dim(cloud, 2), 3, &three));
    TF_RETURN_IF_ERROR(c->Merge(*batch, c->Dim(cloud, 0), batch));
    sizes[i] = c->Dim(cloud, 1);
  }
  return absl::OkStatus();
}

// The attribute `name`, in [1, N] if N is known.
inline Status count_shape(InferenceContext* c, const char* op, const char* name, DimensionHandle n, DimensionHandle* out) {
  int64_t value;
  TF_RETURN_IF_ERROR(c->GetAttr(name, &value));
  const int64_t most = c->ValueKnown(n) ? c->Value(n) : std::numeric_limits<int32_t>::max();
  TF_RETURN_IF_ERROR(check_count(op, name, value, most));
  *out = c->MakeDim(value);
  return absl::OkStatus();
}

// A gradient looks like the cloud it is for; the first cloud is input `first`.
template <int first>
Status backward_shapes(InferenceContext* c) {
  DimensionHandle batch, sizes[2];
  TF_RETURN_IF_ERROR(cloud_shapes(c, first, 2, &batch, sizes));
  for (int i = 0; i < 2; ++i) c->set_output(i, c->MakeShape({batch, sizes[i], c->MakeDim(3)}));
  return absl::OkStatus();
}

}  // namespace samplenet

// Registers CLASS<gpu, T> as the kernel of an op for each type T, on every device with kernels.
#define SAMPLENET_KERNEL(NAME, DEVICE, GPU, CLASS, T) \
  REGISTER_KERNEL_BUILDER(Name(NAME).Device(tensorflow::DEVICE).TypeConstraint<T>("T"), CLASS<GPU, T>)
#define SAMPLENET_CPU_KERNELS(NAME, CLASS)                                           \
  SAMPLENET_KERNEL(NAME, DEVICE_CPU, false, CLASS, float);                           \
  SAMPLENET_KERNEL(NAME, DEVICE_CPU, false, CLASS, double)
#ifdef SAMPLENET_CUDA
#define SAMPLENET_GPU_KERNEL(NAME, CLASS, T) SAMPLENET_KERNEL(NAME, DEVICE_GPU, true, CLASS, T)
#else
#define SAMPLENET_GPU_KERNEL(NAME, CLASS, T) static_assert(true)
#endif
#define SAMPLENET_FLOAT_KERNELS(NAME, CLASS) \
  SAMPLENET_KERNEL(NAME, DEVICE_CPU, false, CLASS, float); SAMPLENET_GPU_KERNEL(NAME, CLASS, float)
#define SAMPLENET_KERNELS(NAME, CLASS)                                               \
  SAMPLENET_FLOAT_KERNELS(NAME, CLASS);                                              \
  SAMPLENET_KERNEL(NAME, DEVICE_CPU, false, CLASS, double);                          \
  SAMPLENET_GPU_KERNEL(NAME, CLASS, double)
