"""Load a build of the native operators; register their shapes (for tracing) and gradients."""

import warnings
from functools import cache

import torch
from torch import Tensor

from samplenet.ops import native
from samplenet.ops.torch import _projection_operators, _voxel_operators


def serves_natively(cloud: Tensor) -> bool:
    """Return whether native ops are used for this tensor's device."""
    return native.enabled() and _serves(cloud.device.type)


def _serves(device: str) -> bool:
    return _find(device)


# A constant for torch.compile, which cannot trace the loading of a library. This mark is what
# torch.compiler.assume_constant_result sets, but that imports the whole compiler: a second.
_serves._dynamo_marked_constant = True


@cache
def _find(device: str) -> bool:
    """Load the build at the first use; warn if it has no kernels for the device."""
    if native.load("torch", torch.__version__, _register) is None:
        return False
    built_for = native.built("torch", torch.__version__)["device"]
    if device not in ("cpu", "meta", built_for):  # meta tensors have shapes only
        again = "; build them again with: python -m samplenet.ops.build --torch --cuda"
        message = (
            f"samplenet: framework operations are used for {device} tensors: "
            f"the native ops are built for {built_for}{again if device == 'cuda' else ''}"
        )
        warnings.warn(message, stacklevel=5)
        return False
    return True


def _register(path: str) -> bool:
    """Load the operators; register their shapes for tracing, and their gradients."""
    torch.ops.load_library(path)
    library = torch.library
    library.register_fake("samplenet::knn", _knn_shapes)
    library.register_fake("samplenet::knn_backward", lambda grad, q, p, idx: _like(q, p))
    library.register_fake("samplenet::chamfer", _chamfer_shapes)
    library.register_fake("samplenet::chamfer_backward", lambda ga, gb, a, b, ab, ba: _like(a, b))
    library.register_fake("samplenet::farthest_points", picks_shape)
    library.register_fake("samplenet::ball_query", _ball_shapes)
    library.register_fake("samplenet::pooled_linear", _pooled_shapes)
    library.register_fake(
        "samplenet::pooled_linear_backward",
        lambda grad, features, weight, idx: _like(features, weight),
    )
    library.register_fake("samplenet::batch_norm_relu", _norm_shapes)
    library.register_fake(
        "samplenet::batch_norm_relu_backward",
        lambda grad, features, scale, shift, *_: _like(features, scale, shift),
    )
    library.register_autograd("samplenet::knn", _knn_gradient, setup_context=_knn_save)
    library.register_autograd("samplenet::chamfer", _chamfer_gradient, setup_context=_chamfer_save)
    library.register_autograd(
        "samplenet::pooled_linear", _pooled_gradient, setup_context=_pooled_save
    )
    library.register_autograd(
        "samplenet::batch_norm_relu", _norm_gradient, setup_context=_norm_save
    )
    _voxel_operators.register()
    _projection_operators.register()
    rendering = ("render_voxels", "project_sums", "project_features")
    for op in ("knn", "chamfer", "pooled_linear", "batch_norm_relu", *rendering):
        library.register_autograd(f"samplenet::{op}_backward", _no_second_gradient)
    return True


def _like(*clouds):
    return tuple(torch.empty_like(c, memory_format=torch.contiguous_format) for c in clouds)


def picks_shape(points, chosen, m):
    """Return an empty tensor of the shape that farthest point sampling returns."""
    return chosen.new_empty((points.shape[0], m))


def _knn_shapes(queries, points, k):
    shape = (*queries.shape[:2], k)
    return queries.new_empty(shape), queries.new_empty(shape, dtype=torch.int64)


def _ball_shapes(queries, points, radius, k):
    count = queries.new_empty(queries.shape[:2], dtype=torch.int64)
    return count.new_empty((*queries.shape[:2], k)), count


def _knn_save(ctx, inputs, output):
    queries, points, _ = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(queries, points, output[1])


def _knn_gradient(ctx, grad_dist2, _):
    return *torch.ops.samplenet.knn_backward(grad_dist2, *ctx.saved_tensors), None


def _chamfer_shapes(a, b):
    pair = (a.new_empty(a.shape[:2]), b.new_empty(b.shape[:2]))
    return *pair, *(torch.empty_like(d, dtype=torch.int64) for d in pair)


def _chamfer_save(ctx, inputs, output):
    ctx.mark_non_differentiable(*output[2:])
    ctx.save_for_backward(*inputs, *output[2:])


def _chamfer_gradient(ctx, grad_a2b, grad_b2a, *_):
    return torch.ops.samplenet.chamfer_backward(grad_a2b, grad_b2a, *ctx.saved_tensors)


def _pooled_shapes(features, weight):
    values = features.new_empty((features.shape[0], weight.shape[1]))
    return values, torch.empty_like(values, dtype=torch.int64)


def _pooled_save(ctx, inputs, output):
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(*inputs, output[1])


def _pooled_gradient(ctx, grad_values, _):
    return torch.ops.samplenet.pooled_linear_backward(grad_values, *ctx.saved_tensors)


def _norm_shapes(features, scale, shift, epsilon):
    return _like(features, scale, scale)


def _norm_save(ctx, inputs, output):
    *tensors, ctx.epsilon = inputs
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(*tensors, *output[1:])


def _norm_gradient(ctx, grad, *_):
    backward = torch.ops.samplenet.batch_norm_relu_backward
    return *backward(grad, *ctx.saved_tensors, ctx.epsilon), None


def _no_second_gradient(ctx, *_):
    raise NotImplementedError(
        "samplenet: the native ops have no second derivatives; framework operations have: "
        "call samplenet.ops.use_native(False) before the forward pass"
    )
