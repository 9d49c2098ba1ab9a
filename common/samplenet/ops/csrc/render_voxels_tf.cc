// The renderer of clouds as TensorFlow ops; see tf_common.h. There is no kernel for float64.
#include "render_voxels.h"
#include "tf_common.h"

namespace samplenet {
namespace {

constexpr char kOp[] = "render_voxels";

// The attributes of both ops.
class Voxels : public OpKernel {
 public:
  explicit Voxels(OpKernelConstruction* ctx) : OpKernel(ctx) {
    float camera_distance, max_depth;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("size", &options.size));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("size_z", &options.size_z));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("kernel_size", &options.kernel_size));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("camera_distance", &camera_distance));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("max_depth", &max_depth));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("max_projection", &options.max_projection));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("clip_after", &options.clip_after));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("divide_colours", &options.divide_colours));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("colours_move_points", &options.colours_move_points));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("as_released", &options.as_released));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("probabilities", &probabilities));
    const int64_t largest = std::max({options.size, options.size_z, options.kernel_size});
    OP_REQUIRES(ctx, largest <= VoxelOptions::LARGEST,
                invalid(kOp, ": sizes must be at most ", VoxelOptions::LARGEST, ", got ", largest));
    options.camera_distance = camera_distance;
    options.max_depth = max_depth;
    rays = options.max_projection ? 0 : options.size;
    ends = probabilities ? options.size_z + 1 : 0;
  }

 protected:
  VoxelOptions options;
  bool probabilities;
  int64_t rays, ends;  // sizes of the images, 0 of those that are not asked for

  // Inputs from `first` on: points (B, N, 3), sigma (B), scale (B), colours (B, N, C).
  Status check(OpKernelContext* ctx, int first) const {
    TF_RETURN_IF_ERROR(check_clouds(ctx, kOp, first, {"points"}));
    const TensorShape &points = ctx->input(first).shape(), &colours = ctx->input(first + 3).shape();
    const TensorShape batch({points.dim_size(0)});
    TF_RETURN_IF_ERROR(check_shape(kOp, "sigma", ctx->input(first + 1), batch));
    TF_RETURN_IF_ERROR(check_shape(kOp, "scale", ctx->input(first + 2), batch));
    if (colours.dims() != 3 || colours.dim_size(0) != points.dim_size(0) || colours.dim_size(1) != points.dim_size(1))
      return invalid(kOp, ": colours must have shape (B, N, C) of the points, got ", written(colours));
    return absl::OkStatus();
  }

  template <class T>
  static Clouds<T> clouds(OpKernelContext* ctx, int first) {
    const TensorShape& colours = ctx->input(first + 3).shape();
    return {input<T>(ctx, first),     input<T>(ctx, first + 1), input<T>(ctx, first + 2), input<T>(ctx, first + 3),
            colours.dim_size(0), colours.dim_size(1),      colours.dim_size(2)};
  }
};

// The data of an image, null without any.
template <class T>
T* some(T* data, int64_t count) {
  return count ? data : nullptr;
}

template <bool gpu, class T>
class RenderVoxels : public Voxels {
 public:
  using Voxels::Voxels;

  void Compute(OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, check(ctx, 0));
    const Clouds<T> given = clouds<T>(ctx, 0);
    const int64_t B = given.B, C = given.C, D = options.size;
    T *silhouette = output<T>(ctx, 0, {B, D, D}), *depth = output<T>(ctx, 1, {B, rays, rays});
    T *colour = output<T>(ctx, 2, {B, rays, rays, C}), *probable = output<T>(ctx, 3, {B, ends, D, D});
    if (!ctx->status().ok()) return;
    const Images<T> images{silhouette, some(depth, rays), some(colour, rays * C), some(probable, ends)};
    if constexpr (gpu) {
      run_on_gpu(ctx, kOp, render_voxels_cuda_workspace(given, options), [&](void* work, void* stream) {
        return render_voxels_cuda(given, options, images, work, stream);
      });
    } else {
      run_on_cpu(ctx, kOp, [&](const Parallel& parallel) { render_voxels(given, options, images, parallel); });
    }
  }
};

template <bool gpu, class T>
class RenderVoxelsBackward : public Voxels {
  bool with_sigma_;

 public:
  explicit RenderVoxelsBackward(OpKernelConstruction* ctx) : Voxels(ctx) {
    OP_REQUIRES_OK(ctx, ctx->GetAttr("with_sigma", &with_sigma_));
  }

  void Compute(OpKernelContext* ctx) override {
    OP_REQUIRES_OK(ctx, check(ctx, 4));
    const Clouds<T> given = clouds<T>(ctx, 4);
    const int64_t B = given.B, N = given.N, C = given.C, D = options.size;
    OP_REQUIRES_OK(ctx, check_shape(kOp, "grad_silhouette", ctx->input(0), TensorShape({B, D, D})));
    OP_REQUIRES_OK(ctx, check_shape(kOp, "grad_depth", ctx->input(1), TensorShape({B, rays, rays})));
    OP_REQUIRES_OK(ctx, check_shape(kOp, "grad_colour", ctx->input(2), TensorShape({B, rays, rays, C})));
    OP_REQUIRES_OK(ctx, check_shape(kOp, "grad_probabilities", ctx->input(3), TensorShape({B, ends, D, D})));
    const Images<const T> grad{input<T>(ctx, 0), some(input<T>(ctx, 1), rays), some(input<T>(ctx, 2), rays * C),
                               some(input<T>(ctx, 3), ends)};
    T *points = output<T>(ctx, 0, {B, N, 3}), *sigma = output<T>(ctx, 1, {B});
    T *scale = output<T>(ctx, 2, {B}), *colours = output<T>(ctx, 3, {B, N, C});
    if (!ctx->status().ok()) return;
    const CloudGradients<T> gradients{points, gpu || with_sigma_ ? sigma : nullptr, scale, colours};
    if constexpr (gpu) {
      const size_t bytes = render_voxels_backward_cuda_workspace(given, options, with_sigma_);
      run_on_gpu(ctx, kOp, bytes, [&](void* work, void* stream) {
        return render_voxels_backward_cuda(grad, given, options, with_sigma_, gradients, work, stream);
      });
    } else {
      if (!with_sigma_) std::fill_n(sigma, B, T(0));
      run_on_cpu(ctx, kOp, [&](const Parallel& parallel) {
        render_voxels_backward(grad, given, options, gradients, parallel);
      });
    }
  }
};

Status render_voxels_shapes(InferenceContext* c) {
  int64_t size, size_z;
  bool max_projection, probabilities;
  TF_RETURN_IF_ERROR(c->GetAttr("size", &size));
  TF_RETURN_IF_ERROR(c->GetAttr("size_z", &size_z));
  TF_RETURN_IF_ERROR(c->GetAttr("max_projection", &max_projection));
  TF_RETURN_IF_ERROR(c->GetAttr("probabilities", &probabilities));
  DimensionHandle batch, count;
  TF_RETURN_IF_ERROR(cloud_shapes(c, 0, 1, &batch, &count));
  ShapeHandle colours;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(3), 3, &colours));
  const DimensionHandle pixels = c->MakeDim(size), rays = c->MakeDim(max_projection ? 0 : size);
  c->set_output(0, c->MakeShape({batch, pixels, pixels}));
  c->set_output(1, c->MakeShape({batch, rays, rays}));
  c->set_output(2, c->MakeShape({batch, rays, rays, c->Dim(colours, 2)}));
  c->set_output(3, c->MakeShape({batch, c->MakeDim(probabilities ? size_z + 1 : 0), pixels, pixels}));
  return absl::OkStatus();
}

// A gradient looks like what it is the gradient of.
Status render_voxels_backward_shapes(InferenceContext* c) {
  for (int i = 0; i < 4; ++i) c->set_output(i, c->input(4 + i));
  return absl::OkStatus();
}

#define SAMPLENET_CLOUDS Input("points: T").Input("sigma: T").Input("scale: T").Input("colours: T")
#define SAMPLENET_OPTIONS                                                                                            \
  Attr("T: {float}").Attr("size: int >= 1").Attr("size_z: int >= 1").Attr("kernel_size: int >= 1")                   \
      .Attr("camera_distance: float").Attr("max_depth: float").Attr("max_projection: bool").Attr("clip_after: bool") \
      .Attr("divide_colours: bool").Attr("colours_move_points: bool").Attr("as_released: bool")                      \
      .Attr("probabilities: bool")

REGISTER_OP("SamplenetRenderVoxels")
    .SAMPLENET_CLOUDS
    .Output("silhouette: T").Output("depth: T").Output("colour: T").Output("ends: T")
    .SAMPLENET_OPTIONS
    .SetShapeFn(render_voxels_shapes);

REGISTER_OP("SamplenetRenderVoxelsBackward")
    .Input("grad_silhouette: T").Input("grad_depth: T").Input("grad_colour: T").Input("grad_ends: T")
    .SAMPLENET_CLOUDS
    .Output("grad_points: T").Output("grad_sigma: T").Output("grad_scale: T").Output("grad_colours: T")
    .SAMPLENET_OPTIONS
    .Attr("with_sigma: bool")
    .SetShapeFn(render_voxels_backward_shapes);

SAMPLENET_FLOAT_KERNELS("SamplenetRenderVoxels", RenderVoxels);
SAMPLENET_FLOAT_KERNELS("SamplenetRenderVoxelsBackward", RenderVoxelsBackward);

}  // namespace
}  // namespace samplenet
