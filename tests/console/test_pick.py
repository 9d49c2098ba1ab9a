"""Samples of one cloud of any size."""

import numpy as np
import pytest

from samplenet import InputError
from samplenet.console import pick
from samplenet.ops import reference


@pytest.mark.parametrize("n, m", [(1, 1), (300, 300), (2000, 100)])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_farthest_points_are_those_of_the_ops(n, m, kind):
    rng = np.random.default_rng(0)
    for points in (
        rng.normal(size=(n, 3)).astype(kind),
        rng.integers(0, 4, (n, 3)).astype(kind),
    ):  # many ties
        np.testing.assert_array_equal(
            pick.farthest_points(points, m), reference.farthest_points(points[None], m)[0]
        )
        chosen = rng.integers(0, n, 20)
        expected = reference.farthest_points(points[None], m, chosen=chosen[None])[0]
        np.testing.assert_array_equal(pick.farthest_points(points, m, chosen), expected)


def test_a_grid_gives_one_point_a_cell():
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    near = np.concatenate(
        [corners + shift for shift in (0, 0.1, 0.3)]
    )  # of each cell the middle one is nearest its mean
    assert sorted(pick.grid(near, cell=0.5)) == list(range(8, 16))
    with pytest.raises(InputError, match="are too small"):
        pick.grid(near, cell=1e-9)


@pytest.mark.parametrize("m", [1, 2, 37, 500])
def test_a_grid_gives_exactly_m_distinct_points(m):
    rng = np.random.default_rng(0)
    for points in (
        rng.normal(size=(500, 3)),
        np.repeat(rng.normal(size=(5, 3)), 100, 0),
        np.zeros((500, 3)),
    ):
        idx = pick.grid(points, m)
        assert len(idx) == len(set(idx.tolist())) == m
        assert idx.min() >= 0 and idx.max() < 500
