"""PyTorch ops: native where a build serves the tensors' device, else made of framework operations.

Contract: `samplenet.ops`; specification: `reference.py`. Indices are int64. Work eagerly and under `torch.compile`
(without graph breaks). The framework operations hold distances for a chunk of the queries at a time, never as a
(B, M, N, 3) tensor.

Under `torch.autocast` half and float32 inputs may be mixed; all are taken to float32. The gradients of the native ops
are deterministic; they cannot be differentiated a second time. Values are checked, with an `InputError`, on the CPU
and outside `torch.compile`; elsewhere an index outside its cloud is an error when the device or the compiled code
finds it.
"""

import math
import warnings
from functools import cache

import torch
from torch import Tensor

from samplenet.errors import InputError
from samplenet.ops import contract, native
from samplenet.ops.contract import Chamfer

MAX_DISTANCES = 1 << 22  # distances held at once by a nearest-neighbour search: 16 MB in float32
HALVES = ("float16", "bfloat16")


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _require(condition: Tensor, message: str) -> None:
    """InputError unless the condition is true; in compiled code the assertion's error, at its run time."""
    if torch.compiler.is_compiling():
        torch._assert_async(condition, message)
    elif not condition:
        raise InputError(message)


def _clouds(op: str, **clouds) -> list[Tensor]:
    """Check the named clouds; return them in the dtype the op computes in."""
    # torch.as_tensor would move a tensor to the default device (`with torch.device("meta")`)
    clouds = {name: c if isinstance(c, Tensor) else torch.as_tensor(c) for name, c in clouds.items()}
    devices = {name: str(c.device) for name, c in clouds.items()}
    if len(set(devices.values())) > 1:
        raise InputError(f"{op}: inputs must be on one device, got {devices}")
    dtypes = {name: _dtype(c) for name, c in clouds.items()}
    device = next(iter(clouds.values())).device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        dtypes = {name: "float32" if d in HALVES else d for name, d in dtypes.items()}
    contract.check_clouds(op, dtypes, **{name: tuple(c.shape) for name, c in clouds.items()})
    if contract.checking():
        for name, c in clouds.items():
            if not c.is_meta:  # which has no values
                _require(torch.isfinite(c).all(), contract.non_finite(op, name))
    return [c if c.dtype == torch.float64 else c.to(torch.float32) for c in clouds.values()]


def _indices(op: str, name: str, idx, points: Tensor, rank: int | None = None) -> Tensor:
    """Check an index tensor against `points` (B, N, ...); return it as int64.

    Its values are checked where that makes nobody wait, else left to the operation that uses them.
    """
    idx = idx if isinstance(idx, Tensor) else torch.as_tensor(idx, device=points.device)
    contract.check_index(op, name, tuple(idx.shape), _dtype(idx), points.shape[0], rank)
    if idx.device != points.device:
        raise InputError(f"{op}: {name} must be on the device of points, {points.device}, got {idx.device}")
    idx = idx.to(torch.int64)
    if idx.device.type == "cpu" and not torch.compiler.is_compiling() and idx.numel() > 0:
        low, high = (int(value) for value in torch.aminmax(idx))
        if low < 0 or high >= points.shape[1]:
            raise InputError(contract.out_of_range(op, name, low, high, points.shape[1]))
    return idx


def _count(op: str, name: str, value, n: int) -> int:
    """`contract.check_count`, which torch.compile cannot trace for an integer it does not know yet."""
    known = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= n
    return value if known else contract.check_count(op, name, value, n)


def knn(queries, points, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest points of each query: (B, M, 3), (B, N, 3) -> dist2 (B, M, k), idx (B, M, k) int64.

    Nearest first; equal distances, lowest index first. Differentiable in both clouds through dist2. 1 <= k <= N.
    """
    queries, points = _clouds("knn", queries=queries, points=points)
    contract.check_not_empty("knn", "points", points.shape[1])
    k = _count("knn", "k", k, points.shape[1])
    if _native(points):
        return torch.ops.samplenet.knn(queries, points, k)
    idx = _search(queries, points, k)
    return _dist2_to_neighbours(queries[:, :, None], _rows(points, idx)), idx


def chamfer(a, b) -> Chamfer:
    """Squared nearest-neighbour distances between clouds a (B, M, 3) and b (B, N, 3), in both directions."""
    a, b = _clouds("chamfer", a=a, b=b)
    contract.check_not_empty("chamfer", "a", a.shape[1])
    contract.check_not_empty("chamfer", "b", b.shape[1])
    if _native(a):
        return Chamfer(*torch.ops.samplenet.chamfer(a, b))
    idx_ab, idx_ba = _search(a, b, 1)[..., 0], _search(b, a, 1)[..., 0]
    return Chamfer(_dist2_to_neighbours(a, _rows(b, idx_ab)), _dist2_to_neighbours(b, _rows(a, idx_ba)), idx_ab, idx_ba)


def farthest_points(points, m: int, start=0, chosen=None) -> Tensor:
    """Farthest point sampling: points (B, N, 3) -> m distinct indices (B, m) int64, in the order picked.

    Args:
        start: first index, one for all clouds or (B,).
        chosen: (B, S) indices to keep, in order, duplicates dropped (more than m distinct: the first m); the
            rest is picked farthest-first from those, and `start` is ignored. With the nearest neighbours of Q
            this is SampleNet's inference matching. Differs from the released code, which repeats an index
            when every remaining distance is 0: here the lowest unchosen index follows.
    """
    op = "farthest_points"
    (points,) = _clouds(op, points=points)
    points = points.detach()
    batch, n = points.shape[:2]
    contract.check_not_empty(op, "points", n)
    m = _count(op, "m", m, n)
    checked = False
    if chosen is not None:
        chosen = _indices(op, "chosen", chosen, points, 2)
        if chosen.shape[1] == 0:
            raise InputError(f"{op}: chosen must hold at least one index a cloud, got shape {tuple(chosen.shape)}")
    elif type(start) is int:  # known to the host, whatever the device
        if not 0 <= start < n:
            raise InputError(contract.out_of_range(op, "start", start, start, n))
        chosen, checked = torch.full((batch, 1), start, dtype=torch.int64, device=points.device), True
    else:
        start = start if isinstance(start, Tensor) else torch.as_tensor(start, device=points.device)
        start = start.expand(batch) if start.ndim == 0 else start
        chosen = _indices(op, "start", start, points, 1)[:, None]
    if not _native(points):
        return torch.ops.samplenet_framework.farthest_points(points, chosen, m)
    if points.is_cuda and not checked:  # to look at them here would make the host wait
        torch._assert_async(((chosen >= 0) & (chosen < n)).all(), f"{op}: start or chosen must be in [0, N)")
    return torch.ops.samplenet.farthest_points(points, chosen, m)


def gather(points, idx) -> Tensor:
    """points (B, N, C), idx (B, ...) -> (B, ..., C): rows of each cloud; differentiable in points."""
    points = points if isinstance(points, Tensor) else torch.as_tensor(points)
    if points.ndim != 3:
        raise InputError(f"gather: points must have shape (B, N, C), got {tuple(points.shape)}")
    return _rows(points, _indices("gather", "idx", idx, points))


# framework operations


def _rows(points: Tensor, idx: Tensor) -> Tensor:
    """points (B, N, C), idx (B, ...) int64 -> (B, ..., C)."""
    channels = points.shape[2]
    flat = idx.reshape(idx.shape[0], math.prod(idx.shape[1:]), 1)
    return torch.gather(points, 1, flat.expand(-1, -1, channels)).reshape(*idx.shape, channels)


def _dist2(queries: Tensor, points: Tensor) -> Tensor:
    """Squared distances of broadcastable (..., 3) tensors, in the fixed order of operations."""
    return _length2(*(queries[..., c] - points[..., c] for c in range(3)))


def _dist2_to_neighbours(queries: Tensor, points: Tensor) -> Tensor:
    """`_dist2`, infinite where it is not a number; there the gradient of the coordinates that are numbers is kept."""
    # One coordinate at a time: of (..., 3) tensors Inductor 2.13 compiles wrong gradients for a single thread.
    deltas = (queries[..., c] - points[..., c] for c in range(3))
    return _length2(*(torch.where(delta.isnan(), math.inf, delta) for delta in deltas))


def _length2(dx: Tensor, dy: Tensor, dz: Tensor) -> Tensor:
    return (dx * dx + dy * dy) + dz * dz


def _lowest(dist2: Tensor, k: int) -> Tensor:
    """Indices of the k smallest along the last axis, smallest first, equal ones lowest index first."""
    if k == 1:
        return torch.argmin(dist2, -1, keepdim=True)  # the first of equal ones
    if dist2.dtype == torch.float64:
        return torch.sort(dist2, dim=-1, stable=True).indices[..., :k]
    # topk promises no order of ties, so make none: the bits of a float that is not negative sort as it does, and the
    # index below them settles the rest.
    index = torch.arange(dist2.shape[-1], device=dist2.device)
    key = (dist2.view(torch.int32).to(torch.int64) << 32) | index
    return torch.topk(key, k, -1, largest=False).values & 0xFFFFFFFF


def _search(queries: Tensor, points: Tensor, k: int) -> Tensor:
    """Indices (B, M, k) of the k nearest points; not differentiable."""
    queries, points = queries.detach(), points.detach()
    size = max(1, MAX_DISTANCES // max(1, points.shape[0] * points.shape[1]))

    def nearest(chunk):  # (B, c, 3) -> (B, c, k)
        dist2 = _dist2(chunk[:, :, None], points[:, None])
        return _lowest(dist2.nan_to_num(nan=math.inf, posinf=math.inf), k)

    if queries.shape[1] <= size:
        return nearest(queries)
    return torch.cat([nearest(chunk) for chunk in queries.split(size, 1)], 1)


def _distinct(chosen: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """chosen (B, S) with the repeats moved to the end, order kept, and how many distinct ones come first (B,)."""
    batch, size = chosen.shape
    position = torch.arange(size, device=chosen.device).expand(batch, size)
    first = chosen.new_full((batch, n), size).scatter_reduce(1, chosen, position, "amin")  # first place of each point
    is_first = first.gather(1, chosen) == position
    order = torch.argsort(torch.where(is_first, position, position + size), 1)
    return chosen.gather(1, order), is_first.sum(1)


@torch.library.custom_op("samplenet_framework::farthest_points", mutates_args=())
def _farthest_points(points: Tensor, chosen: Tensor, m: int) -> Tensor:
    """The picking loop: chosen (B, S), then farthest-first; an operator, so that torch.compile does not unroll it."""
    kept, count = _distinct(chosen, points.shape[1])
    nearest = points.new_full(points.shape[:2], math.inf)  # squared distance to the picked points; -1 once picked
    picks = chosen.new_empty((points.shape[0], m))
    for i in range(m):
        pick = torch.argmax(nearest, 1)  # ties: the lowest index
        if i < kept.shape[1]:
            pick = torch.where(i < count, kept[:, i], pick)
        picks[:, i] = pick
        dist2 = _dist2(_rows(points, pick)[:, None], points)
        nearest = torch.where(dist2 < nearest, dist2, nearest)  # false for NaN
        nearest.scatter_(1, pick[:, None], -1)
    return picks


@_farthest_points.register_fake
def _picks_shape(points, chosen, m):
    return chosen.new_empty((points.shape[0], m))


# native operators


def _native(cloud: Tensor) -> bool:
    """Whether native ops serve this tensor."""
    return native.enabled() and _serves(cloud.device.type)


def _serves(device: str) -> bool:
    return _find(device)


# Found out once, while torch.compile traces too. torch.compiler.assume_constant_result sets this very mark, but
# imports the whole compiler for it, which takes a second.
_serves._dynamo_marked_constant = True


@cache
def _find(device: str) -> bool:
    """Load the build at first use; warn where a device is left to framework operations."""
    if native.load("torch", torch.__version__, _register) is None:
        return False
    built_for = native.built("torch", torch.__version__)["device"]
    if device not in ("cpu", "meta", built_for):  # meta: shapes alone
        hint = "; build them again with: python -m samplenet.ops.build --torch --cuda" if device == "cuda" else ""
        message = f"samplenet: framework operations serve {device} tensors: the native ops are built for {built_for}"
        warnings.warn(message + hint, stacklevel=5)
        return False
    return True


def _register(path: str) -> bool:
    """Load the operators; give them shapes for tracing, and gradients."""
    torch.ops.load_library(path)
    library = torch.library
    library.register_fake("samplenet::knn", _knn_shapes)
    library.register_fake("samplenet::knn_backward", lambda grad, queries, points, idx: _like(queries, points))
    library.register_fake("samplenet::chamfer", _chamfer_shapes)
    library.register_fake("samplenet::chamfer_backward", lambda grad_a2b, grad_b2a, a, b, ab, ba: _like(a, b))
    library.register_fake("samplenet::farthest_points", _picks_shape)
    library.register_autograd("samplenet::knn", _knn_gradient, setup_context=_knn_save)
    library.register_autograd("samplenet::chamfer", _chamfer_gradient, setup_context=_chamfer_save)
    for op in ("knn", "chamfer"):
        library.register_autograd(f"samplenet::{op}_backward", _no_second_gradient)
    return True


def _like(*clouds):
    return tuple(torch.empty_like(c, memory_format=torch.contiguous_format) for c in clouds)


def _knn_shapes(queries, points, k):
    shape = (*queries.shape[:2], k)
    return queries.new_empty(shape), queries.new_empty(shape, dtype=torch.int64)


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


def _no_second_gradient(ctx, *_):
    raise NotImplementedError(
        "samplenet: the native ops have no second derivatives; samplenet.ops.use_native(False) gives operations that do"
    )
