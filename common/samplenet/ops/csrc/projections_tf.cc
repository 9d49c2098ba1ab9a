// Points drawn on images as TensorFlow ops; see tf_common.h. There is no kernel for float64.
#include "projections.h"
#include "tf_common.h"

namespace samplenet {
namespace {

// The attributes of the ops, and the checks of points.
class Projection : public OpKernel {
 public:
  Projection(OpKernelConstruction* ctx, const char* op, std::initializer_list<const char*> sizes) : OpKernel(ctx), op(op) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("as_released", &canvas.as_released));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("height", &canvas.height));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("width", &canvas.width));
    float* value = numbers;
    for (const char* name : sizes) {
      OP_REQUIRES_OK(ctx, ctx->GetAttr(name, value));
      OP_REQUIRES(ctx, *value > 0, invalid(op, ": ", name, " must be above 0, got ", *value));
      ++value;
    }
  }

 protected:
  const char* op;
  Canvas canvas;
  float numbers[2];

  // Input `first`, points (B, N, 3), and with `features` the input after it, (B, N, C).
  Status check(OpKernelContext* ctx, int first, bool features = false) const {
    TF_RETURN_IF_ERROR(check_clouds(ctx, op, first, {"points"}));
    if (!features) return absl::OkStatus();
    const TensorShape &one = ctx->input(first).shape(), &other = ctx->input(first + 1).shape();
    if (other.dims() != 3 || other.dim_size(0) != one.dim_size(0) || other.dim_size(1) != one.dim_size(1))
      return invalid(op, ": features must have shape (B, N, C) of the points, got ", written(other));
    return absl::OkStatus();
  }

  template <class T>
  static Points<T> points(OpKernelContext* ctx, int i) {
    return {input<T>(ctx, i), ctx->input(i).dim_size(0), ctx->input(i).dim_size(1)};
  }
};

template <bool gpu, class T>
struct ProjectSums : Projection {
  explicit ProjectSums(OpKernelConstruction* ctx) : Projection(ctx, "project_mask", {"variance"}) {}

  void Compute(OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, check(ctx, 0));
    const Points<T> given = points<T>(ctx, 0);
    T* sums = output<T>(ctx, 0, {given.B, canvas.height, canvas.width});
    if (!ctx->status().ok()) return;
    if constexpr (gpu) {
      run_on_gpu(ctx, op, 0, [&](void*, void* stream) { return project_sums_cuda(given, canvas, numbers[0], sums, stream); });
    } else {
      run_on_cpu(ctx, op, [&](const Parallel& parallel) { project_sums(given, canvas, numbers[0], sums, parallel); });
    }
  }
};

template <bool gpu, class T>
struct ProjectSumsBackward : Projection {
  explicit ProjectSumsBackward(OpKernelConstruction* ctx) : Projection(ctx, "project_mask", {"variance"}) {}

  void Compute(OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, check(ctx, 1));
    const Points<T> given = points<T>(ctx, 1);
    OP_REQUIRES_OK(ctx, check_shape(op, "grad", ctx->input(0), TensorShape({given.B, canvas.height, canvas.width})));
    T* out = output<T>(ctx, 0, {given.B, given.N, 3});
    if (!ctx->status().ok()) return;
    const T* grad = input<T>(ctx, 0);
    if constexpr (gpu) {
      run_on_gpu(ctx, op, 0, [&](void*, void* stream) {
        return project_sums_backward_cuda(grad, given, canvas, numbers[0], out, stream);
      });
    } else {
      run_on_cpu(ctx, op, [&](const Parallel& parallel) {
        project_sums_backward(grad, given, canvas, numbers[0], out, parallel);
      });
    }
  }
};

template <bool gpu, class T>
struct ProjectFeatures : Projection {
  explicit ProjectFeatures(OpKernelConstruction* ctx) : Projection(ctx, "project_features", {"radius", "beta"}) {}

  void Compute(OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, check(ctx, 0, true));
    const Points<T> given = points<T>(ctx, 0);
    const Features<T> features{input<T>(ctx, 1), ctx->input(1).dim_size(2)};
    T* images = output<T>(ctx, 0, {given.B, canvas.height, canvas.width, features.C});
    T* coverage = output<T>(ctx, 1, {given.B, canvas.height, canvas.width});
    if (!ctx->status().ok()) return;
    const Well well{numbers[0], numbers[1]};
    if constexpr (gpu) {
      run_on_gpu(ctx, op, 0, [&](void*, void* stream) {
        return project_features_cuda(given, features, canvas, well, images, coverage, stream);
      });
    } else {
      run_on_cpu(ctx, op, [&](const Parallel& parallel) {
        project_features(given, features, canvas, well, images, coverage, parallel);
      });
    }
  }
};

template <bool gpu, class T>
struct ProjectFeaturesBackward : Projection {
  explicit ProjectFeaturesBackward(OpKernelConstruction* ctx) : Projection(ctx, "project_features", {"radius", "beta"}) {}

  void Compute(OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, check(ctx, 1, true));
    const Points<T> given = points<T>(ctx, 1);
    const Features<T> features{input<T>(ctx, 2), ctx->input(2).dim_size(2)};
    const TensorShape image({given.B, canvas.height, canvas.width, features.C});
    OP_REQUIRES_OK(ctx, check_shape(op, "grad", ctx->input(0), image));
    OP_REQUIRES_OK(ctx, check_shape(op, "images", ctx->input(3), image));
    T *out = output<T>(ctx, 0, {given.B, given.N, 3}), *of_features = output<T>(ctx, 1, {given.B, given.N, features.C});
    if (!ctx->status().ok()) return;
    const T *grad = input<T>(ctx, 0), *images = input<T>(ctx, 3);
    const Well well{numbers[0], numbers[1]};
    if constexpr (gpu) {
      const size_t bytes = project_features_backward_cuda_workspace(given, canvas);
      run_on_gpu(ctx, op, bytes, [&](void* work, void* stream) {
        return project_features_backward_cuda(grad, given, features, images, canvas, well, out, of_features, work, stream);
      });
    } else {
      run_on_cpu(ctx, op, [&](const Parallel& parallel) {
        project_features_backward(grad, given, features, images, canvas, well, out, of_features, parallel);
      });
    }
  }
};

// (B, H, W) of the points, and with `channels` (B, H, W, C) before it.
template <bool channels>
Status image_shapes(InferenceContext* c) {
  int64_t height, width;
  TF_RETURN_IF_ERROR(c->GetAttr("height", &height));
  TF_RETURN_IF_ERROR(c->GetAttr("width", &width));
  DimensionHandle batch, count;
  TF_RETURN_IF_ERROR(cloud_shapes(c, 0, 1, &batch, &count));
  if (channels) {
    ShapeHandle features;
    TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 3, &features));
    c->set_output(0, c->MakeShape({batch, c->MakeDim(height), c->MakeDim(width), c->Dim(features, 2)}));
  }
  c->set_output(channels, c->MakeShape({batch, c->MakeDim(height), c->MakeDim(width)}));
  return absl::OkStatus();
}

// A gradient looks like what it is the gradient of.
template <int count>
Status gradient_shapes(InferenceContext* c) {
  for (int i = 0; i < count; ++i) c->set_output(i, c->input(i + 1));
  return absl::OkStatus();
}

#define SAMPLENET_CANVAS Attr("T: {float}").Attr("height: int >= 1").Attr("width: int >= 1").Attr("as_released: bool")

REGISTER_OP("SamplenetProjectSums")
    .Input("points: T").Output("sums: T").SAMPLENET_CANVAS.Attr("variance: float").SetShapeFn(image_shapes<false>);
REGISTER_OP("SamplenetProjectSumsBackward")
    .Input("grad: T").Input("points: T").Output("grad_points: T")
    .SAMPLENET_CANVAS.Attr("variance: float").SetShapeFn(gradient_shapes<1>);
REGISTER_OP("SamplenetProjectFeatures")
    .Input("points: T").Input("features: T").Output("images: T").Output("coverage: T")
    .SAMPLENET_CANVAS.Attr("radius: float").Attr("beta: float").SetShapeFn(image_shapes<true>);
REGISTER_OP("SamplenetProjectFeaturesBackward")
    .Input("grad: T").Input("points: T").Input("features: T").Input("images: T")
    .Output("grad_points: T").Output("grad_features: T")
    .SAMPLENET_CANVAS.Attr("radius: float").Attr("beta: float").SetShapeFn(gradient_shapes<2>);

SAMPLENET_FLOAT_KERNELS("SamplenetProjectSums", ProjectSums);
SAMPLENET_FLOAT_KERNELS("SamplenetProjectSumsBackward", ProjectSumsBackward);
SAMPLENET_FLOAT_KERNELS("SamplenetProjectFeatures", ProjectFeatures);
SAMPLENET_FLOAT_KERNELS("SamplenetProjectFeaturesBackward", ProjectFeaturesBackward);

}  // namespace
}  // namespace samplenet
