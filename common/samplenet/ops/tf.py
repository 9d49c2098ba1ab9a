"""TensorFlow ops: native where built, else made of framework operations. Contract: `samplenet.ops`.

Work eagerly, inside `tf.function` and in Keras models; the specification is `reference.py`. Indices are int32.

Limits of the native ops, which `samplenet.ops.use_native(False)` lifts:

- XLA has none of them. What is traced for it (`jit_compile=True`) is made of framework operations, but a `tf.function`
  traced before for other use keeps its native ops, and XLA refuses it: "No registered 'SamplenetKnn' OpKernel".
- The gradient of a gradient is a NotImplementedError.
- A saved model that holds them needs a build, and `import samplenet.ops.tf`, where it is loaded.
- Built without CUDA they run on the CPU; tensors on a GPU are copied.

An index outside its cloud is an InputError, in a graph an InvalidArgumentError. Not on a GPU, where finding it would
make the host wait: `gather` gives zeros for it there and `farthest_points` passes over it.

Framework operations hold the distances for a chunk of the queries at a time, never as a (B, M, N, 3) tensor.
"""

import contextlib

import numpy as np
import tensorflow as tf
from tensorflow.python.ops import control_flow_util  # no public name tells whether XLA compiles what is traced

from samplenet.errors import InputError
from samplenet.ops import contract, native
from samplenet.ops.contract import Chamfer

MAX_DISTANCES = 1 << 22  # distances held at once by a nearest-neighbour search: 16 MB in float32


def _library():
    """Return the module of the compiled ops, None without a build; raises ImportError while one does not load."""
    return native.load("tf", tf.__version__, tf.load_op_library)


def _native():
    """Return the compiled ops if they are to serve what is computed or traced now, else None."""
    if not native.enabled() or control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()):
        return None
    return _library()


if native.enabled():  # here, because a saved model finds its ops by name; what fails is raised at the first use
    with contextlib.suppress(Exception):
        if native.missing("tf", tf.__version__) is None:
            _library()


@tf.RegisterGradient("SamplenetKnn")
def _knn_gradient(op, grad, _):
    if grad is None:
        return None, None
    return tuple(_library().samplenet_knn_backward(grad, *op.inputs, op.outputs[1]))


@tf.RegisterGradient("SamplenetChamfer")
def _chamfer_gradient(op, grad_a2b, grad_b2a, *_):
    if grad_a2b is None and grad_b2a is None:
        return None, None
    a2b, b2a, idx_ab, idx_ba = op.outputs
    grad_a2b = tf.zeros_like(a2b) if grad_a2b is None else grad_a2b
    grad_b2a = tf.zeros_like(b2a) if grad_b2a is None else grad_b2a
    return tuple(_library().samplenet_chamfer_backward(grad_a2b, grad_b2a, *op.inputs, idx_ab, idx_ba))


@tf.RegisterGradient("SamplenetKnnBackward")
@tf.RegisterGradient("SamplenetChamferBackward")
def _no_second_gradient(op, *_):
    raise NotImplementedError(
        f"{op.type}: native ops have no second-order gradient; call samplenet.ops.use_native(False) before the forward "
        "pass to have one from framework operations"
    )


tf.no_gradient("SamplenetFarthestPoints")


def _clouds(op: str, **arrays) -> list[tf.Tensor]:
    """Check the named clouds; return them in the dtype the op computes in."""
    arrays = {name: tf.convert_to_tensor(a) for name, a in arrays.items()}
    for name, a in arrays.items():
        if a.shape.rank is None:
            raise InputError(f"{op}: {name} must have shape (B, N, 3), got an unknown rank")
    contract.check_clouds(
        op, {n: a.dtype.name for n, a in arrays.items()}, **{n: tuple(a.shape) for n, a in arrays.items()}
    )
    if contract.checking():
        for name, a in arrays.items():
            arrays[name] = _require(tf.reduce_all(tf.math.is_finite(a)), contract.non_finite(op, name), a)
    return [a if a.dtype == tf.float64 else tf.cast(a, tf.float32) for a in arrays.values()]


def _require(condition: tf.Tensor, message: str, tensor: tf.Tensor) -> tf.Tensor:
    """`tensor`, after the condition was found true: else InputError, or in a graph the assertion's error."""
    if tf.executing_eagerly():
        if not bool(condition):
            raise InputError(message)
        return tensor
    with tf.control_dependencies([tf.debugging.Assert(condition, [message])]):
        return tf.identity(tensor)


def _index_tensor(idx) -> tf.Tensor:
    """`idx` as a tensor. In eager mode a list or array stays in the host's memory, where its values can be checked."""
    if tf.is_tensor(idx) or not tf.executing_eagerly():
        return tf.convert_to_tensor(idx)
    with tf.device("CPU"):
        return tf.convert_to_tensor(idx)


def _readable(idx: tf.Tensor) -> bool:
    """Whether the values of `idx` can be checked without waiting for a GPU."""
    if tf.executing_eagerly():
        return "GPU" not in idx.backing_device
    return not tf.config.list_logical_devices("GPU")


def _indices(op: str, name: str, idx, batch, points: tf.Tensor, rank: int | None = None) -> tf.Tensor:
    """Check an index tensor against `points` (B, N, ...); return it as int32.

    Its values are checked where nothing has to wait for a GPU. Elsewhere the operation that uses them guards itself.
    """
    idx = _index_tensor(idx)
    contract.check_index(op, name, tuple(idx.shape), idx.dtype.name, batch, rank)
    eager, readable = tf.executing_eagerly(), _readable(idx)
    if eager and readable:
        n, values = points.shape[1], np.asarray(idx)
        if values.size and not 0 <= values.min() <= values.max() < n:
            raise InputError(contract.out_of_range(op, name, values.min(), values.max(), n))
    if idx.dtype != tf.int32:  # values beyond int32 must stay outside the cloud
        idx = tf.cast(tf.clip_by_value(tf.cast(idx, tf.int64), -1, tf.int32.max), tf.int32)
    if readable and not eager:
        inside = tf.reduce_all((idx >= 0) & (idx < tf.shape(points)[1]))
        idx = _require(inside, f"{op}: {name} must be in [0, N)", idx)
    return idx


def _dist2(queries: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """Squared distances of broadcastable (..., 3) tensors, in the fixed order of operations."""
    return _length2(*(q - p for q, p in zip(tf.unstack(queries, 3, -1), tf.unstack(points, 3, -1), strict=True)))


def _dist2_to_neighbours(queries: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """`_dist2`, infinite where it is not a number; there the gradient of the coordinates that are numbers is kept."""
    delta = queries - points
    delta = tf.where(tf.math.is_nan(delta), tf.constant(np.inf, delta.dtype), delta)
    return _length2(*tf.unstack(delta, 3, -1))


def _length2(dx: tf.Tensor, dy: tf.Tensor, dz: tf.Tensor) -> tf.Tensor:
    return (dx * dx + dy * dy) + dz * dz


def _search(queries: tf.Tensor, points: tf.Tensor, k: int) -> tf.Tensor:
    """Indices (B, M, k) of the k nearest points; not differentiable."""
    queries, points = tf.stop_gradient(queries), tf.stop_gradient(points)

    def nearest(chunk):  # (B, c, 3) -> (B, c, k)
        dist2 = _dist2(chunk[:, :, None], points[:, None])
        dist2 = tf.where(tf.math.is_nan(dist2), tf.constant(np.inf, dist2.dtype), dist2)
        return tf.math.top_k(-dist2, k).indices  # equal values come lowest index first

    if None not in (*queries.shape, *points.shape):
        batch, m, n = queries.shape[0], queries.shape[1], points.shape[1]
        if batch * m * n <= MAX_DISTANCES:
            return nearest(queries)
    m = tf.shape(queries)[1]
    size = tf.maximum(1, MAX_DISTANCES // tf.maximum(1, tf.shape(points)[0] * tf.shape(points)[1]))
    chunks = -(-m // size)

    def body(i, found):
        part = nearest(queries[:, i * size : (i + 1) * size])
        return i + 1, found.write(i, tf.transpose(part, (1, 0, 2)))

    found = tf.TensorArray(tf.int32, chunks, infer_shape=False, element_shape=(None, queries.shape[0], k))
    _, found = tf.while_loop(lambda i, _: i < chunks, body, (0, found), parallel_iterations=1)
    none = tf.zeros((0, tf.shape(queries)[0], k), tf.int32)
    idx = tf.cond(chunks > 0, found.concat, lambda: none)
    idx = tf.transpose(idx, (1, 0, 2))
    return tf.ensure_shape(idx, (queries.shape[0], queries.shape[1], k))


def knn(queries, points, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The k nearest points of each query: (B, M, 3), (B, N, 3) -> dist2 (B, M, k), idx (B, M, k) int32.

    Nearest first; equal distances, lowest index first. Differentiable in both clouds through dist2. 1 <= k <= N.
    """
    queries, points = _clouds("knn", queries=queries, points=points)
    contract.check_not_empty("knn", "points", points.shape[1])
    k = contract.check_count("knn", "k", k, points.shape[1])
    if ops := _native():
        dist2, idx = ops.samplenet_knn(queries, points, k=k)
        return dist2, idx
    if points.shape[1] is None:
        points = _require(tf.shape(points)[1] >= k, f"knn: k must be in [1, N], got {k}", points)
    idx = _search(queries, points, k)
    return _dist2_to_neighbours(queries[:, :, None], tf.gather(points, idx, batch_dims=1)), idx


def _not_empty(name: str, cloud: tf.Tensor) -> tf.Tensor:
    if cloud.shape[1] is None:
        return _require(tf.shape(cloud)[1] > 0, f"chamfer: {name} is empty (N = 0)", cloud)
    return cloud


def chamfer(a, b) -> Chamfer:
    """Squared nearest-neighbour distances between clouds a (B, M, 3) and b (B, N, 3), in both directions."""
    a, b = _clouds("chamfer", a=a, b=b)
    for name, cloud in (("a", a), ("b", b)):
        contract.check_not_empty("chamfer", name, cloud.shape[1])
    if ops := _native():
        return Chamfer(*ops.samplenet_chamfer(a, b))
    (a, again_a), (b, again_b) = fan_out(_not_empty("a", a), 2), fan_out(_not_empty("b", b), 2)
    idx_ab, idx_ba = _search(a, b, 1)[..., 0], _search(b, a, 1)[..., 0]
    a2b = _dist2_to_neighbours(a, tf.gather(b, idx_ab, batch_dims=1))
    b2a = _dist2_to_neighbours(again_b, tf.gather(again_a, idx_ba, batch_dims=1))
    return Chamfer(a2b, b2a, idx_ab, idx_ba)


def farthest_points(points, m: int, start=0, chosen=None) -> tf.Tensor:
    """Farthest point sampling: points (B, N, 3) -> m distinct indices (B, m) int32, in the order picked.

    Args:
        start: first index, one for all clouds or (B,).
        chosen: (B, S) indices to keep, in order, duplicates dropped (more than m distinct: the first m); the
            rest is picked farthest-first from those, and `start` is ignored. With the nearest neighbours of Q
            this is SampleNet's inference matching. Differs from the released code, which repeats an index
            when every remaining distance is 0: here the lowest unchosen index follows.
    """
    op = "farthest_points"
    (points,) = _clouds(op, points=points)
    points = tf.stop_gradient(points)
    contract.check_not_empty(op, "points", points.shape[1])
    m = contract.check_count(op, "m", m, points.shape[1])
    batch, n = tf.shape(points)[0], tf.shape(points)[1]
    if chosen is None:
        start = _index_tensor(start)
        start = tf.fill((batch,), start) if start.shape.rank == 0 else start
        kept = _indices(op, "start", start, points.shape[0], points, 1)[:, None]  # (B, 1)
    else:
        kept = _indices(op, "chosen", chosen, points.shape[0], points, 2)
        if kept.shape[1] == 0:
            raise InputError(f"{op}: chosen must hold at least one index a cloud, got shape {tuple(kept.shape)}")
    if ops := _native():
        return ops.samplenet_farthest_points(points, kept, m=m)
    if points.shape[1] is None:
        points = _require(n >= m, f"{op}: m must be in [1, N], got {m}", points)
    kept, count = _distinct(kept, n)
    picks = _pick(points, kept, count, tf.constant(m))
    return tf.ensure_shape(picks, (points.shape[0], m))


@tf.function(reduce_retracing=True)
def _pick(points: tf.Tensor, kept: tf.Tensor, count: tf.Tensor, m: tf.Tensor) -> tf.Tensor:
    """The picking loop: the first `count` (B,) of `kept` (B, S), then farthest-first; a graph, also when eager."""
    batch, n = tf.shape(points)[0], tf.shape(points)[1]

    def pick_next(i, picks, nearest):  # nearest (B, N): squared distance to the picked points; -1 once picked
        farthest = tf.argmax(nearest, axis=1, output_type=tf.int32)  # ties: the lowest index
        given = kept[:, tf.minimum(i, tf.shape(kept)[1] - 1)]
        pick = tf.where(i < count, given, farthest)
        dist2 = _dist2(tf.gather(points, pick, batch_dims=1)[:, None], points)
        nearest = tf.where(dist2 < nearest, dist2, nearest)  # false for NaN
        nearest = tf.where(tf.range(n)[None] == pick[:, None], tf.constant(-1, nearest.dtype), nearest)
        return i + 1, picks.write(i, pick), nearest

    picks = tf.TensorArray(tf.int32, m, element_shape=(None,))
    nearest = tf.fill((batch, n), tf.constant(np.inf, points.dtype))
    state, any_shape = (0, picks, nearest), tf.TensorShape((None, None))
    invariants = (tf.TensorShape(()), tf.TensorShape(None), any_shape)
    _, picks, _ = tf.while_loop(lambda i, *_: i < m, pick_next, state, invariants, parallel_iterations=1)
    return tf.transpose(picks.stack())


def _distinct(chosen: tf.Tensor, n: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """chosen (B, S) with the repeats moved to the end, order kept, and how many distinct ones come first (B,)."""
    batch, size = tf.shape(chosen)[0], tf.shape(chosen)[1]
    if chosen.shape[1] is None:
        chosen = _require(size > 0, "farthest_points: chosen must hold at least one index a cloud, got none", chosen)
    position = tf.broadcast_to(tf.range(size)[None], (batch, size))
    where = tf.stack([tf.broadcast_to(tf.range(batch)[:, None], (batch, size)), chosen], -1)
    first = tf.tensor_scatter_nd_min(tf.fill((batch, n), size), where, position)  # first place of each point
    is_first = tf.gather(first, chosen, batch_dims=1) == position
    order = tf.argsort(tf.where(is_first, position, position + size), stable=True)
    return tf.gather(chosen, order, batch_dims=1), tf.reduce_sum(tf.cast(is_first, tf.int32), 1)


def gather(points, idx) -> tf.Tensor:
    """points (B, N, C), idx (B, ...) -> (B, ..., C): rows of each cloud; differentiable in points."""
    points = tf.convert_to_tensor(points)
    if points.shape.rank != 3:
        raise InputError(f"gather: points must have shape (B, N, C), got {tuple(points.shape)}")
    return tf.gather(points, _indices("gather", "idx", idx, points.shape[0], points), batch_dims=1)


def fan_out(tensor, count: int) -> tuple[tf.Tensor, ...]:
    """Return the tensor `count` times, one for each use; the gradients of the uses are added in this order.

    TensorFlow adds three gradients or more of one tensor (AddN) in an order that depends on which buffers are free at
    that moment, also with `enable_op_determinism`: two runs would differ in the last digits, then in all.
    """

    @tf.custom_gradient
    def copy(tensor):
        return tuple(tf.identity(tensor) for _ in range(count)), lambda *grads: tf.reduce_sum(tf.stack(grads), 0)

    return copy(tf.convert_to_tensor(tensor))
