// TensorFlow ops around the kernels: checks, allocation and dispatch. The words of the checks are contract.py's.
//
// SAMPLENET_CUDA adds the GPU kernels. Without it, TensorFlow places the ops on the CPU and copies their tensors.
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
#include "chamfer.h"
#include "fps.h"
#include "knn.h"
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
namespace {

using absl::Status;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// Checks

template <class... Words>
Status invalid(const Words&... words) {
  return absl::InvalidArgumentError(absl::StrCat(words...));
}

std::string written(const TensorShape& shape) { return absl::StrCat("(", absl::StrJoin(shape.dim_sizes(), ", "), ")"); }

// Each input from `first` on, by name, is (B, *, 3) with one B, and int32 can count its points.
Status check_clouds(OpKernelContext* ctx, const char* op, int first, std::initializer_list<const char*> names) {
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

Status check_not_empty(const char* op, const char* name, int64_t n) {
  if (n > 0) return absl::OkStatus();
  return invalid(op, ": ", name, " is empty (N = 0), at least one point is needed");
}

Status check_count(const char* op, const char* name, int64_t value, int64_t n) {
  if (1 <= value && value <= n) return absl::OkStatus();
  return invalid(op, ": ", name, " must be in [1, N] = [1, ", n, "], got ", value);
}

Status check_shape(const char* op, const char* name, const Tensor& tensor, const TensorShape& want) {
  if (tensor.shape() == want) return absl::OkStatus();
  return invalid(op, ": ", name, " must have shape ", written(want), ", got ", written(tensor.shape()));
}

// Only where the host can read the indices: on a GPU the caller has made sure of them.
Status check_range(const char* op, const char* name, const Tensor& indices, int64_t n) {
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
Parallel workers(OpKernelContext* ctx) {
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

// Kernels

template <bool gpu, class T>
class Knn : public OpKernel {
 public:
  explicit Knn(OpKernelConstruction* ctx) : OpKernel(ctx) { OP_REQUIRES_OK(ctx, ctx->GetAttr("k", &k_)); }

  void Compute(OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, check_clouds(ctx, "knn", 0, {"queries", "points"}));
    const int64_t B = ctx->input(0).dim_size(0), M = ctx->input(0).dim_size(1), N = ctx->input(1).dim_size(1), k = k_;
    OP_REQUIRES_OK(ctx, check_not_empty("knn", "points", N));
    OP_REQUIRES_OK(ctx, check_count("knn", "k", k, N));
    const T *queries = input<T>(ctx, 0), *points = input<T>(ctx, 1);
    T* dist2 = output<T>(ctx, 0, {B, M, k});
    int32_t* idx = output<int32_t>(ctx, 1, {B, M, k});
    if (!ctx->status().ok() || B * M == 0) return;
    if constexpr (gpu)
      run_on_gpu(ctx, "knn", knn_cuda_workspace<T, int32_t>(B, M, N, k), [&](void* workspace, void* stream) {
        return knn_cuda<T, int32_t>(queries, points, B, M, N, k, dist2, idx, workspace, stream);
      });
    else
      run_on_cpu(ctx, "knn", [&](const Parallel& parallel) {
        knn<T, int32_t>(queries, points, B, M, N, k, dist2, idx, parallel);
      });
  }

 private:
  int64_t k_;
};

template <bool gpu, class T>
class KnnBackward : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, check_clouds(ctx, "knn", 1, {"queries", "points"}));
    const int64_t B = ctx->input(1).dim_size(0), M = ctx->input(1).dim_size(1), N = ctx->input(2).dim_size(1);
    const TensorShape& shape = ctx->input(0).shape();
    OP_REQUIRES(ctx, shape.dims() == 3 && shape.dim_size(0) == B && shape.dim_size(1) == M,
                invalid("knn: grad must have shape (B, M, k) with B = ", B, ", M = ", M, ", got ", written(shape)));
    const int64_t k = shape.dim_size(2);
    OP_REQUIRES_OK(ctx, check_count("knn", "k", k, N));
    OP_REQUIRES_OK(ctx, check_shape("knn", "idx", ctx->input(3), shape));
    if constexpr (!gpu) OP_REQUIRES_OK(ctx, check_range("knn", "idx", ctx->input(3), N));
    const T *grad = input<T>(ctx, 0), *queries = input<T>(ctx, 1), *points = input<T>(ctx, 2);
    const int32_t* idx = input<int32_t>(ctx, 3);
    T* grad_queries = output<T>(ctx, 0, {B, M, 3});
    T* grad_points = output<T>(ctx, 1, {B, N, 3});
    if (!ctx->status().ok() || B == 0) return;
    if constexpr (gpu)
      run_on_gpu(ctx, "knn", knn_backward_cuda_workspace<T, int32_t>(B, M, N, k), [&](void* workspace, void* stream) {
        return knn_backward_cuda<T, int32_t>(grad, queries, points, idx, B, M, N, k, grad_queries, grad_points,
                                             workspace, stream);
      });
    else
      run_on_cpu(ctx, "knn", [&](const Parallel& parallel) {
        knn_backward<T, int32_t>(grad, queries, points, idx, B, M, N, k, grad_queries, grad_points, parallel);
      });
  }
};

template <bool gpu, class T>
class ChamferDistance : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, check_clouds(ctx, "chamfer", 0, {"a", "b"}));
    const int64_t B = ctx->input(0).dim_size(0), M = ctx->input(0).dim_size(1), N = ctx->input(1).dim_size(1);
    OP_REQUIRES_OK(ctx, check_not_empty("chamfer", "a", M));
    OP_REQUIRES_OK(ctx, check_not_empty("chamfer", "b", N));
    const T *a = input<T>(ctx, 0), *b = input<T>(ctx, 1);
    T *a2b = output<T>(ctx, 0, {B, M}), *b2a = output<T>(ctx, 1, {B, N});
    int32_t *idx_ab = output<int32_t>(ctx, 2, {B, M}), *idx_ba = output<int32_t>(ctx, 3, {B, N});
    if (!ctx->status().ok() || B == 0) return;
    if constexpr (gpu)
      run_on_gpu(ctx, "chamfer", chamfer_cuda_workspace<T, int32_t>(B, M, N), [&](void* workspace, void* stream) {
        return chamfer_cuda<T, int32_t>(a, b, B, M, N, a2b, b2a, idx_ab, idx_ba, workspace, stream);
      });
    else
      run_on_cpu(ctx, "chamfer", [&](const Parallel& parallel) {
        chamfer<T, int32_t>(a, b, B, M, N, a2b, b2a, idx_ab, idx_ba, parallel);
      });
  }
};

template <bool gpu, class T>
class ChamferBackward : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, check_clouds(ctx, "chamfer", 2, {"a", "b"}));
    const int64_t B = ctx->input(2).dim_size(0), M = ctx->input(2).dim_size(1), N = ctx->input(3).dim_size(1);
    OP_REQUIRES_OK(ctx, check_not_empty("chamfer", "a", M));
    OP_REQUIRES_OK(ctx, check_not_empty("chamfer", "b", N));
    OP_REQUIRES_OK(ctx, check_shape("chamfer", "grad_a2b", ctx->input(0), TensorShape({B, M})));
    OP_REQUIRES_OK(ctx, check_shape("chamfer", "grad_b2a", ctx->input(1), TensorShape({B, N})));
    OP_REQUIRES_OK(ctx, check_shape("chamfer", "idx_ab", ctx->input(4), TensorShape({B, M})));
    OP_REQUIRES_OK(ctx, check_shape("chamfer", "idx_ba", ctx->input(5), TensorShape({B, N})));
    if constexpr (!gpu) {
      OP_REQUIRES_OK(ctx, check_range("chamfer", "idx_ab", ctx->input(4), N));
      OP_REQUIRES_OK(ctx, check_range("chamfer", "idx_ba", ctx->input(5), M));
    }
    const T *grad_a2b = input<T>(ctx, 0), *grad_b2a = input<T>(ctx, 1), *a = input<T>(ctx, 2), *b = input<T>(ctx, 3);
    const int32_t *idx_ab = input<int32_t>(ctx, 4), *idx_ba = input<int32_t>(ctx, 5);
    T *grad_a = output<T>(ctx, 0, {B, M, 3}), *grad_b = output<T>(ctx, 1, {B, N, 3});
    if (!ctx->status().ok() || B == 0) return;
    if constexpr (gpu)
      run_on_gpu(ctx, "chamfer", chamfer_backward_cuda_workspace<T, int32_t>(B, M, N), [&](void* space, void* stream) {
        return chamfer_backward_cuda<T, int32_t>(grad_a2b, grad_b2a, a, b, idx_ab, idx_ba, B, M, N, grad_a, grad_b,
                                                 space, stream);
      });
    else
      run_on_cpu(ctx, "chamfer", [&](const Parallel& parallel) {
        chamfer_backward<T, int32_t>(grad_a2b, grad_b2a, a, b, idx_ab, idx_ba, B, M, N, grad_a, grad_b, parallel);
      });
  }
};

template <bool gpu, class T>
class FarthestPoints : public OpKernel {
 public:
  explicit FarthestPoints(OpKernelConstruction* ctx) : OpKernel(ctx) { OP_REQUIRES_OK(ctx, ctx->GetAttr("m", &m_)); }

  void Compute(OpKernelContext* ctx) override {
    const char* op = "farthest_points";
    OP_REQUIRES_OK(ctx, check_clouds(ctx, op, 0, {"points"}));
    const int64_t B = ctx->input(0).dim_size(0), N = ctx->input(0).dim_size(1), m = m_;
    OP_REQUIRES_OK(ctx, check_not_empty(op, "points", N));
    OP_REQUIRES_OK(ctx, check_count(op, "m", m, N));
    const TensorShape& shape = ctx->input(1).shape();
    OP_REQUIRES(ctx, shape.dims() == 2 && shape.dim_size(0) == B,
                invalid(op, ": chosen must have shape (B, S) with B = ", B, ", got ", written(shape)));
    const int64_t S = shape.dim_size(1);
    OP_REQUIRES(ctx, S > 0, invalid(op, ": chosen must hold at least one index a cloud, got shape ", written(shape)));
    if constexpr (!gpu) OP_REQUIRES_OK(ctx, check_range(op, "chosen", ctx->input(1), N));
    const T* points = input<T>(ctx, 0);
    const int32_t* chosen = input<int32_t>(ctx, 1);
    int32_t* idx = output<int32_t>(ctx, 0, {B, m});
    if (!ctx->status().ok() || B == 0) return;
    if constexpr (gpu)
      run_on_gpu(ctx, op, farthest_points_cuda_workspace<T, int32_t>(B, N, S, m), [&](void* workspace, void* stream) {
        return farthest_points_cuda<T, int32_t>(points, chosen, B, N, S, m, idx, workspace, stream);
      });
    else
      run_on_cpu(ctx, op, [&](const Parallel& parallel) {
        farthest_points<T, int32_t>(points, chosen, B, N, S, m, idx, parallel);
      });
  }

 private:
  int64_t m_;
};

// Shapes while tracing: sizes may be unknown, and those known are checked

Status cloud_shapes(InferenceContext* c, int first, int count, DimensionHandle* batch, DimensionHandle* sizes) {
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
Status count_shape(InferenceContext* c, const char* op, const char* name, DimensionHandle n, DimensionHandle* out) {
  int64_t value;
  TF_RETURN_IF_ERROR(c->GetAttr(name, &value));
  const int64_t most = c->ValueKnown(n) ? c->Value(n) : std::numeric_limits<int32_t>::max();
  TF_RETURN_IF_ERROR(check_count(op, name, value, most));
  *out = c->MakeDim(value);
  return absl::OkStatus();
}

Status knn_shapes(InferenceContext* c) {
  DimensionHandle batch, sizes[2], k;
  TF_RETURN_IF_ERROR(cloud_shapes(c, 0, 2, &batch, sizes));
  TF_RETURN_IF_ERROR(count_shape(c, "knn", "k", sizes[1], &k));
  for (int i = 0; i < 2; ++i) c->set_output(i, c->MakeShape({batch, sizes[0], k}));
  return absl::OkStatus();
}

Status chamfer_shapes(InferenceContext* c) {
  DimensionHandle batch, sizes[2];
  TF_RETURN_IF_ERROR(cloud_shapes(c, 0, 2, &batch, sizes));
  for (int i = 0; i < 4; ++i) c->set_output(i, c->MakeShape({batch, sizes[i % 2]}));
  return absl::OkStatus();
}

Status farthest_points_shapes(InferenceContext* c) {
  DimensionHandle batch, size, m;
  ShapeHandle chosen;
  TF_RETURN_IF_ERROR(cloud_shapes(c, 0, 1, &batch, &size));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 2, &chosen));
  TF_RETURN_IF_ERROR(c->Merge(batch, c->Dim(chosen, 0), &batch));
  TF_RETURN_IF_ERROR(count_shape(c, "farthest_points", "m", size, &m));
  c->set_output(0, c->MakeShape({batch, m}));
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

REGISTER_OP("SamplenetKnn")
    .Input("queries: T")
    .Input("points: T")
    .Output("dist2: T")
    .Output("idx: int32")
    .Attr("T: {float, double}")
    .Attr("k: int")
    .SetShapeFn(knn_shapes);

REGISTER_OP("SamplenetKnnBackward")
    .Input("grad: T")
    .Input("queries: T")
    .Input("points: T")
    .Input("idx: int32")
    .Output("grad_queries: T")
    .Output("grad_points: T")
    .Attr("T: {float, double}")
    .SetShapeFn(backward_shapes<1>);

REGISTER_OP("SamplenetChamfer")
    .Input("a: T")
    .Input("b: T")
    .Output("a2b: T")
    .Output("b2a: T")
    .Output("idx_ab: int32")
    .Output("idx_ba: int32")
    .Attr("T: {float, double}")
    .SetShapeFn(chamfer_shapes);

REGISTER_OP("SamplenetChamferBackward")
    .Input("grad_a2b: T")
    .Input("grad_b2a: T")
    .Input("a: T")
    .Input("b: T")
    .Input("idx_ab: int32")
    .Input("idx_ba: int32")
    .Output("grad_a: T")
    .Output("grad_b: T")
    .Attr("T: {float, double}")
    .SetShapeFn(backward_shapes<2>);

REGISTER_OP("SamplenetFarthestPoints")
    .Input("points: T")
    .Input("chosen: int32")
    .Output("idx: int32")
    .Attr("T: {float, double}")
    .Attr("m: int")
    .SetShapeFn(farthest_points_shapes);

#define SAMPLENET_KERNEL(name, device, type, ...) \
  REGISTER_KERNEL_BUILDER(Name(name).Device(device).TypeConstraint<type>("T"), __VA_ARGS__)
#define SAMPLENET_KERNELS(device, gpu, type)                                                          \
  SAMPLENET_KERNEL("SamplenetKnn", device, type, Knn<gpu, type>);                                   \
  SAMPLENET_KERNEL("SamplenetKnnBackward", device, type, KnnBackward<gpu, type>);                   \
  SAMPLENET_KERNEL("SamplenetChamfer", device, type, ChamferDistance<gpu, type>);                   \
  SAMPLENET_KERNEL("SamplenetChamferBackward", device, type, ChamferBackward<gpu, type>);           \
  SAMPLENET_KERNEL("SamplenetFarthestPoints", device, type, FarthestPoints<gpu, type>)

SAMPLENET_KERNELS(tensorflow::DEVICE_CPU, false, float);
SAMPLENET_KERNELS(tensorflow::DEVICE_CPU, false, double);
#ifdef SAMPLENET_CUDA
SAMPLENET_KERNELS(tensorflow::DEVICE_GPU, true, float);
SAMPLENET_KERNELS(tensorflow::DEVICE_GPU, true, double);
#endif

}  // namespace
}  // namespace samplenet
