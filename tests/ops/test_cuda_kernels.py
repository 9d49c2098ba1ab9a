"""The CUDA kernels, run on the CPU by cuda_emulator.h, against the reference."""

import sys
from pathlib import Path

import numpy as np
import pytest

from samplenet.ops import reference

sys.path.insert(0, str(Path(__file__).parent))
from emulated import SEEDS, Emulated, load, needs_compiler  # noqa: E402

pytestmark = needs_compiler

KINDS = ("random", "grid", "same", "organised", "few bad", "most bad")
TYPES = [("float32", "int32"), ("float32", "int64"), ("float64", "int32"), ("float64", "int64")]


def crossed(rows, columns, full):
    """Pair all rows and columns; slow, except for rows in `full` and the first column."""
    for row in rows:
        for column in columns:
            cell = (row, *(column if isinstance(column, tuple) else (column,)))
            fast = row in full or column == columns[0]
            yield pytest.param(*cell, marks=() if fast else pytest.mark.slow)


def of_kinds(*columns):
    return list(crossed(KINDS, columns, ("grid", "most bad")))


def of_types(*columns):
    return list(crossed(TYPES, columns, TYPES[:1]))


class Kernels(Emulated):
    """Calls a kernel on NumPy arrays: inputs, sizes, outputs as (shape, dtype)."""

    def __call__(
        self, op: str, inputs, sizes, outputs, types=("float32", "int32"), seed: int = 0
    ) -> list[np.ndarray]:
        kind = {"float32": "float", "float64": "double"}[types[0]] + f"_{types[1]}_t"
        return self.call(op, kind, inputs, sizes, outputs, seed)

    def knn(self, queries, points, k, index="int32", seed=0):
        (B, M), N, T = queries.shape[:2], points.shape[1], points.dtype.name
        arrays, outputs = (queries, points), [((B, M, k), T), ((B, M, k), index)]
        return self("knn", arrays, (B, M, N, k), outputs, types=(T, index), seed=seed)

    def knn_backward(self, grad, queries, points, idx, seed=0):
        (B, M, k), N, T = grad.shape, points.shape[1], points.dtype.name
        outputs = [((B, M, 3), T), ((B, N, 3), T)]
        arrays = (grad, queries, points, idx)
        return self(
            "knn_backward", arrays, (B, M, N, k), outputs, types=(T, idx.dtype.name), seed=seed
        )

    def chamfer(self, a, b, index="int32", seed=0):
        (B, M), N, T = a.shape[:2], b.shape[1], b.dtype.name
        outputs = [((B, M), T), ((B, N), T), ((B, M), index), ((B, N), index)]
        return self("chamfer", (a, b), (B, M, N), outputs, types=(T, index), seed=seed)

    def chamfer_backward(self, grad_a2b, grad_b2a, a, b, idx_ab, idx_ba, seed=0):
        (B, M), N, T = a.shape[:2], b.shape[1], b.dtype.name
        arrays = (grad_a2b, grad_b2a, a, b, idx_ab, idx_ba)
        outputs = [((B, M, 3), T), ((B, N, 3), T)]
        return self(
            "chamfer_backward", arrays, (B, M, N), outputs, types=(T, idx_ab.dtype.name), seed=seed
        )

    def ball_query(self, queries, points, radius, k, index="int32", seed=0):
        (B, M), N, T = queries.shape[:2], points.shape[1], points.dtype.name
        arrays, outputs = (queries, points), [((B, M, k), index), ((B, M), index)]
        return self(
            "ball_query", arrays, (B, M, N, radius, k), outputs, types=(T, index), seed=seed
        )

    def farthest_points(self, points, chosen, m, seed=0):
        (B, N), S, types = points.shape[:2], chosen.shape[1], (points.dtype.name, chosen.dtype.name)
        arrays, outputs = (points, chosen), [((B, m), types[1])]
        return self("farthest_points", arrays, (B, N, S, m), outputs, types=types, seed=seed)[0]


@pytest.fixture(scope="module")
def kernels(request):
    return Kernels(load(request.config.cache))


def cloud(kind: str, rng, *shape, dtype="float32") -> np.ndarray:
    if kind == "random":
        points = rng.standard_normal((*shape, 3))
    elif kind == "grid":  # many equal distances
        points = rng.integers(-2, 3, (*shape, 3))
    elif kind == "same":
        points = np.ones((*shape, 3))
    elif kind == "organised":  # rows of 32 points: neighbours meet in one lane
        i = np.arange(shape[-1])
        points = np.broadcast_to(np.stack([i // 32, i % 32, 0 * i], -1) * 0.1, (*shape, 3))
    else:
        points = rng.standard_normal((*shape, 3))
        points[rng.random(shape) < {"few bad": 0.1, "most bad": 0.95}[kind]] = rng.choice(
            [np.nan, np.inf, -np.inf]
        )
        points[rng.random(shape) < 0.05] = 1e30  # overflows when squared in float32
    return points.astype(dtype)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture(autouse=True)
def unchecked(unchecked):
    """The kernels take what a training step gives them, NaN included."""


def same(actual, expected):
    """Require equal values; the reference has int32 indices."""
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a, e)


# k nearest points


@pytest.mark.parametrize(
    "kind, B, M, N, k",
    of_kinds((1, 3, 1100, 16), (2, 5, 70, 1), (2, 9, 70, 8), (2, 2, 70, 70), (1, 2, 200, 33)),
)
def test_knn(kernels, rng, kind, B, M, N, k):
    queries, points = cloud(kind, rng, B, M), cloud(kind, rng, B, N)
    queries[:, 0] = points[:, N // 2]
    same(kernels.knn(queries, points, k), reference.knn(queries, points, k))


@pytest.mark.parametrize("types, k", of_types(5, 1, 40))
def test_knn_types_and_orders(kernels, rng, types, k):
    queries, points = (cloud("grid", rng, 1, n, dtype=types[0]) for n in (11, 600))
    for seed in SEEDS:
        same(kernels.knn(queries, points, k, types[1], seed), reference.knn(queries, points, k))


@pytest.mark.parametrize("N", [1, 2, 31, 32, 33, 1024, 1025])
def test_knn_sizes(kernels, rng, N):
    queries, points = cloud("random", rng, 2, 3), cloud("random", rng, 2, N)
    for k in {1, min(2, N), min(N, 32), min(N, 65)}:
        same(kernels.knn(queries, points, k), reference.knn(queries, points, k))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_knn_later_tile_nearer_by_one_bit(kernels, dtype):
    """The bound that earlier tiles leave is the next number below the k-th distance."""
    points = np.zeros((1, 2100, 3), dtype)
    points[..., 0], points[..., 1] = 1, np.sqrt(1.12 * np.finfo(dtype).eps)
    points[0, 2090, 1] = 0
    dist2, idx = kernels.knn(np.zeros((1, 1, 3), dtype), points, 2)
    assert idx.tolist() == [[[2090, 0]]] and dist2[0, 0, 1] - dist2[0, 0, 0] == np.finfo(dtype).eps


@pytest.mark.parametrize("k", [1, 4])
def test_knn_many_queries(kernels, rng, k):
    """Enough queries for the variant that gives a warp several."""
    queries, points = cloud("few bad", rng, 3, 5500), cloud("few bad", rng, 3, 33)
    same(kernels.knn(queries, points, k, seed=2), reference.knn(queries, points, k))


@pytest.mark.parametrize(
    "types, kind, N, k",
    of_types(("grid", 6200, 7), ("grid", 4100, 1), ("most bad", 4100, 1), ("most bad", 6200, 32)),
)
def test_knn_few_queries_of_many_points(kernels, rng, types, kind, N, k):
    """The points of a cloud split between warps."""
    queries, points = cloud(kind, rng, 1, 2, dtype=types[0]), cloud(kind, rng, 1, N, dtype=types[0])
    same(kernels.knn(queries, points, k, types[1], 2), reference.knn(queries, points, k))


def test_knn_of_nothing(kernels):
    empty = np.zeros((0, 4, 3), np.float32)
    kernels.knn(empty, empty, 2)
    kernels.knn(np.zeros((2, 0, 3), np.float32), np.zeros((2, 4, 3), np.float32), 2)
    grad = np.zeros((2, 0, 2), np.float32)
    grads = kernels.knn_backward(
        grad, grad[..., :0], np.ones((2, 4, 3), np.float32), grad.astype(np.int32)
    )
    assert (grads[1] == 0).all()


# chamfer


@pytest.mark.parametrize(
    "kind, B, M, N", of_kinds((1, 260, 300), (2, 40, 70), (1, 1, 300), (1, 300, 1), (3, 1, 1))
)
def test_chamfer(kernels, rng, kind, B, M, N):
    a, b = cloud(kind, rng, B, M), cloud(kind, rng, B, N)
    a[:, 0] = b[:, N // 2]
    same(kernels.chamfer(a, b), reference.chamfer(a, b))


@pytest.mark.parametrize("types", TYPES)
def test_chamfer_types_and_orders(kernels, rng, types):
    a, b = cloud("grid", rng, 2, 600, dtype=types[0]), cloud("grid", rng, 2, 100, dtype=types[0])
    for seed in SEEDS:
        same(kernels.chamfer(a, b, types[1], seed), reference.chamfer(a, b))


def test_chamfer_several_tiles(kernels, rng):
    """More rows than a block holds, and chunks of several batches of columns."""
    a, b = cloud("few bad", rng, 1, 1100), cloud("few bad", rng, 1, 1090)
    same(kernels.chamfer(a, b, seed=2), reference.chamfer(a, b))
    a, b = cloud("grid", rng, 500, 130), cloud("grid", rng, 500, 130)
    same(kernels.chamfer(a, b, seed=2), reference.chamfer(a, b))


# ball query


@pytest.mark.parametrize(
    "kind, B, M, N, radius, k",
    of_kinds((1, 3, 1100, 1.0, 16), (2, 9, 70, 1.5, 100), (2, 17, 33, 0.1, 1), (1, 2, 1, 9.0, 3)),
)
def test_ball_query(kernels, rng, kind, B, M, N, radius, k):
    queries, points = cloud(kind, rng, B, M), cloud(kind, rng, B, N)
    queries[:, 0] = points[:, N // 2]
    for seed in (0, 2):
        got = kernels.ball_query(queries, points, radius, k, seed=seed)
        same(got, reference.ball_query(queries, points, radius, k))


@pytest.mark.parametrize("types, radius", of_types(2.0, 0.7))
def test_ball_query_types_and_orders(kernels, rng, types, radius):
    """Some warps of a block end in the first tile of points, others go through all three."""
    queries, points = (cloud("grid", rng, 1, n, dtype=types[0]) for n in (11, 2500))
    queries[0, 4], points[0, 1500:, 0] = 50, 50
    want = reference.ball_query(queries, points, radius, 40)
    for seed in SEEDS:
        same(kernels.ball_query(queries, points, radius, 40, types[1], seed), want)


def test_ball_query_of_nothing(kernels):
    none = np.zeros((2, 0, 3), np.float32)
    kernels.ball_query(none, np.zeros((2, 4, 3), np.float32), 1.0, 2)
    kernels.ball_query(none[:0], np.zeros((0, 4, 3), np.float32), 1.0, 2)


# backward


def scatter(grad, own, other, idx, N):
    """Return the gradients of sum(grad * squared distance) for both clouds, in float64.

    grad and idx are (B, M, k).
    """
    with np.errstate(all="ignore"):
        own, other, grad = (a.astype(np.float64) for a in (own, other, grad))
        near = np.take_along_axis(other[:, None], idx[..., None].astype(np.int64), 2)
        term = 2 * grad[..., None] * (own[:, :, None] - near)
        to_other = np.zeros((len(own), N, 3))
        for b in range(len(own)):
            np.subtract.at(to_other[b], idx[b].ravel(), term[b].reshape(-1, 3))
    return term.sum(2), to_other


@pytest.mark.parametrize(
    "types, B, M, N, k",
    of_types((1, 90, 33, 8), (2, 40, 70, 1), (2, 300, 1, 1), (1, 1, 100, 100), (1, 700, 5, 3)),
)
def test_knn_backward(kernels, rng, types, B, M, N, k):
    queries, points = (cloud("random", rng, B, n, dtype=types[0]) for n in (M, N))
    grad = rng.standard_normal((B, M, k)).astype(types[0])
    idx = rng.integers(0, N, (B, M, k)).astype(types[1])
    grads = kernels.knn_backward(grad, queries, points, idx)
    tolerance = 1e-4 if types[0] == "float32" else 1e-12
    for actual, expected in zip(grads, scatter(grad, queries, points, idx, N), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)
    for seed in SEEDS:
        again = kernels.knn_backward(grad, queries, points, idx, seed)
        assert [g.tobytes() for g in grads] == [g.tobytes() for g in again]


@pytest.mark.parametrize(
    "types, B, M, N", of_types((2, 40, 70), (1, 300, 1), (1, 1, 300), (2, 1100, 33))
)
def test_chamfer_backward(kernels, rng, types, B, M, N):
    a, b = (cloud("random", rng, B, n, dtype=types[0]) for n in (M, N))
    grad_a2b, grad_b2a = (rng.standard_normal((B, n)).astype(types[0]) for n in (M, N))
    idx_ab = rng.integers(0, N, (B, M)).astype(types[1])
    idx_ba = rng.integers(0, M, (B, N)).astype(types[1])
    inputs = (grad_a2b, grad_b2a, a, b, idx_ab, idx_ba)
    grads = kernels.chamfer_backward(*inputs)
    to_a, from_a = scatter(grad_a2b[..., None], a, b, idx_ab[..., None], N)
    to_b, from_b = scatter(grad_b2a[..., None], b, a, idx_ba[..., None], M)
    tolerance = 1e-4 if types[0] == "float32" else 1e-12
    for actual, expected in zip(grads, (to_a + from_b, to_b + from_a), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)
    for seed in SEEDS:
        again = kernels.chamfer_backward(*inputs, seed=seed)
        assert [g.tobytes() for g in grads] == [g.tobytes() for g in again]


def test_backward_passes_nan_on_and_skips_indices_out_of_range(kernels, rng):
    queries, points = cloud("random", rng, 1, 4), cloud("random", rng, 1, 6)
    grad = np.array([[[np.nan], [np.inf], [1], [1]]], np.float32)
    idx = np.array([[[0], [1], [-3], [6]]], np.int32)
    to_queries, to_points = kernels.knn_backward(grad, queries, points, idx)
    assert np.isnan(to_queries[0, 0]).all() and np.isnan(to_points[0, 0]).all()
    assert np.isinf(to_queries[0, 1]).all() and np.isinf(to_points[0, 1]).all()
    assert (to_queries[0, 2:] == 0).all() and (to_points[0, 2:] == 0).all()
    wild = np.array([[-1, 6, 2**31 - 1, -(2**31)]], np.int32)
    grads, wild_too = (grad[..., 0], np.ones((1, 6), np.float32)), np.full((1, 6), 9, np.int32)
    inputs = (*grads, queries, points, wild, wild_too)
    assert all((g == 0).all() for g in kernels.chamfer_backward(*inputs))


# farthest point sampling


@pytest.mark.parametrize("kind, N, m", of_kinds((1030, 9), (70, 20), (70, 70), (1, 1)))
def test_farthest_points(kernels, rng, kind, N, m):
    points = cloud(kind, rng, 2, N)
    chosen = rng.integers(0, N, (2, 1)).astype(np.int32)
    expected = reference.farthest_points(points, m, start=chosen[:, 0])
    for seed in (0, 2):
        np.testing.assert_array_equal(kernels.farthest_points(points, chosen, m, seed), expected)


@pytest.mark.parametrize("types, N", of_types(4200, 50, 1500, 3000, 8300))
def test_farthest_points_after_chosen_ones(kernels, rng, types, N):
    """Repeats among the chosen, and clouds of each size class, the last beyond the registers."""
    points = cloud("grid", rng, 1, N, dtype=types[0])
    chosen = np.array([[7, N - 1, 7, 7, 3, N - 1, 40, 3]], types[1])
    for m, seed in ((2, 0), (4, 1), (7, 2)):
        expected = reference.farthest_points(points, m, chosen=chosen)
        np.testing.assert_array_equal(kernels.farthest_points(points, chosen, m, seed), expected)


@pytest.mark.parametrize("types", TYPES)
def test_farthest_points_of_a_large_cloud(kernels, rng, types):
    points = cloud("few bad", rng, 2, 32800, dtype=types[0])
    chosen = np.array([[7, 32799, 7, 3], [5, 5, 5, 5]], types[1])
    for m, seed in ((1, 0), (2, 1), (6, 2)):
        expected = reference.farthest_points(points, m, chosen=chosen)
        np.testing.assert_array_equal(kernels.farthest_points(points, chosen, m, seed), expected)
    none = np.array([[-1], [32800]], types[1])
    expected = reference.farthest_points(points, 3)
    np.testing.assert_array_equal(kernels.farthest_points(points, none, 3), expected)


def test_farthest_points_skips_indices_out_of_range(kernels, rng):
    points = cloud("random", rng, 1, 90)
    wild = np.array([[-1, 90, 2**31 - 1, 4, -(2**31)]], np.int32)
    np.testing.assert_array_equal(
        kernels.farthest_points(points, wild, 5), reference.farthest_points(points, 5, start=4)
    )


def test_farthest_points_of_nothing(kernels):
    kernels.farthest_points(np.zeros((0, 4, 3), np.float32), np.zeros((0, 1), np.int32), 2)
