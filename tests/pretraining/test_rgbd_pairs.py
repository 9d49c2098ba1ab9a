"""Pairs from RGB-D frames: generated rooms, drawn with depth by cameras within them."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from samplenet import InputError
from samplenet.data import cameras, rooms
from samplenet.data.views import rays
from samplenet.data.views.meshes import Surface

SIZE = 48


@pytest.fixture(scope="module")
def scene(scripts, tmp_path_factory):
    """A scene of four frames in the layout on disk: two of one corner, one of another, one lost."""
    folder = tmp_path_factory.mktemp("scans") / "scene0000_00"
    meshes = rooms.generate_meshes(1)
    surface = Surface(meshes.triangles, meshes.colors, meshes.labels)
    x, y, _ = meshes.triangles.max((0, 1))
    looking = scripts.room_frames.looking
    poses = [
        looking((0.4, 0.4, 2.4), (0.6 * x, 0.6 * y, 1.0)),
        looking((0.6, 0.4, 2.5), (0.6 * x, 0.62 * y, 1.0)),
        looking((0.6 * x, 0.6 * y, 2.4), (0.1, 0.1, 2.2)),
    ]
    views = rays.render(surface, np.linalg.inv(poses), SIZE)
    for name in ("color", "depth", "pose", "intrinsic"):
        (folder / name).mkdir(parents=True)
    for k, pose in enumerate([*poses, np.full((4, 4), -np.inf)]):
        np.savetxt(folder / "pose" / f"{25 * k}.txt", pose)
        np.savetxt(folder / "pose" / f"{25 * k + 1}.txt", np.eye(4))  # is not read, nor its images
        if k < len(poses):
            color = np.round(255 * views.rgb[k]).astype(np.uint8)
            large = Image.fromarray(color).resize((2 * SIZE, 2 * SIZE))
            large.save(folder / "color" / f"{25 * k}.png")
            depth = np.round(1000 * views.depth[k]).astype(np.uint16)
            Image.fromarray(depth).save(folder / "depth" / f"{25 * k}.png")
    K = np.eye(4)
    K[:3, :3] = cameras.intrinsics(SIZE)
    K[:2, 2] -= 0.5  # pixel centres are whole numbers there
    np.savetxt(folder / "intrinsic" / "intrinsic_depth.txt", K)
    return folder


@pytest.fixture(scope="module")
def frames(scripts, scene):
    return scripts.rgbd_pairs.read_scene(scene, every=2)


def test_frames_are_read_without_the_lost_one(frames):
    assert frames.colors.shape == (3, SIZE, SIZE, 3) and frames.depths.shape == (3, SIZE, SIZE)
    assert frames.depths.min() > 0.3 and frames.depths.max() < 9


def test_a_frame_sees_its_own_points_where_they_are(scripts, frames):
    world = scripts.rgbd_pairs._world(frames, 0, 200)[0]
    assert (world > -0.1).all()  # the room's corner is the origin
    seen, pixels = scripts.rgbd_pairs.sees(frames, 0, world)
    assert seen.all()
    _, z = cameras.project(world, np.linalg.inv(frames.poses[0]), cameras.intrinsics(SIZE))
    np.testing.assert_allclose(frames.depths[0][*pixels.T], z, atol=2e-3)
    behind = frames.poses[0, :3, 3] - frames.poses[0, :3, 2]
    assert not scripts.rgbd_pairs.sees(frames, 0, behind[None])[0].any()


def test_frames_that_see_too_few_points_are_left_out(frames, caplog):
    depths = frames.depths.copy()
    depths[1].flat[100:] = 0
    kept = frames._replace(depths=depths).seeing(101)
    assert len(kept.colors) == len(kept.poses) == 2
    np.testing.assert_array_equal(kept.depths, frames.depths[[0, 2]])
    assert "left out 1 frames that see fewer than 101 points" in caplog.text


def test_frames_of_one_corner_are_a_pair(scripts, frames):
    assert [*scripts.rgbd_pairs.overlapping(frames)] == [(0, 1)]


def test_both_pixels_of_a_point_show_it(scripts, frames):
    points, images, pairs = scripts.rgbd_pairs.pair(frames, 0, 1, 300, size=SIZE)
    assert points.shape == (300, 3) and images.shape == (2, SIZE, SIZE, 3)
    assert np.linalg.norm(points, axis=1).max() == pytest.approx(1)
    own, other = (pairs[pairs[:, 0] == view] for view in (0, 1))
    assert len(own) == 300 and 90 < len(other) < 300
    # in the world, what the other frame's pixel sees is where the point is
    world = scripts.rgbd_pairs._world(frames, 0, 300)[0][other[:, 3]]
    _, row, column, _ = other.T
    pixels = np.stack([column + 0.5, row + 0.5], 1)
    found = cameras.unproject(
        pixels,
        frames.depths[1][row, column],
        np.linalg.inv(frames.poses[1]),
        cameras.intrinsics(SIZE),
    )
    assert np.linalg.norm(found - world, axis=1).max() < 0.15  # a pixel is up to 5 cm wide
    # z of the world is up, y of the points too
    height = scripts.rgbd_pairs._world(frames, 0, 300)[0][:, 2]
    assert np.corrcoef(height, points[:, 1])[0, 1] > 0.999
    smaller = scripts.rgbd_pairs.pair(frames, 0, 1, 300, size=16)
    assert smaller[1].shape == (2, 16, 16, 3) and smaller[2][:, 1:3].max() < 16


def test_metric_points_keep_their_distances_and_colours(scripts, frames):
    plain, _, pairs = scripts.rgbd_pairs.pair(frames, 0, 1, 300, size=SIZE)
    points, _, same = scripts.rgbd_pairs.pair(frames, 0, 1, 300, size=SIZE, metric=True)
    np.testing.assert_array_equal(same, pairs)
    world, _ = scripts.rgbd_pairs._world(frames, 0, 300)
    np.testing.assert_allclose(points[:, :3], world - world.mean(0), atol=1e-5)
    own = pairs[pairs[:, 0] == 0]
    seen = frames.colors[0][own[:, 1], own[:, 2]] / 255
    np.testing.assert_allclose(points[own[:, 3], 3:], seen - 0.5, atol=1e-6)


def test_frames_of_a_generated_room_overlap_and_lie_in_it(scripts):
    frames = scripts.room_frames.of_room(0, "train")
    size = rooms.generate_meshes(0).triangles.max((0, 1))
    for i in range(len(frames.poses)):
        world, _ = scripts.rgbd_pairs._world(frames, i, 200)
        assert (world > -0.06).all() and (world < size + 0.01).all()
    neighbours = [(i, i + 1) for i in range(len(frames.poses) - 1)]
    assert len({*neighbours} & {*scripts.rgbd_pairs.overlapping(frames)}) >= 6
    assert frames.depths.max() < 9  # no ray leaves the room


def test_scenes_are_data_to_pre_train_on(scripts, scene, monkeypatch):
    monkeypatch.setattr(scripts.rgbd_pairs.read_scene, "__defaults__", (2,))
    settings = SimpleNamespace(
        pairs_root=None, frames_root=str(scene.parent), num_points=100, num_views=2, image_size=24
    )
    objects = scripts.pixel_pairs.open_pairs(settings)
    assert objects.ids == ["scene0000_00/0-1"] and objects.images.shape == (1, 2, 24, 24, 3)
    assert len(objects.with_pairs(50)) == 1


def test_more_points_than_any_frame_sees_are_refused(scripts, scene):
    settings = SimpleNamespace(
        pairs_root=None,
        frames_root=str(scene.parent),
        num_points=SIZE**2 + 1,
        num_views=2,
        image_size=24,
    )
    words = f"no frame of {scene.parent} sees --num-points 2305 points, the most is 2304: ask for"
    with pytest.raises(InputError, match=words):
        scripts.pixel_pairs.open_pairs(settings)


@pytest.mark.parametrize("root", [None, "frames"])
def test_more_views_than_two_are_refused_before_a_frame_is_drawn(scripts, root, monkeypatch):
    monkeypatch.setattr(scripts.rgbd_pairs, "read", None)
    settings = scripts.pixel_pairs.PairsConfig(rooms=2, frames_root=root)
    with pytest.raises(InputError, match="must be at most the 2 of a pair of frames, got 12"):
        scripts.pixel_pairs.open_pairs(settings)


def test_damaged_scenes_are_named(scripts, scene, tmp_path):
    with pytest.raises(InputError, match="holds no scene, a folder with color, depth"):
        scripts.rgbd_pairs.read(scripts.rgbd_pairs.in_folder(tmp_path), 100, 24)
    (tmp_path / "scene" / "pose").mkdir(parents=True)
    (tmp_path / "scene" / "pose" / "0.txt").write_text("1 0 0")
    with pytest.raises(InputError, match="0.txt must hold 4 x 4 numbers"):
        scripts.rgbd_pairs.read(scripts.rgbd_pairs.in_folder(tmp_path), 100, 24)
    np.savetxt(tmp_path / "scene" / "pose" / "0.txt", np.eye(4))
    with pytest.raises(InputError, match="0.png cannot be read"):
        scripts.rgbd_pairs.read(scripts.rgbd_pairs.in_folder(tmp_path), 100, 24)


def test_frames_that_share_too_little_are_named_by_their_source(scripts):
    alone = scripts.rgbd_pairs.Frames(
        np.zeros((1, 4, 4, 3), np.uint8),
        np.ones((1, 4, 4), np.float32),
        np.eye(4)[None],
        np.array([4.0, 4, 2, 2]),
    )
    with pytest.raises(InputError, match="no two frames of FOLDER share 30% of their points"):
        scripts.rgbd_pairs.read([("scene", alone)], 16, 8, source="FOLDER")
