// Batch norm with ReLU as TensorFlow ops; see tf_common.h. There is no CUDA kernel.
#include "batch_norm_relu.h"
#include "tf_common.h"

namespace samplenet {
namespace {

constexpr char kOp[] = "batch_norm_relu";

// features (R, C) of input `first`, R >= 1, and each of `vectors`, the inputs after it, (C).
Status check_norm(OpKernelContext* ctx, int first, std::initializer_list<const char*> vectors) {
  const TensorShape& features = ctx->input(first).shape();
  if (features.dims() != 2) return invalid(kOp, ": features must have shape (R, C), got ", written(features));
  TF_RETURN_IF_ERROR(check_not_empty(kOp, "features", features.dim_size(0)));
  for (const char* name : vectors) {
    TF_RETURN_IF_ERROR(check_shape(kOp, name, ctx->input(++first), TensorShape({features.dim_size(1)})));
  }
  return absl::OkStatus();
}

template <bool gpu, class T>
class BatchNormRelu : public OpKernel {
 public:
  explicit BatchNormRelu(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("epsilon", &epsilon_));
  }

  void Compute(OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, check_norm(ctx, 0, {"scale", "shift"}));
    const int64_t R = ctx->input(0).dim_size(0), C = ctx->input(0).dim_size(1);
    const T *features = input<T>(ctx, 0), *scale = input<T>(ctx, 1), *shift = input<T>(ctx, 2);
    T *out = output<T>(ctx, 0, {R, C}), *mean = output<T>(ctx, 1, {C}), *variance = output<T>(ctx, 2, {C});
    if (!ctx->status().ok()) return;
    run_on_cpu(ctx, kOp, [&](const Parallel& parallel) {
      batch_norm_relu<T>(features, scale, shift, epsilon_, R, C, out, mean, variance, parallel);
    });
  }

 private:
  float epsilon_;
};

template <bool gpu, class T>
class BatchNormReluBackward : public OpKernel {
 public:
  explicit BatchNormReluBackward(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("epsilon", &epsilon_));
  }

  void Compute(OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, check_norm(ctx, 1, {"scale", "shift", "mean", "variance"}));
    OP_REQUIRES_OK(ctx, check_shape(kOp, "grad", ctx->input(0), ctx->input(1).shape()));
    const int64_t R = ctx->input(1).dim_size(0), C = ctx->input(1).dim_size(1);
    const T *grad = input<T>(ctx, 0), *features = input<T>(ctx, 1), *scale = input<T>(ctx, 2);
    const T *shift = input<T>(ctx, 3), *mean = input<T>(ctx, 4), *variance = input<T>(ctx, 5);
    T* grad_features = output<T>(ctx, 0, {R, C});
    T *grad_scale = output<T>(ctx, 1, {C}), *grad_shift = output<T>(ctx, 2, {C});
    if (!ctx->status().ok()) return;
    run_on_cpu(ctx, kOp, [&](const Parallel& parallel) {
      batch_norm_relu_backward<T>(grad, features, scale, shift, mean, variance, epsilon_, R, C, grad_features,
                                  grad_scale, grad_shift, parallel);
    });
  }

 private:
  float epsilon_;
};

Status batch_norm_relu_shapes(InferenceContext* c) {
  ShapeHandle features, vector;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 2, &features));
  TF_RETURN_IF_ERROR(c->Merge(c->input(1), c->Vector(c->Dim(features, 1)), &vector));
  c->set_output(0, features);
  for (int i = 1; i < 3; ++i) c->set_output(i, vector);
  return absl::OkStatus();
}

// A gradient looks like what it is the gradient of.
Status batch_norm_relu_backward_shapes(InferenceContext* c) {
  for (int i = 0; i < 3; ++i) c->set_output(i, c->input(i + 1));
  return absl::OkStatus();
}

REGISTER_OP("SamplenetBatchNormRelu")
    .Input("features: T")
    .Input("scale: T")
    .Input("shift: T")
    .Output("out: T")
    .Output("mean: T")
    .Output("variance: T")
    .Attr("T: {float, double}")
    .Attr("epsilon: float")
    .SetShapeFn(batch_norm_relu_shapes);

REGISTER_OP("SamplenetBatchNormReluBackward")
    .Input("grad: T")
    .Input("features: T")
    .Input("scale: T")
    .Input("shift: T")
    .Input("mean: T")
    .Input("variance: T")
    .Output("grad_features: T")
    .Output("grad_scale: T")
    .Output("grad_shift: T")
    .Attr("T: {float, double}")
    .Attr("epsilon: float")
    .SetShapeFn(batch_norm_relu_backward_shapes);

SAMPLENET_CPU_KERNELS("SamplenetBatchNormRelu", BatchNormRelu);
SAMPLENET_CPU_KERNELS("SamplenetBatchNormReluBackward", BatchNormReluBackward);

}  // namespace
}  // namespace samplenet
