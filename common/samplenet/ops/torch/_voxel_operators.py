"""Shapes (for tracing) and gradients of the native `render_voxels`."""

import torch


def register() -> None:
    """Register them once the build is loaded."""
    library = torch.library
    library.register_fake("samplenet::render_voxels", _shapes)
    library.register_fake("samplenet::render_voxels_backward", _gradient_shapes)
    library.register_autograd("samplenet::render_voxels", _gradient, setup_context=_save)


def _shapes(points, sigma, scale, colours, size, size_z, *options):
    max_projection, probabilities = options[3], options[-1]
    batch, rays = points.shape[0], 0 if max_projection else size
    return (
        points.new_empty((batch, size, size)),
        points.new_empty((batch, rays, rays)),
        points.new_empty((batch, rays, rays, colours.shape[2])),
        points.new_empty((batch, size_z + 1 if probabilities else 0, size, size)),
    )


def _gradient_shapes(silhouette, depth, colour, ends, points, sigma, scale, colours, *options):
    kept = sigma if options[-1] else sigma.new_empty(0)
    return tuple(a.new_empty(a.shape) for a in (points, kept, scale, colours))


def _save(ctx, inputs, output):
    *tensors, ctx.options = *inputs[:4], inputs[4:]
    ctx.save_for_backward(*tensors)


def _gradient(ctx, *grads):
    with_sigma = ctx.needs_input_grad[1]
    points, sigma, scale, colours = torch.ops.samplenet.render_voxels_backward(
        *grads, *ctx.saved_tensors, *ctx.options, with_sigma
    )
    return points, sigma if with_sigma else None, scale, colours, *len(ctx.options) * [None]
