// The Chamfer distance as TensorFlow ops; see tf_common.h.
#include "chamfer.h"
#include "tf_common.h"

namespace samplenet {
namespace {

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
    if constexpr (gpu) {
      run_on_gpu(ctx, "chamfer", chamfer_cuda_workspace<T, int32_t>(B, M, N), [&](void* workspace, void* stream) {
        return chamfer_cuda<T, int32_t>(a, b, B, M, N, a2b, b2a, idx_ab, idx_ba, workspace, stream);
      });
    } else {
      run_on_cpu(ctx, "chamfer", [&](const Parallel& parallel) {
        chamfer<T, int32_t>(a, b, B, M, N, a2b, b2a, idx_ab, idx_ba, parallel);
      });
    }
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
    if constexpr (gpu) {
      run_on_gpu(ctx, "chamfer", chamfer_backward_cuda_workspace<T, int32_t>(B, M, N), [&](void* space, void* stream) {
        return chamfer_backward_cuda<T, int32_t>(grad_a2b, grad_b2a, a, b, idx_ab, idx_ba, B, M, N, grad_a, grad_b,
                                                 space, stream);
      });
    } else {
      run_on_cpu(ctx, "chamfer", [&](const Parallel& parallel) {
        chamfer_backward<T, int32_t>(grad_a2b, grad_b2a, a, b, idx_ab, idx_ba, B, M, N, grad_a, grad_b, parallel);
      });
    }
  }
};

Status chamfer_shapes(InferenceContext* c) {
  DimensionHandle batch, sizes[2];
  TF_RETURN_IF_ERROR(cloud_shapes(c, 0, 2, &batch, sizes));
  for (int i = 0; i < 4; ++i) c->set_output(i, c->MakeShape({batch, sizes[i % 2]}));
  return absl::OkStatus();
}

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

SAMPLENET_KERNELS("SamplenetChamfer", ChamferDistance);
SAMPLENET_KERNELS("SamplenetChamferBackward", ChamferBackward);

}  // namespace
}  // namespace samplenet
