"""Depth images: which points their pixels see, and how evenly a sample of them covers all."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from samplenet import InputError, depth
from samplenet.console import pick
from samplenet.ops import reference

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
CAMERA = (2.0, 4.0, 0.5, 1.0)  # fx, fy, cx, cy


@pytest.fixture(scope="module")
def rooms():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module("rooms")


def radius(points, sampled):
    """The largest distance of a point to the nearest of those sampled."""
    parts = np.array_split(points, max(1, len(points) * len(sampled) // 10**7))
    return max(
        np.sqrt(((part[:, None] - sampled) ** 2).sum(2).min(1).max()) for part in parts if len(part)
    )


def numbered(pixels, width):
    return (pixels.rows * width + pixels.columns).tolist()


def test_four_pixels_by_hand():
    image = np.array([[1000, 2000], [0, 4000]], np.uint16)
    seen = depth.cloud(image, CAMERA)
    # (column - 0.5) / 2 and (row - 1) / 4, times the depth
    assert seen.points.tolist() == [[-0.25, -0.25, 1], [0.5, -0.5, 2], [1, 0, 4]]
    assert seen.rows.tolist() == [0, 0, 1] and seen.columns.tolist() == [0, 1, 1]
    assert [array.dtype for array in seen] == [np.float32, np.int64, np.int64]
    picked = depth.sample(image, CAMERA, 2)
    assert picked.points.tolist() == [[-0.25, -0.25, 1], [1, 0, 4]]  # the first, and the farthest
    assert picked.rows.tolist() == [0, 1] and picked.columns.tolist() == [0, 1]


def test_points_project_onto_their_pixels():
    image = np.random.default_rng(0).uniform(0.3, 9, (48, 64))
    fx, fy, cx, cy = camera = (60.0, 55.0, 30.2, 25.1)
    for x_y_z, rows, columns in (depth.cloud(image, camera), depth.sample(image, camera, 4)):
        x, y, z = x_y_z.T.astype(float)
        np.testing.assert_allclose(x / z * fx + cx, columns, atol=1e-4)
        np.testing.assert_allclose(y / z * fy + cy, rows, atol=1e-4)
        np.testing.assert_allclose(z, image[rows, columns], rtol=1e-6)


@pytest.mark.parametrize("kind", [np.uint16, np.float16, np.float32, np.float64, ">u2", ">f4"])
def test_millimetres_and_metres_in_any_layout(kind):
    image = np.arange(1, 13).reshape(3, 4) * (250 if np.dtype(kind).kind == "u" else 0.25)
    image = image.astype(kind)
    expected = depth.cloud(image, CAMERA)
    assert expected.points[:, 2].tolist() == [0.25 * i for i in range(1, 13)]
    strided = np.repeat(np.repeat(image, 2, 0), 3, 1)[::2, ::3]
    for same in (strided, np.asfortranarray(image), image[::-1, ::-1][::-1, ::-1]):
        for a, b in zip(depth.cloud(same, CAMERA), expected, strict=True):
            assert np.array_equal(a, b)
        assert len(depth.sample(same, CAMERA, 12).points) == 12


def test_pixels_without_a_depth_see_nothing():
    image = np.array([[np.nan, np.inf, -np.inf, -1], [0, 5.01, 5, 1e-3]])
    assert numbered(depth.cloud(image, CAMERA, far=5), 4) == [6, 7]
    assert sorted(numbered(depth.sample(image, CAMERA, 2, far=5), 4)) == [6, 7]
    assert numbered(depth.cloud(image, CAMERA), 4) == [5, 6, 7]
    assert numbered(depth.cloud(np.array([[0, 65535]], np.uint16), CAMERA), 2) == [1]


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"depth": np.zeros((4, 4, 1), np.uint16)}, r"shape \(H, W\), got \(4, 4, 1\)"),
        ({"depth": np.ones((4, 4), np.int32)}, "uint16 .millimetres. or floating .*, got int32"),
        ({"depth": np.ones((4, 4), bool)}, "got bool"),
        ({"depth": np.zeros((4, 4), np.uint16)}, "none of the 16 pixels has a depth$"),
        ({"depth": np.full((2, 4), np.nan)}, "none of the 8 pixels has a depth$"),
        ({"depth": np.empty((0, 4))}, "none of the 0 pixels has a depth$"),
        ({"far": 0.5}, "none of the 16 pixels has a depth of at most 0.5 m"),
        ({"far": 0}, "far must be above 0 metres, got 0"),
        ({"far": np.nan}, "far must be above 0 metres, got nan"),
        ({"intrinsics": (1, 1, 0)}, r"fx, fy, cx, cy in pixels.*, got \(1, 1, 0\)"),
        ({"intrinsics": np.eye(3)}, "the four numbers fx, fy, cx, cy"),
        ({"intrinsics": (1, 0, 0, 0)}, "fx and fy above 0, got"),
        ({"intrinsics": (1, 1, np.nan, 0)}, "the four numbers"),
        ({"intrinsics": "camera"}, "the four numbers .* got 'camera'"),
        ({"intrinsics": [1, [2, 3], 4, 5]}, "the four numbers"),
        ({"m": 17}, r"m must be in \[1, 16\], the pixels that see a point, got 17"),
        ({"m": 0}, r"m must be in \[1, 16\]"),
        ({"m": 2.0}, "m must be a whole number, got 2.0"),
    ],
)
def test_bad_input_is_named(change, sentence):
    right = {"depth": np.ones((4, 4)), "intrinsics": CAMERA, "m": 4}
    assert len(depth.sample(**right).points) == 4
    with pytest.raises(InputError, match=sentence):
        depth.sample(**right | change)
    if "m" not in change:
        with pytest.raises(InputError, match=sentence):
            depth.cloud(**{key: v for key, v in (right | change).items() if key != "m"})


def test_a_small_image_is_sampled_as_a_whole():
    image = np.random.default_rng(1).uniform(1, 5, (30, 40)).astype(np.float32)
    image[3] = 0
    points, rows, columns = depth.cloud(image, CAMERA)
    picked = reference.farthest_points(points[None], 16)[0]
    sampled = depth.sample(image, CAMERA, 16)
    assert np.array_equal(sampled.points, points[picked])
    assert np.array_equal(sampled.rows, rows[picked])
    assert np.array_equal(sampled.columns, columns[picked])


@pytest.mark.parametrize("seed", range(4))
def test_a_sample_covers_a_room_as_farthest_points_of_all_pixels_do(rooms, seed):
    m, shape = 128, (240, 320)  # 600 pixels for each one sampled; 900 in a large image to 1024
    image, camera = rooms.room(seed, *shape), rooms.intrinsics(*shape)
    everything = depth.cloud(image, camera)
    exact = everything.points[pick.farthest_points(everything.points, m)]
    sampled = depth.sample(image, camera, m)
    assert len(set(numbered(sampled, shape[1]))) == m
    assert radius(everything.points, sampled.points) <= 1.1 * radius(everything.points, exact)
    z = image[sampled.rows, sampled.columns] / np.float32(1000)
    np.testing.assert_allclose(sampled.points[:, 2], z, rtol=1e-6)


@pytest.mark.parametrize("noise", [False, True])
def test_farthest_points_are_picked_from_128_pixels_for_each_one(rooms, monkeypatch, noise):
    pools, farthest_points = [], depth._farthest_points
    monkeypatch.setattr(
        depth, "_farthest_points", lambda p, m: pools.append(p) or farthest_points(p, m)
    )
    depth.sample(rooms.room(0, 240, 320, noise), rooms.intrinsics(240, 320), 100)
    assert len(pools[0]) == pytest.approx(12800, rel=0.02)


@pytest.mark.parametrize("packages", [{"torch": "torch"}, {"tf": "tensorflow"}, {}])
def test_a_sample_is_the_same_each_time_with_each_framework_and_none(rooms, monkeypatch, packages):
    for package in packages.values():
        pytest.importorskip(package)
    monkeypatch.setattr(depth.pretrained, "PACKAGES", packages)
    image, camera = rooms.room(7, 240, 320, noise=True), rooms.intrinsics(240, 320)
    pixels, width = depth.cloud(image, camera), image.shape[1]
    pool = depth._thin(depth._metres(image, np.inf), np.array(camera), 64 * depth.POOL)
    points = pixels.points[np.searchsorted(pixels.rows * width + pixels.columns, pool)]
    picked = pool[reference.farthest_points(points[None], 64)[0]].tolist()
    assert numbered(depth.sample(image, camera, 64), width) == picked
    assert numbered(depth.sample(image, camera, 64), width) == picked


def test_a_lone_far_pixel_is_found():
    image = np.full((240, 320), 1.0, np.float32)
    image[100, 200] = 5
    sampled = depth.sample(image, (300, 300, 160, 120), 32)
    assert numbered(sampled, 320)[1] == 100 * 320 + 200


def test_an_image_of_one_row_is_sampled():
    image = np.linspace(1, 9, 100_000)[None]
    assert len(depth.sample(image, (500, 500, 50_000, 0), 2).points) == 2


@pytest.mark.parametrize("seed", range(40))
def test_any_pattern_of_holes_leaves_enough_pixels(seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 200, 2)
    image = rng.choice([0, 1000, 1001, 65535], (height, width)).astype(np.uint16)
    image[rng.random(image.shape) < rng.random()] = 0
    image[: rng.integers(height)] = 0
    image[0, 0] = 1000
    m = min(int(rng.integers(1, 20)), np.count_nonzero(image))
    sampled = depth.sample(image, (width, width, width / 2, height / 2), m)
    assert len(set(numbered(sampled, width))) == m
    assert (image[sampled.rows, sampled.columns] > 0).all()
