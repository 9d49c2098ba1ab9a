"""Values by eye, agreement with the reference, and the error contract, for every backend."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samplenet import InputError
from samplenet.ops import reference

SQUARE = np.array([[[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]], np.float32)
DTYPES = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]


def clouds(seed, *shape, grid=False):
    rng = np.random.default_rng(seed)
    return (rng.integers(-2, 3, (*shape, 3)) if grid else rng.normal(size=(*shape, 3))).astype(
        np.float32
    )


# by eye


def test_knn_squared_distances_nearest_first(backend):
    points = np.array([[[3, 0, 0], [1, 0, 0], [0, 2, 0]]], np.float32)
    dist2, idx = backend.knn(np.zeros((1, 1, 3), np.float32), points, 3)
    assert idx.tolist() == [[[1, 2, 0]]]
    assert dist2.tolist() == [[[1, 4, 9]]]


def test_equidistant_points_come_lowest_index_first(backend):
    points = np.array([[[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, 0, 1]]], np.float32)
    _, idx = backend.knn(np.zeros((1, 1, 3), np.float32), points, 3)
    assert idx.tolist() == [[[0, 1, 2]]]


def test_chamfer_of_a_square_and_its_shifted_corner(backend):
    near = backend.chamfer(SQUARE, np.array([[[0, 0, 2]]], np.float32))
    assert near.a2b.tolist() == [[4, 5, 6, 5]]
    assert near.b2a.tolist() == [[4]]
    assert near.idx_ab.tolist() == [[0, 0, 0, 0]]
    assert near.idx_ba.tolist() == [[0]]


def test_farthest_points_takes_the_opposite_corner_then_the_lowest_index(backend):
    assert backend.farthest_points(SQUARE, 4).tolist() == [[0, 2, 1, 3]]
    assert backend.farthest_points(SQUARE, 2, start=3).tolist() == [[3, 1]]


def test_farthest_points_start_may_differ_by_cloud(backend):
    two = np.concatenate([SQUARE, SQUARE])
    assert backend.farthest_points(two, 2, start=np.array([0, 3])).tolist() == [[0, 2], [3, 1]]


def test_chosen_points_keep_their_order_lose_repeats_and_are_completed(backend):
    chosen = np.array([[1, 1, 0, 1]])
    assert backend.farthest_points(SQUARE, 4, chosen=chosen).tolist() == [[1, 0, 2, 3]]


def test_more_distinct_chosen_points_than_m_leave_the_first_m(backend):
    assert backend.farthest_points(SQUARE, 2, chosen=np.array([[3, 3, 2, 1]])).tolist() == [[3, 2]]


def test_indices_stay_distinct_when_all_points_coincide(backend):
    assert backend.farthest_points(np.ones((1, 5, 3), np.float32), 5, start=2).tolist() == [
        [2, 0, 1, 3, 4]
    ]


def test_ball_query_finds_the_lowest_indices_and_repeats_the_first(backend):
    idx, count = backend.ball_query(SQUARE[:, 1:3], SQUARE, 1.1, 5)
    assert idx.tolist() == [[[0, 1, 2, 0, 0], [1, 2, 3, 1, 1]]] and count.tolist() == [[3, 3]]
    idx, count = backend.ball_query(SQUARE[:, 1:3], SQUARE, 1.1, 2)
    assert idx.tolist() == [[[0, 1], [1, 2]]] and count.tolist() == [[2, 2]]


def test_a_point_at_the_radius_is_not_in_the_ball(backend):
    idx, count = backend.ball_query(SQUARE[:, 2:], SQUARE, 1, 2)
    assert idx.tolist() == [[[2, 2], [3, 3]]] and count.tolist() == [[1, 1]]


def test_an_empty_ball_has_zeros_and_a_count_of_zero(backend):
    idx, count = backend.ball_query(SQUARE + 9, SQUARE, 2.0, 3)
    assert not idx.any() and idx.shape == (1, 4, 3) and count.tolist() == [[0] * 4]
    idx, count = backend.ball_query(SQUARE[:, :0], SQUARE, 2.0, 3)
    assert idx.shape == (1, 0, 3) and count.shape == (1, 0)


@pytest.mark.parametrize("name", ["torch native", "tf native"])
@pytest.mark.parametrize("radius", [0.1, 1.0])
def test_large_clouds_have_the_balls_of_small_ones(serve, unchecked, name, radius):
    """A tree serves sparse balls, a search in the order of the indices full ones."""
    queries, points = clouds(0, 1, 600), clouds(1, 1, 5000)
    queries[0, 0], points[0, 7] = np.inf, np.inf
    want = reference.ball_query(queries, points, radius, 9)
    with serve(name) as ops:
        got = ops.ball_query(queries, points, radius, 9)
    for a, b in zip(want, got, strict=True):
        np.testing.assert_array_equal(a, b)


def test_gather_takes_rows_of_each_cloud(backend):
    points = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    assert backend.gather(points, np.array([[2], [0]])).tolist() == [[[4, 5]], [[6, 7]]]


def test_millimetres_do_not_confuse_farthest_points(backend):
    scaled = SQUARE * np.float32(1e6)
    assert backend.farthest_points(scaled, 4).tolist() == [[0, 2, 1, 3]]
    tiny = SQUARE * np.float32(1e-6)
    assert backend.farthest_points(tiny, 4).tolist() == [[0, 2, 1, 3]]


# against the reference


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_agrees_with_the_reference_exactly(eager, data):
    batch, m, n = (data.draw(st.integers(low, high)) for low, high in ((0, 3), (0, 20), (1, 40)))
    k, grid, seed = (
        data.draw(st.integers(1, n)),
        data.draw(st.booleans()),
        data.draw(st.integers(0, 999)),
    )
    queries, points = clouds(seed, batch, m, grid=grid), clouds(seed + 1, batch, n, grid=grid)
    for want, got in zip(
        reference.knn(queries, points, k), eager.knn(queries, points, k), strict=True
    ):
        np.testing.assert_array_equal(got, want)
    radius, most = data.draw(st.sampled_from([0.3, 1, 2.0])), data.draw(st.integers(1, 50))
    for want, got in zip(
        reference.ball_query(queries, points, radius, most),
        eager.ball_query(queries, points, radius, most),
        strict=True,
    ):
        np.testing.assert_array_equal(got, want)
    chosen = np.random.default_rng(seed).integers(0, n, (batch, data.draw(st.integers(1, 30))))
    for kwargs in ({}, {"start": n - 1}, {"chosen": chosen}):
        want = reference.farthest_points(points, k, **kwargs)
        np.testing.assert_array_equal(eager.farthest_points(points, k, **kwargs), want)
        assert all(len(set(row)) == k for row in want.tolist())
    if m:
        for want, got in zip(
            reference.chamfer(queries, points), eager.chamfer(queries, points), strict=True
        ):
            np.testing.assert_array_equal(got, want)


def test_the_shapes_of_the_experiments(backend):
    queries, points = clouds(0, 2, 64), clouds(1, 2, 1024)
    for want, got in zip(
        reference.knn(queries, points, 7), backend.knn(queries, points, 7), strict=True
    ):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("limit", [1, 50, 1000])
def test_chunks_give_the_same_answer(backend, limit, monkeypatch):
    if backend.name == "reference" or "native" in backend.name:
        pytest.skip(f"{backend.name} has no chunks")
    monkeypatch.setattr(f"samplenet.ops.{backend.name.split()[0]}.search.MAX_DISTANCES", limit)
    queries, points = clouds(0, 2, 17), clouds(1, 2, 9)
    for op, args in (("knn", (4,)), ("ball_query", (1.5, 4))):
        want, got = (getattr(o, op)(queries, points, *args) for o in (reference, backend))
        for expected, found in zip(want, got, strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: np.dtype(d).name)
def test_dtypes_in_and_out(backend, dtype):
    queries, points = clouds(0, 1, 5).astype(dtype), clouds(1, 1, 9).astype(dtype)
    dist2, idx = backend.knn(queries, points, 3)
    assert dist2.dtype == (np.float64 if dtype is np.float64 else np.float32)
    assert idx.dtype == np.int32
    want = reference.knn(queries.astype(dist2.dtype), points.astype(dist2.dtype), 3)
    np.testing.assert_array_equal(idx, want[1])
    np.testing.assert_array_equal(dist2, want[0])
    # 0.7 * 0.7 has other bits in float32 than in float64
    want = reference.ball_query(queries.astype(dist2.dtype), points.astype(dist2.dtype), 0.7, 3)
    for expected, found in zip(want, backend.ball_query(queries, points, 0.7, 3), strict=True):
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, expected)


def test_non_contiguous_input(backend):
    wide = clouds(0, 2, 9, grid=False).transpose(0, 2, 1).copy().transpose(0, 2, 1)
    assert not wide.flags.c_contiguous
    for want, got in zip(
        backend.knn(wide.copy(), wide.copy(), 2), backend.knn(wide, wide, 2), strict=True
    ):
        np.testing.assert_array_equal(got, want)


def test_empty_batch_and_empty_queries(backend):
    assert backend.knn(clouds(0, 0, 4), clouds(0, 0, 5), 2)[0].shape == (0, 4, 2)
    assert backend.knn(clouds(0, 2, 0), clouds(0, 2, 5), 2)[1].shape == (2, 0, 2)
    assert backend.farthest_points(clouds(0, 0, 5), 3).shape == (0, 3)


def test_non_finite_coordinates_unchecked_stay_in_bounds(backend, unchecked):
    points = clouds(0, 2, 12)
    points[0, 3], points[1, :, 1], points[1, 4] = np.nan, np.inf, -np.inf
    _, idx = backend.knn(points, points, 12)
    assert idx.min() >= 0 and idx.max() < 12
    picks = backend.farthest_points(points, 12)
    assert sorted(picks[0].tolist()) == sorted(picks[1].tolist()) == list(range(12))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_distance_that_is_not_a_number_counts_as_infinite(backend, unchecked, value):
    points = np.array([[[value, 0, 0], [1, 0, 0], [3, 0, 0]]], np.float32)
    dist2, idx = backend.knn(points, points, 3)
    assert dist2[0].tolist() == [[np.inf] * 3, [0, 4, np.inf], [0, 4, np.inf]]
    assert idx[0].tolist() == [[0, 1, 2], [1, 2, 0], [2, 1, 0]]
    near = backend.chamfer(points[:, :1], points)
    assert near.a2b.tolist() == [[np.inf]] and near.b2a.tolist() == [[np.inf] * 3]
    assert near.idx_ab.tolist() == [[0]] and near.idx_ba.tolist() == [[0, 0, 0]]
    assert backend.farthest_points(points, 3, start=1).tolist() == [[1, 0, 2]]


def test_clouds_of_any_coordinates_give_the_numbers_of_the_reference(backend, unchecked):
    queries, points = clouds(0, 3, 20), clouds(1, 3, 40)
    for seed, cloud in enumerate((queries, points)):
        rng = np.random.default_rng(seed)
        # 1e30 overflows when squared
        special = rng.choice([np.nan, np.inf, -np.inf, 1e30], cloud.shape)
        np.copyto(cloud, special.astype(np.float32), where=rng.random(cloud.shape) < 0.1)
    for op, args in (
        ("knn", (queries, points, 40)),
        ("knn", (queries, points, 3)),
        ("chamfer", (queries, points)),
        ("ball_query", (queries, points, 1.5, 7)),
        ("ball_query", (queries, points, 1e25, 7)),  # also overflows when squared
    ):
        for want, got in zip(
            getattr(reference, op)(*args), getattr(backend, op)(*args), strict=True
        ):
            np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(
        backend.farthest_points(points, 40), reference.farthest_points(points, 40)
    )


# clouds of different sizes in one batch: docs/faq.md

LENGTHS = (9, 5, 1)


def padded(seed, value=None):
    """Clouds of LENGTHS points, alone and in one batch, padded by `value` or their first point."""
    alone = [clouds(seed + i, 1, n) for i, n in enumerate(LENGTHS)]
    fill = [cloud[0, 0] if value is None else value for cloud in alone]
    batch = [
        np.concatenate([c[0], np.tile(f, (9 - c.shape[1], 1))])
        for c, f in zip(alone, fill, strict=True)
    ]
    return alone, np.stack(batch).astype(np.float32)


def test_padding_with_points_at_infinity_leaves_the_nearest_points(backend, unchecked):
    (alone, points), (queries, many_queries) = padded(0, [np.inf] * 3), padded(10)
    for k in (1, 2, 5):
        dist2, idx = backend.knn(many_queries, points, k)
        for i, n in enumerate(LENGTHS):
            near = min(k, n)  # the others are at an infinite distance
            want_dist2, want_idx = reference.knn(queries[i], alone[i], near)
            np.testing.assert_array_equal(dist2[i, :n, :near], want_dist2[0])
            np.testing.assert_array_equal(idx[i, :n, :near], want_idx[0])
            assert np.isinf(dist2[i, :n, near:]).all()


@pytest.mark.parametrize("value", [[np.inf] * 3, None])
def test_padding_leaves_the_balls(backend, unchecked, value):
    (alone, points), (queries, many_queries) = padded(0, value), padded(10)
    idx, count = backend.ball_query(many_queries, points, 1.5, 6)
    for i, n in enumerate(LENGTHS):
        want_idx, want_count = reference.ball_query(queries[i], alone[i], 1.5, 6)
        if value:
            np.testing.assert_array_equal(idx[i, :n], want_idx[0])
            np.testing.assert_array_equal(count[i, :n], want_count[0])
        # copies may take the place of repeats: the same points
        picked = np.where(idx[i, :n] < n, idx[i, :n], 0)
        for found, want in zip(picked, want_idx[0], strict=True):
            assert set(found) == set(want)


def test_padding_with_copies_of_a_point_leaves_chamfer_distances_and_farthest_points(backend):
    (alone_a, a), (alone_b, b) = padded(0), padded(10)
    near, picks = backend.chamfer(a, b), backend.farthest_points(a, 9)
    for i, n in enumerate(LENGTHS):
        for got, want in zip(near, reference.chamfer(alone_a[i], alone_b[i]), strict=True):
            np.testing.assert_array_equal(got[i, :n], want[0])
        np.testing.assert_array_equal(picks[i, :n], reference.farthest_points(alone_a[i], n)[0])


def test_farthest_points_pick_padding_at_infinity_at_once(backend, unchecked):
    _, points = padded(0, [np.inf] * 3)
    assert backend.farthest_points(points, 2)[1].tolist() == [0, 5]  # point 5 of 5 is padding


# gradients


@pytest.mark.parametrize("name", ["tf", "tf native"])
def test_gradients_against_finite_differences(serve, name):
    tf = pytest.importorskip("tensorflow")
    a, b = (tf.constant(clouds(s, 2, n).astype(np.float64)) for s, n in ((0, 5), (1, 7)))

    def total(a, b):
        near = ops.chamfer(a, b)
        return (
            tf.reduce_sum(near.a2b**2)
            + tf.reduce_sum(near.b2a)
            + tf.reduce_sum(ops.knn(a, b, 3)[0] ** 1.5)
        )

    with serve(name) as ops:
        analytic, numeric = tf.test.compute_gradient(total, [a, b], delta=1e-6)
    for got, want in zip(analytic, numeric, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


# errors

GOOD = clouds(0, 2, 6)
BAD_CALLS = {
    "rank": (lambda o: o.knn(GOOD[0], GOOD, 1), "queries"),
    "two columns": (lambda o: o.knn(GOOD, GOOD[..., :2], 1), "points"),
    "integers": (lambda o: o.knn(GOOD.astype(np.int32), GOOD.astype(np.int32), 1), "int32"),
    "mixed dtypes": (lambda o: o.knn(GOOD.astype(np.float16), GOOD, 1), "float16"),
    "batch sizes": (lambda o: o.knn(GOOD[:1], GOOD, 1), "batch size"),
    "k zero": (lambda o: o.knn(GOOD, GOOD, 0), "got 0"),
    "k above N": (lambda o: o.knn(GOOD, GOOD, 7), "got 7"),
    "k no integer": (lambda o: o.knn(GOOD, GOOD, 1.5), "1.5"),
    "knn without points": (lambda o: o.knn(GOOD, GOOD[:, :0], 1), "points is empty"),
    "ball rank": (lambda o: o.ball_query(GOOD[0], GOOD, 1, 1), "queries"),
    "ball without points": (lambda o: o.ball_query(GOOD, GOOD[:, :0], 1, 1), "points is empty"),
    "ball k zero": (lambda o: o.ball_query(GOOD, GOOD, 1, 0), "k must be at least 1, got 0"),
    "ball k no integer": (lambda o: o.ball_query(GOOD, GOOD, 1, 2.0), "k must be an integer"),
    "radius zero": (lambda o: o.ball_query(GOOD, GOOD, 0, 1), "positive number, .* got 0"),
    "radius not finite": (lambda o: o.ball_query(GOOD, GOOD, np.nan, 1), "got nan"),
    "radius above float32": (lambda o: o.ball_query(GOOD, GOOD, 1e39, 1), "3.4e.38, got 1e.39"),
    "radius of float32's subnormals": (lambda o: o.ball_query(GOOD, GOOD, 1e-38, 1), "got 1e-38"),
    "radius below float32": (lambda o: o.ball_query(GOOD, GOOD, 1e-50, 1), "got 1e-50"),
    "radius infinite": (lambda o: o.ball_query(GOOD, GOOD, np.inf, 1), "got inf"),
    "radius no float": (lambda o: o.ball_query(GOOD, GOOD, 10**400, 1), "got 1000"),
    "radius for float64": (
        lambda o: o.ball_query(GOOD.astype(float), GOOD.astype(float), 1e39, 1),
        "got 1e.39",
    ),
    "radius no number": (lambda o: o.ball_query(GOOD, GOOD, GOOD, 1), "radius must be"),
    "chamfer empty": (lambda o: o.chamfer(GOOD[:, :0], GOOD), "a is empty"),
    "m above N": (lambda o: o.farthest_points(GOOD, 7), "got 7"),
    "m zero": (lambda o: o.farthest_points(GOOD, 0), "got 0"),
    "fps empty": (lambda o: o.farthest_points(GOOD[:, :0], 1), "points is empty"),
    "start outside": (lambda o: o.farthest_points(GOOD, 2, start=6), "start"),
    "start negative": (lambda o: o.farthest_points(GOOD, 2, start=-1), "start"),
    "start by cloud": (lambda o: o.farthest_points(GOOD, 2, start=np.zeros(3, int)), "start"),
    "chosen outside": (lambda o: o.farthest_points(GOOD, 2, chosen=np.full((2, 1), 6)), "chosen"),
    "chosen beyond int32": (
        lambda o: o.farthest_points(GOOD, 2, chosen=np.full((2, 1), 2**32)),
        "4294967296",
    ),
    "chosen float": (lambda o: o.farthest_points(GOOD, 2, chosen=np.zeros((2, 1))), "float64"),
    "chosen none": (lambda o: o.farthest_points(GOOD, 2, chosen=np.zeros((2, 0), int)), "chosen"),
    "gather rank": (lambda o: o.gather(GOOD[0], np.zeros((2, 1), int)), "points"),
    "gather outside": (lambda o: o.gather(GOOD, np.full((2, 1), 6)), "idx"),
    "gather float": (lambda o: o.gather(GOOD, np.zeros((2, 1))), "float64"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_errors_name_the_argument_and_the_value(eager, case):
    call, words = BAD_CALLS[case]
    with pytest.raises(InputError, match=words):
        call(eager)


GRAPH_CALLS = {
    "k must be in": lambda o, p, i: o.knn(p, p, 7),
    "m must be in": lambda o, p, i: o.farthest_points(p, 7),
    "chosen must be in": lambda o, p, i: o.farthest_points(p, 3, chosen=i),
    "idx must be in": lambda o, p, i: o.gather(p, i),
    "points is empty": lambda o, p, i: o.ball_query(p, p[:, 6:], 1.0, 2),
    "b is empty": lambda o, p, i: o.chamfer(p, p[:, 6:]),
    "NaN or infinite": lambda o, p, i: o.knn(p / 0.0, p, 2),
}


@pytest.mark.parametrize("words", GRAPH_CALLS)
@pytest.mark.parametrize("name", ["tf", "tf native"])
def test_a_graph_of_unknown_sizes_says_the_same(serve, name, words):
    tf = pytest.importorskip("tensorflow")
    signature = [tf.TensorSpec((None, None, 3)), tf.TensorSpec((None, None), tf.int32)]
    with serve(name) as ops:
        traced = tf.function(lambda p, i: GRAPH_CALLS[words](ops, p, i), input_signature=signature)
        for _ in range(5):  # whatever order the graph's operations run in
            with pytest.raises(tf.errors.InvalidArgumentError, match=words):
                traced(GOOD, np.full((2, 2), 6, np.int32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_coordinates_are_an_error_when_checked(eager, value):
    bad = GOOD.copy()
    bad[1, 2, 0] = value
    for call in (
        lambda: eager.knn(GOOD, bad, 1),
        lambda: eager.chamfer(bad, GOOD),
        lambda: eager.ball_query(GOOD, bad, 1.0, 1),
        lambda: eager.farthest_points(bad, 2),
    ):
        with pytest.raises(InputError, match="NaN or infinite"):
            call()
