"""Pixel-point pairs: what a pixel shows, which are chosen, and the released layout."""

from types import SimpleNamespace

import numpy as np
import pytest

from samplenet import InputError, normalisation
from samplenet.data import cameras, shapes
from samplenet.data.views import rays
from samplenet.data.views.meshes import Surface

SETTINGS = SimpleNamespace(
    pairs_root=None,
    frames_root=None,
    rooms=None,
    classes=["bowl", "chair", "lamp", "table"],
    shapes_per_class=1,
    num_points=300,
    num_views=4,
    image_size=16,
)


@pytest.fixture(scope="module")
def objects(scripts, tmp_path_factory):
    """One built-in shape of each of four classes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMPLENET_DATA", str(tmp_path_factory.mktemp("data")))
        drawn = scripts.pixel_pairs.open_pairs(SETTINGS)
        patch.setattr(scripts.built_in_pairs, "draw", None)  # the second time they are read
        again = scripts.pixel_pairs.open_pairs(SETTINGS)
    np.testing.assert_array_equal(drawn.images, again.images)
    return again


def test_built_in_shapes_have_normalised_clouds_and_pictures_of_all_sides(scripts, objects):
    assert objects.points.shape == (4, 300, 3) and objects.images.shape == (4, 4, 16, 16, 3)
    assert objects.ids[1] == "chair/train/chair_0000" and objects.labels.tolist() == [0, 1, 2, 3]
    assert np.linalg.norm(objects.points, axis=-1).max() <= 1 + 1e-6
    for found in objects.pairs:
        assert {*found[:, 0]} == {0, 1, 2, 3} and found[:, 3].max() < 300
        assert len(found) == len(np.unique(found[:, [0, 3]], axis=0))  # once a view
    covered = (objects.images < 255).any(-1)
    found = objects.pairs[1]
    assert covered[1][found[:, 0], found[:, 1], found[:, 2]].mean() > 0.98


def test_a_pair_is_of_the_pixel_that_a_visible_point_projects_into(scripts):
    # a square of side 0.4 in front of the camera on +x, and one behind it that is twice as large
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1.0]])
    front = np.insert(0.2 * square, 0, 0.2, axis=1)
    back = np.insert(0.4 * square, 0, -0.2, axis=1)
    triangles = np.stack([c[[0, i, i + 1]] for c in (front, back) for i in (1, 2)])
    surface = Surface(triangles, np.ones((4, 3)), np.zeros(4, int))
    points = np.array([[0.2, 0.1, 0.1], [-0.2, 0.1, 0.1], [-0.2, 0.39, 0], [0.2, -0.1, 0]])
    views = cameras.extrinsic([0, 180], 0)
    seen = rays.visible(surface, views, points)
    assert seen.tolist() == [[True, False, True, True], [False, True, True, False]]
    found = scripts.built_in_pairs.pairs_of(points, views, 32, seen)
    K = 32 * 60 / 32
    # +y is up, in smaller rows; the camera on +x sees +z on its left
    row, column = 16 - K * 0.1 / 1.8, 16 - K * 0.1 / 1.8
    assert found[0].tolist() == [0, int(row), int(column), 0]
    assert found[1].tolist() == [0, int(16 - K * 0.39 / 2.2), 16, 2]
    assert found[:, 0].tolist() == [0, 0, 0, 1, 1]


def test_points_that_a_pixel_sees_lie_where_its_centre_sees_the_surface(scripts):
    """Compare with the exact pictures: the depth of a point and of its pixel's centre agree."""
    triangles, parts = shapes.mesh_in_parts("bowl", 0)
    surface = Surface(triangles, np.ones((len(triangles), 3)), parts).fitted()
    points = surface.cloud(400, np.random.default_rng(0)).points
    extrinsics = cameras.extrinsic([0, 90, 200], 30)
    found = scripts.built_in_pairs.pairs_of(
        points, extrinsics, 128, rays.visible(surface, extrinsics, points)
    )
    depth = rays.render(surface, extrinsics, 128, samples=1).depth
    shown = depth[found[:, 0], found[:, 1], found[:, 2]]
    _, own = cameras.project(points, extrinsics, cameras.intrinsics(128))
    own = own[found[:, 0], found[:, 3]]
    near = np.abs(shown - own) < 0.05
    assert near.mean() > 0.95  # the rest are at edges, where the centre sees past the surface


def test_farthest_points_take_all_their_pairs_or_one_each(scripts, selfsup):
    cloud = selfsup["du_pc"].astype(np.float32)
    start, rng = int(selfsup["du_fps_start"]), np.random.default_rng(0)
    # recorded: each point has a pair in view 1 and one in view 2, written as 100 * view + point
    twice = np.array([[view, 0, 0, point] for view in (1, 2) for point in range(64)], np.int16)
    chosen = scripts.pixel_pairs.choose(twice, cloud, 16, "fps", rng, start)
    recorded = selfsup["du_fps_ids_2per"]
    numbers = 100 * chosen[:, 0] + chosen[:, 3]
    assert numbers[:14].tolist() == recorded[:14].tolist()
    assert {*(numbers[14:] % 100)} == {*(recorded[14:] % 100)}  # drawn from the next point's
    once = twice[:64]
    assert scripts.pixel_pairs.choose(once, cloud, 16, "fps", rng, start)[:, 3].tolist() == (
        selfsup["du_fps_ids"].tolist()
    )
    sps = selfsup["du_sps_ids"]
    chosen = scripts.pixel_pairs.choose(twice, cloud, 16, "sps", rng, int(sps[0]))
    assert chosen[:, 3].tolist() == sps.tolist() and {*chosen[:, 0]} == {1, 2}


def test_pairs_are_chosen_at_random_or_again_where_points_are_few(scripts):
    cloud, rng = np.random.default_rng(0).normal(size=(5, 3)), np.random.default_rng(1)
    table = np.array([[view, 0, 0, point] for view in range(6) for point in range(4)], np.int16)
    chosen = scripts.pixel_pairs.choose(table, cloud, 24, "random", rng)
    assert len(np.unique(chosen, axis=0)) == 24
    chosen = scripts.pixel_pairs.choose(table, cloud, 10, "sps", rng)[:, 3].tolist()
    assert chosen[:4] == chosen[4:8] and chosen[8:] == chosen[:2] and {*chosen} == {0, 1, 2, 3}
    with pytest.raises(InputError, match="25 of 24 pairs"):
        scripts.pixel_pairs.choose(table, cloud, 25, "random", rng)
    with pytest.raises(InputError, match="random, fps, sps; got 'far'"):
        scripts.pixel_pairs.choose(table, cloud, 2, "far", rng)


def test_objects_with_too_few_pairs_are_left_out_and_named(scripts, objects, caplog):
    most = max(map(len, objects.pairs))
    kept = objects.with_pairs(most)
    assert len(kept) == 1 and len(kept.pairs[0]) == most
    assert "left out, with fewer than" in caplog.text
    with pytest.raises(InputError, match=f"no object has {most + 1} pairs"):
        objects.with_pairs(most + 1)
    with pytest.raises(InputError, match="--num-views must be at most the 4"):
        objects.first(300, 5)


def test_the_released_layout_is_read_as_it_was_written(scripts, objects, tmp_path):
    for i, name in enumerate(objects.ids):
        parts = objects.points[i], objects.images[i], objects.pairs[i]
        scripts.pair_files.write(tmp_path, name, *parts)
    folder = tmp_path / scripts.pair_files.VIEWS / "chair/train/chair_0000.off"
    assert (folder / "view_3.png").is_file() and (folder / "pix_point_3.txt").is_file()
    settings = SimpleNamespace(pairs_root=str(tmp_path), num_points=300, num_views=4)
    read = scripts.pixel_pairs.open_pairs(settings)
    assert read.names == ("bowl", "chair", "lamp", "table") and read.ids == objects.ids
    np.testing.assert_array_equal(read.images, objects.images)
    for own, other in zip(read.pairs, objects.pairs, strict=True):
        np.testing.assert_array_equal(own, other)
    np.testing.assert_allclose(
        read.points[1] - read.points[1].mean(0),
        normalisation.unit_sphere(objects.points[1]),
        atol=1e-5,
    )
    assert read.pairs[0].dtype == np.int32  # a file may have more points than int16 can number
    with pytest.raises(InputError, match="has no <class>/test/<name>.txt"):
        scripts.pair_files.read(tmp_path, "test")
    (folder / "pix_point_0.txt").write_text("3 4 900\n")
    with pytest.raises(InputError, match="pix_point_0.txt must name rows and columns below 16"):
        scripts.pixel_pairs.open_pairs(settings)
    (folder / "view_0.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match="view_0.png cannot be read"):
        scripts.pixel_pairs.open_pairs(settings)
