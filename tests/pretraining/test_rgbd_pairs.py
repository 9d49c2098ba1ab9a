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


def looking(eye, towards):
    """A pose, camera to world, that looks from one point at another; z is up in the world."""
    forward = np.subtract(towards, eye) / np.linalg.norm(np.subtract(towards, eye))
    right = np.cross(forward, (0, 0, 1))
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
    pose[:3, 3] = eye
    return pose


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A scene of four frames in the layout on disk: two of one corner, one of another, one lost."""
    folder = tmp_path_factory.mktemp("scans") / "scene0000_00"
    meshes = rooms.generate_meshes(1)
    surface = Surface(meshes.triangles, meshes.colors, meshes.labels)
    x, y, _ = meshes.triangles.max((0, 1))
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
    world = scripts.rgbd_pairs._world(frames, 0, 200)
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
    world = scripts.rgbd_pairs._world(frames, 0, 300)[other[:, 3]]
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
    height = scripts.rgbd_pairs._world(frames, 0, 300)[:, 2]
    assert np.corrcoef(height, points[:, 1])[0, 1] > 0.999
    smaller = scripts.rgbd_pairs.pair(frames, 0, 1, 300, size=16)
    assert smaller[1].shape == (2, 16, 16, 3) and smaller[2][:, 1:3].max() < 16


def test_scenes_are_data_to_pre_train_on(scripts, scene, monkeypatch):
    monkeypatch.setattr(scripts.rgbd_pairs.read_scene, "__defaults__", (2,))
    settings = SimpleNamespace(
        pairs_root=None, frames_root=str(scene.parent), num_points=100, num_views=2, image_size=24
    )
    objects = scripts.pixel_pairs.open_pairs(settings)
    assert objects.ids == ["scene0000_00/0-1"] and objects.images.shape == (1, 2, 24, 24, 3)
    assert len(objects.with_pairs(50)) == 1


def test_damaged_scenes_are_named(scripts, scene, tmp_path):
    with pytest.raises(InputError, match="holds no scene, a folder with color, depth"):
        scripts.rgbd_pairs.read(tmp_path, 100, 24)
    (tmp_path / "scene" / "pose").mkdir(parents=True)
    (tmp_path / "scene" / "pose" / "0.txt").write_text("1 0 0")
    with pytest.raises(InputError, match="0.txt must hold 4 x 4 numbers"):
        scripts.rgbd_pairs.read(tmp_path, 100, 24)
    np.savetxt(tmp_path / "scene" / "pose" / "0.txt", np.eye(4))
    with pytest.raises(InputError, match="0.png cannot be read"):
        scripts.rgbd_pairs.read(tmp_path, 100, 24)
