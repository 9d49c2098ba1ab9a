// Farthest point sampling as a TensorFlow op; see tf_common.h.
#include "farthest_points.h"
#include "tf_common.h"

namespace samplenet {
namespace {

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
    if constexpr (gpu) {
      run_on_gpu(ctx, op, farthest_points_cuda_workspace<T, int32_t>(B, N, S, m), [&](void* workspace, void* stream) {
        return farthest_points_cuda<T, int32_t>(points, chosen, B, N, S, m, idx, workspace, stream);
      });
    } else {
      run_on_cpu(ctx, op, [&](const Parallel& parallel) {
        farthest_points<T, int32_t>(points, chosen, B, N, S, m, idx, parallel);
      });
    }
  }

 private:
  int64_t m_;
};

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

REGISTER_OP("SamplenetFarthestPoints")
    .Input("points: T")
    .Input("chosen: int32")
    .Output("idx: int32")
    .Attr("T: {float, double}")
    .Attr("m: int")
    .SetShapeFn(farthest_points_shapes);

SAMPLENET_KERNELS("SamplenetFarthestPoints", FarthestPoints);

}  // namespace
}  // namespace samplenet
