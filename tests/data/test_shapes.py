"""The built-in data set: determinism, normalisation, uniform sampling, layout on disk, errors."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from samplenet.data.shapes import CLASSES, PARTS, ensure, generate, mesh_in_parts, mesh_of
from samplenet.data.shapes.__main__ import main
from samplenet.data.shapes.mesh import both_sides, box, disc, revolve, rod, sample_surface, turn
from samplenet.errors import InputError

REQUIRED = {"airplane", "bookshelf", "bowl", "car", "chair", "cup", "desk", "dresser"}
REQUIRED |= {"night_stand", "stool", "table", "vase", "wardrobe"}


def area(triangles):
    edge1, edge2 = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    return np.linalg.norm(np.cross(edge1, edge2), axis=1).sum() / 2


def test_classes_are_sorted_and_hold_the_required_ones():
    assert list(CLASSES) == sorted(set(CLASSES)) and len(CLASSES) >= 16
    assert set(CLASSES) >= REQUIRED


def test_same_key_same_cloud_in_any_order():
    keys = [(name, index) for name in CLASSES for index in (0, 5)]
    forward = {key: generate(*key, num_points=64) for key in keys}
    for key in reversed(keys):
        np.testing.assert_array_equal(generate(*key, num_points=64), forward[key])


def test_another_process_makes_the_same_cloud():
    code = "from samplenet.data.shapes import generate; print(generate('chair', 3).tobytes().hex())"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"}
    out = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    ).stdout
    assert out.strip() == generate("chair", 3).tobytes().hex()


@pytest.mark.parametrize("other", [{"index": 1}, {"seed": 1}, {"split": "test"}, {"name": "stool"}])
def test_each_part_of_the_key_changes_the_shape(other):
    key = {"name": "chair", "index": 0, "seed": 0, "split": "train"}
    assert np.abs(generate(**key) - generate(**{**key, **other})).max() > 0.01


@pytest.mark.parametrize("name", CLASSES)
def test_clouds_are_centred_in_the_unit_sphere(name):
    for index in range(5):
        cloud = generate(name, index)
        assert cloud.shape == (2048, 3) and cloud.dtype == np.float32
        np.testing.assert_allclose(cloud.mean(0, dtype=np.float64), 0, atol=1e-7)
        np.testing.assert_allclose(np.linalg.norm(cloud, axis=1).max(), 1, rtol=1e-6)


@pytest.mark.parametrize("name", CLASSES)
def test_no_two_shapes_of_a_class_are_alike(name):
    """Compares extents and areas of meshes; points drawn from equal shapes would differ anyway."""
    signature = []
    for index in range(12):
        mesh = mesh_of(np.random.default_rng([index, 1]), name)
        assert np.isfinite(mesh).all()
        extent = np.ptp(mesh.reshape(-1, 3), axis=0)
        signature.append([*(extent / extent.max()), area(mesh) / extent.max() ** 2])
    distance = np.abs(np.array(signature)[:, None] - np.array(signature)).max(-1)  # (12, 12)
    assert distance[~np.eye(12, dtype=bool)].min() > 1e-3


@pytest.mark.parametrize("name", CLASSES)
def test_parts_are_of_the_shape_that_clouds_are_drawn_from(name):
    used = set()
    for index in range(30):
        triangles, parts = mesh_in_parts(name, index)
        key = [0, CLASSES.index(name), 0, index]
        turned = mesh_of(np.random.default_rng(key), name)
        assert turned.shape == triangles.shape == (len(parts), 3, 3)
        np.testing.assert_array_equal(turned[..., 1], triangles[..., 1])  # turned about y
        radius = np.hypot(triangles[..., 0], triangles[..., 2])
        np.testing.assert_allclose(np.hypot(turned[..., 0], turned[..., 2]), radius, atol=1e-12)
        used |= {*parts.tolist()}
    assert used == {*range(len(PARTS[name]))}


def test_parts_are_where_their_names_say():
    for index in range(30):
        height = {
            name: [
                triangles[parts == i, :, 1].mean() if (parts == i).any() else None
                for i in range(len(PARTS[name]))
            ]
            for name in ("chair", "car", "table")
            for triangles, parts in [mesh_in_parts(name, index)]
        }
        back, seat, leg, _ = height["chair"]
        assert back > seat > leg
        roof, hood, wheel, _ = height["car"]
        assert roof > hood > wheel
        assert height["table"][0] > height["table"][1]
        triangles, parts = mesh_in_parts("airplane", index)
        middle = [triangles[parts == i].mean((0, 1)) for i in (0, 2)]
        assert middle[1][2] < middle[0][2]  # the tail is behind the body's middle


def test_any_prefix_is_a_uniform_sample():
    """The first and the second 1024 points have about the same share in the upper half."""
    shares = np.array(
        [[(half[:, 1] > 0).mean() for half in np.split(generate(name, 0), 2)] for name in CLASSES]
    )
    # Standard deviation: at most 1/64 of one share, 0.022 of the difference; 4.5 of it is allowed.
    assert np.abs(shares[:, 0] - shares[:, 1]).max() < 0.1
    steps = np.linalg.norm(np.diff(generate("airplane", 0), axis=0), axis=1)
    assert steps.mean() > 0.3  # consecutive points are far apart: not ordered face by face


def test_two_triangles_share_points_by_area():
    small = [(0, 0, 0), (1, 0, 0), (0, 1, 0)]
    large = [(0, 0, 5), (3, 0, 5), (0, 1, 5)]  # three times the area
    points = sample_surface(np.array([small, large], float), 40_000, np.random.default_rng(0))
    on_large = points[:, 2] == 5
    assert set(np.unique(points[:, 2])) == {0.0, 5.0}
    assert on_large.mean() == pytest.approx(0.75, abs=0.01)
    # Uniform inside a triangle: the mean is the centroid, each corner's quarter holds a quarter.
    np.testing.assert_allclose(points[on_large].mean(0), (1, 1 / 3, 5), atol=0.02)
    assert (points[on_large, 0] > 1.5).mean() == pytest.approx(0.25, abs=0.015)
    assert (points[on_large, 0] / 3 + points[on_large, 1] <= 1 + 1e-12).all()


def test_faces_of_a_box_share_points_by_area():
    low, high = np.array([0, 0, 0]), np.array([1, 2, 3])  # faces: 2 x 6, 2 x 3, 2 x 2 of 22
    points = sample_surface(box(low, high), 44_000, np.random.default_rng(1))
    on_face = np.isclose(points, low) | np.isclose(points, high)  # (44000, 3)
    assert on_face.any(1).all()
    np.testing.assert_allclose(on_face.mean(0), np.array([12, 6, 4]) / 22, atol=0.01)
    assert area(box(low, high)) == pytest.approx(22)


def test_primitives_have_the_area_of_what_they_approximate():
    cylinder = 2 * np.pi * 0.5 * 2 + 2 * np.pi * 0.25
    assert area(disc((0, 0, 0), 0.5, 0.5, 2)) == pytest.approx(cylinder, rel=0.03)
    assert area(revolve([(0, 0), (0.5, 0), (0.5, 2), (0, 2)])) == pytest.approx(cylinder, rel=0.03)
    assert area(rod((1, 0, 0), (1, 1.2, 1.6), 0.5)) == pytest.approx(cylinder, rel=0.08)


def test_turn_is_right_handed_and_both_sides_mirrors_x():
    corner = np.array([[[0, 0, 1], [1, 0, 0], [0, 1, 0]]], float)
    np.testing.assert_allclose(
        turn(corner, np.pi / 2)[0], [[1, 0, 0], [0, 0, -1], [0, 1, 0]], atol=1e-12
    )
    np.testing.assert_allclose(both_sides(corner)[1], corner[0] * (-1, 1, 1))


def test_shapes_stand_upright():
    """y is up: most of a table's surface is in its upper half, and a wardrobe is tall."""
    assert np.mean([(generate("table", i)[:, 1] > 0).mean() for i in range(20)]) > 0.55
    for index in range(10):
        extent = np.ptp(generate("wardrobe", index), axis=0)
        assert extent[1] > extent[2]


def test_cups_have_one_handle_to_the_side():
    """Left-right asymmetry of the extent: large for cups, none for bowls."""

    def asymmetry(name):
        clouds = [generate(name, index) for index in range(10)]
        return np.median([abs(cloud[:, 0].max() + cloud[:, 0].min()) for cloud in clouds])

    assert asymmetry("cup") > 0.1 > 0.06 > asymmetry("bowl")


def test_ensure_writes_the_modelnet40_layout(tmp_path):
    folder = ensure(tmp_path / "new", train_per_class=3, test_per_class=2, seed=4)
    assert folder.parent == tmp_path / "new"
    assert tuple((folder / "shape_names.txt").read_text().split()) == CLASSES
    for split, per_class in (("train", 3), ("test", 2)):
        files = (folder / f"{split}_files.txt").read_text().split()
        with h5py.File(folder / files[0].rsplit("/", 1)[-1]) as h5:
            points, labels = h5["data"][()], h5["label"][()].reshape(-1)
        assert points.shape == (len(CLASSES) * per_class, 2048, 3) and points.dtype == np.float32
        np.testing.assert_array_equal(np.bincount(labels), np.full(len(CLASSES), per_class))
        assert (np.diff(labels.astype(int)) < 0).any()  # shuffled


def test_ids_name_the_cloud(tmp_path):
    modelnet40 = pytest.importorskip("samplenet.data.modelnet40")
    clouds = modelnet40.load(ensure(tmp_path, 2, 1), "train", 2048)
    assert sorted(clouds.ids)[:2] == ["airplane_0000", "airplane_0001"]
    for points, label, name in zip(clouds.points, clouds.labels, clouds.ids, strict=True):
        kind, number = name.rsplit("_", 1)
        assert CLASSES[label] == kind
        np.testing.assert_array_equal(points, generate(kind, int(number)))


def test_ensure_reuses_a_finished_folder(tmp_path, monkeypatch):
    folder = ensure(tmp_path, 1, 1)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(
            "samplenet.data.shapes.generate", lambda *args: pytest.fail("generated once more")
        )
        assert ensure(tmp_path, 1, 1) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert ensure(tmp_path, 1, 1, seed=1) != folder


def test_the_clouds_are_those_that_the_version_names():
    """If they are to change, change `shapes.VERSION` too, and write the file anew as below."""
    recorded = np.load(Path(__file__).with_name("shapes.npz"))["points"]
    found = [
        generate(name, index, split=split)[::32]
        for name in CLASSES
        for index, split in ((0, "train"), (7, "test"))
    ]
    # not to the bit: processors round the last digits differently
    np.testing.assert_allclose(found, recorded, atol=1e-5)


def test_command_prints_the_folder(tmp_path):
    flags = ["--root", str(tmp_path), "--train-per-class", "1", "--test-per-class", "1"]
    command = [sys.executable, "-m", "samplenet.data.shapes", *flags]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(ensure(tmp_path, 1, 1))


def test_command_reports_a_fault_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["shapes", "--root", str(tmp_path), "--train-per-class", "0"])
    with pytest.raises(SystemExit, match=r": error: train_per_class must be at least 1, got 0$"):
        main()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda root: generate("chiar", 0), "airplane.*'chiar'"),
        (lambda root: generate("chair", 0, split="val"), "train, test.*'val'"),
        (lambda root: generate("chair", -1), "got index -1"),
        (lambda root: generate("chair", 0, num_points=0), "at least 1, got 0"),
        (lambda root: ensure(root, train_per_class=0), "train_per_class must be at least 1, got 0"),
        (lambda root: ensure(root, test_per_class=-2), "test_per_class must be at least 1, got -2"),
        (lambda root: ensure(root, seed=-1), "seed must be at least 0, got index 0, seed -1"),
    ],
)
def test_bad_arguments_are_named(tmp_path, call, message):
    with pytest.raises(InputError, match=message):
        call(tmp_path)
    assert not list(tmp_path.iterdir())
