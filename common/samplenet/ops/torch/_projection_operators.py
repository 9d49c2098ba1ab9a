"""Shapes (for tracing) and gradients of the native projections of points."""

import torch


def register() -> None:
    """Register them once the build is loaded."""
    library = torch.library
    library.register_fake("samplenet::project_sums", _sums_shape)
    library.register_fake(
        "samplenet::project_sums_backward", lambda grad, points, *_: points.new_empty(points.shape)
    )
    library.register_fake("samplenet::project_features", _features_shapes)
    library.register_fake(
        "samplenet::project_features_backward",
        lambda grad, points, features, *_: tuple(a.new_empty(a.shape) for a in (points, features)),
    )
    library.register_autograd("samplenet::project_sums", _sums_gradient, setup_context=_sums_save)
    library.register_autograd(
        "samplenet::project_features", _features_gradient, setup_context=_features_save
    )


def _sums_shape(points, height, width, *_):
    return points.new_empty((points.shape[0], height, width))


def _sums_save(ctx, inputs, output):
    points, _, _, *ctx.options = inputs
    ctx.save_for_backward(points)


def _sums_gradient(ctx, grad):
    backward = torch.ops.samplenet.project_sums_backward
    return backward(grad, *ctx.saved_tensors, *ctx.options), *4 * [None]


def _features_shapes(points, features, height, width, *_):
    image = (points.shape[0], height, width)
    return points.new_empty((*image, features.shape[2])), points.new_empty(image)


def _features_save(ctx, inputs, output):
    points, features, _, _, *ctx.options = inputs
    images, coverage = output
    ctx.mark_non_differentiable(coverage)
    ctx.save_for_backward(points, features, images)


def _features_gradient(ctx, grad, _):
    backward = torch.ops.samplenet.project_features_backward
    return *backward(grad, *ctx.saved_tensors, *ctx.options), *5 * [None]
