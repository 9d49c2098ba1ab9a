// The pooled linear layer as TensorFlow ops; see tf_common.h. There is no CUDA kernel.
#include "pooled_linear.h"
#include "tf_common.h"

namespace samplenet {
namespace {

// features (B, N, C) and weight (C, F) of inputs `first` and `first` + 1; int32 can count the points.
Status check_layer(OpKernelContext* ctx, int first) {
  const TensorShape &features = ctx->input(first).shape(), &weight = ctx->input(first + 1).shape();
  if (features.dims() != 3) return invalid("pooled_linear: features must have shape (B, N, C), got ", written(features));
  if (weight.dims() != 2 || weight.dim_size(0) != features.dim_size(2))
    return invalid("pooled_linear: weight must have shape (C, F) with C = ", features.dim_size(2), ", got ",
                   written(weight));
  if (features.dim_size(1) > std::numeric_limits<int32_t>::max())
    return invalid("pooled_linear: features hold more points than int32 can count, ", features.dim_size(1));
  return check_not_empty("pooled_linear", "features", features.dim_size(1));
}

template <bool gpu, class T>
class PooledLinear : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, check_layer(ctx, 0));
    const TensorShape& shape = ctx->input(0).shape();
    const int64_t B = shape.dim_size(0), N = shape.dim_size(1), C = shape.dim_size(2), F = ctx->input(1).dim_size(1);
    const T *features = input<T>(ctx, 0), *weight = input<T>(ctx, 1);
    T* values = output<T>(ctx, 0, {B, F});
    int32_t* idx = output<int32_t>(ctx, 1, {B, F});
    if (!ctx->status().ok()) return;
    run_on_cpu(ctx, "pooled_linear", [&](const Parallel& parallel) {
      pooled_linear<T, int32_t>(features, weight, B, N, C, F, values, idx, parallel);
    });
  }
};

template <bool gpu, class T>
class PooledLinearBackward : public OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(OpKernelContext* ctx) override {
    const char* op = "pooled_linear";
    OP_REQUIRES_OK(ctx, check_layer(ctx, 1));
    const TensorShape& shape = ctx->input(1).shape();
    const int64_t B = shape.dim_size(0), N = shape.dim_size(1), C = shape.dim_size(2), F = ctx->input(2).dim_size(1);
    OP_REQUIRES_OK(ctx, check_shape(op, "grad", ctx->input(0), TensorShape({B, F})));
    OP_REQUIRES_OK(ctx, check_shape(op, "idx", ctx->input(3), TensorShape({B, F})));
    OP_REQUIRES_OK(ctx, check_range(op, "idx", ctx->input(3), N));
    const T *grad = input<T>(ctx, 0), *features = input<T>(ctx, 1), *weight = input<T>(ctx, 2);
    const int32_t* idx = input<int32_t>(ctx, 3);
    T *grad_features = output<T>(ctx, 0, {B, N, C}), *grad_weight = output<T>(ctx, 1, {C, F});
    if (!ctx->status().ok()) return;
    run_on_cpu(ctx, op, [&](const Parallel& parallel) {
      pooled_linear_backward<T, int32_t>(grad, features, weight, idx, B, N, C, F, grad_features, grad_weight, parallel);
    });
  }
};

Status pooled_linear_shapes(InferenceContext* c) {
  ShapeHandle features, weight;
  DimensionHandle channels;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 3, &features));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 2, &weight));
  TF_RETURN_IF_ERROR(c->Merge(c->Dim(features, 2), c->Dim(weight, 0), &channels));
  for (int i = 0; i < 2; ++i) c->set_output(i, c->MakeShape({c->Dim(features, 0), c->Dim(weight, 1)}));
  return absl::OkStatus();
}

// A gradient looks like what it is the gradient of.
Status pooled_linear_backward_shapes(InferenceContext* c) {
  for (int i = 0; i < 2; ++i) c->set_output(i, c->input(i + 1));
  return absl::OkStatus();
}

REGISTER_OP("SamplenetPooledLinear")
    .Input("features: T")
    .Input("weight: T")
    .Output("values: T")
    .Output("idx: int32")
    .Attr("T: {float, double}")
    .SetShapeFn(pooled_linear_shapes);

REGISTER_OP("SamplenetPooledLinearBackward")
    .Input("grad: T")
    .Input("features: T")
    .Input("weight: T")
    .Input("idx: int32")
    .Output("grad_features: T")
    .Output("grad_weight: T")
    .Attr("T: {float, double}")
    .SetShapeFn(pooled_linear_backward_shapes);

SAMPLENET_CPU_KERNELS("SamplenetPooledLinear", PooledLinear);
SAMPLENET_CPU_KERNELS("SamplenetPooledLinearBackward", PooledLinearBackward);

}  // namespace
}  // namespace samplenet
