// The ball query as a TensorFlow op; see tf_common.h.
#include "ball_query.h"
#include "tf_common.h"

namespace samplenet {
namespace {

constexpr char kOp[] = "ball_query";

template <bool gpu, class T>
class BallQuery : public OpKernel {
 public:
  explicit BallQuery(OpKernelConstruction* ctx) : OpKernel(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("radius", &radius_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("k", &k_));
    OP_REQUIRES(ctx, radius_ > 0, invalid(kOp, ": radius must be a positive number, got ", radius_));
  }

  void Compute(OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, check_clouds(ctx, kOp, 0, {"queries", "points"}));
    const int64_t B = ctx->input(0).dim_size(0), M = ctx->input(0).dim_size(1), N = ctx->input(1).dim_size(1), k = k_;
    OP_REQUIRES_OK(ctx, check_not_empty(kOp, "points", N));
    const T *queries = input<T>(ctx, 0), *points = input<T>(ctx, 1);
    int32_t *idx = output<int32_t>(ctx, 0, {B, M, k}), *count = output<int32_t>(ctx, 1, {B, M});
    if (!ctx->status().ok() || B * M == 0) return;
    if constexpr (gpu) {
      run_on_gpu(ctx, kOp, 0, [&](void*, void* stream) {
        return ball_query_cuda<T, int32_t>(queries, points, B, M, N, radius_, k, idx, count, stream);
      });
    } else {
      run_on_cpu(ctx, kOp, [&](const Parallel& parallel) {
        ball_query<T, int32_t>(queries, points, B, M, N, radius_, k, idx, count, parallel);
      });
    }
  }

 private:
  float radius_;
  int64_t k_;
};

Status ball_query_shapes(InferenceContext* c) {
  DimensionHandle batch, sizes[2];
  int64_t k;
  TF_RETURN_IF_ERROR(cloud_shapes(c, 0, 2, &batch, sizes));
  TF_RETURN_IF_ERROR(c->GetAttr("k", &k));
  if (c->ValueKnown(sizes[1])) TF_RETURN_IF_ERROR(check_not_empty(kOp, "points", c->Value(sizes[1])));
  c->set_output(0, c->MakeShape({batch, sizes[0], c->MakeDim(k)}));
  c->set_output(1, c->Matrix(batch, sizes[0]));
  return absl::OkStatus();
}

// An attribute has float32's digits, so the op serves float32 alone.
REGISTER_OP("SamplenetBallQuery")
    .Input("queries: T")
    .Input("points: T")
    .Output("idx: int32")
    .Output("count: int32")
    .Attr("T: {float}")
    .Attr("radius: float")
    .Attr("k: int >= 1")
    .SetShapeFn(ball_query_shapes);

SAMPLENET_FLOAT_KERNELS("SamplenetBallQuery", BallQuery);

}  // namespace
}  // namespace samplenet
