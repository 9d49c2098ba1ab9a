// The k nearest points as TensorFlow ops; see tf_common.h.
#include "knn.h"
#include "tf_common.h"

namespace samplenet {
namespace {

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
    if constexpr (gpu) {
      run_on_gpu(ctx, "knn", knn_cuda_workspace<T, int32_t>(B, M, N, k), [&](void* workspace, void* stream) {
        return knn_cuda<T, int32_t>(queries, points, B, M, N, k, dist2, idx, workspace, stream);
      });
    } else {
      run_on_cpu(ctx, "knn", [&](const Parallel& parallel) {
        knn<T, int32_t>(queries, points, B, M, N, k, dist2, idx, parallel);
      });
    }
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
    if constexpr (gpu) {
      run_on_gpu(ctx, "knn", knn_backward_cuda_workspace<T, int32_t>(B, M, N, k), [&](void* workspace, void* stream) {
        return knn_backward_cuda<T, int32_t>(grad, queries, points, idx, B, M, N, k, grad_queries, grad_points,
                                             workspace, stream);
      });
    } else {
      run_on_cpu(ctx, "knn", [&](const Parallel& parallel) {
        knn_backward<T, int32_t>(grad, queries, points, idx, B, M, N, k, grad_queries, grad_points, parallel);
      });
    }
  }
};

Status knn_shapes(InferenceContext* c) {
  DimensionHandle batch, sizes[2], k;
  TF_RETURN_IF_ERROR(cloud_shapes(c, 0, 2, &batch, sizes));
  TF_RETURN_IF_ERROR(count_shape(c, "knn", "k", sizes[1], &k));
  for (int i = 0; i < 2; ++i) c->set_output(i, c->MakeShape({batch, sizes[0], k}));
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

SAMPLENET_KERNELS("SamplenetKnn", Knn);
SAMPLENET_KERNELS("SamplenetKnnBackward", KnnBackward);

}  // namespace
}  // namespace samplenet
