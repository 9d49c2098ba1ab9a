"""The layouts of clouds, label maps and lists released for DIFFER, 3D-LMNet and 3D-PSRNet."""

import numpy as np
import pytest

from samplenet.errors import InputError

pytest.importorskip("embreex", reason="embreex is not installed: no picture of a mesh is tested")
pytest.importorskip("PIL", reason="Pillow is not installed: no picture of a mesh is tested")
pytest.importorskip("scipy", reason="SciPy is not installed: no picture of a mesh is tested")

from samplenet.data.views.drawing import Drawing, read_split
from samplenet.data.views.make import make
from samplenet.data.views.meshes import BuiltIn
from samplenet.data.views.models import read
from samplenet.data.views.truths import read_cloud, read_truth

RNG = np.random.default_rng(0)
POINTS = RNG.uniform(-0.5, 0.5, (1024, 3))
COLOURS = RNG.uniform(0, 1, (1024, 3))
LIST = "../../splits/chair_train_list.npy"
LABELS = RNG.integers(1, 5, 1024)


@pytest.fixture
def released(tmp_path):
    """Rewrite three drawn chairs as released: no gt folder, maps and lists as arrays."""
    make(BuiltIn(["chair"], 10), tmp_path, Drawing(2, 16, 2, points=1024))
    names = read_split(tmp_path, "chair", "train")[:3]
    for path in tmp_path.glob("splits/*"):
        path.unlink()
    np.save(tmp_path / "splits/chair_train_list.npy", np.array(names).astype("S"))
    (tmp_path / "splits/chair_val_list.txt").write_text("\n".join(names[:1]))
    for name in names:
        truth = read_cloud(tmp_path / f"gt/chair/{name}.mat")
        folder = tmp_path / "chair" / name
        np.save(folder / "pointcloud_1024.npy", truth.points)
        np.save(folder / "pointcloud_labels.npy", truth.labels)
    drawn = read(tmp_path, "train", ["chair"])
    (tmp_path / "gt").rename(tmp_path / "not_released")
    for i, name in enumerate(names):
        for k in range(2):
            (tmp_path / "chair" / name / f"labels_{k}.png").unlink()
            np.save(tmp_path / "chair" / name / f"labels_{k}.npy", drawn.labels[i, k].astype(int))
    return tmp_path, names, drawn


def test_models_are_read_as_from_our_own_layout(released):
    root, names, drawn = released
    found = read(root, "train", ["chair"])
    assert found.ids == [f"chair/{name}" for name in names] == drawn.ids
    assert read(root, "val", ["chair"]).ids == found.ids[:1]
    np.testing.assert_array_equal(found.labels, drawn.labels)
    np.testing.assert_array_equal(found.images, drawn.images)
    for now, own in zip(found.truths, drawn.truths, strict=True):
        np.testing.assert_array_equal(now.points, own.points)
        np.testing.assert_array_equal(now.labels, own.labels)
        assert now.colors is None
    half = read(root, "train", ["chair"], size=8)
    np.testing.assert_array_equal(half.labels, drawn.labels[:, :, 1::2, 1::2])


def test_the_cloud_with_most_about_it_counts(tmp_path):
    folder = tmp_path / "03001627" / "a"
    folder.mkdir(parents=True)
    assert read_truth(tmp_path, "03001627", "a") is None
    np.save(folder / "pointcloud_2048.npy", np.tile(POINTS, (2, 1)))
    np.save(folder / "pointcloud_labels.npy", LABELS)
    found = read_truth(tmp_path, "03001627", "a")
    assert found.points.shape == (2048, 3) and found.labels is None
    np.save(folder / "pointcloud_1024.npy", POINTS)
    found = read_truth(tmp_path, "03001627", "a")
    assert found.points.shape == (1024, 3) and (found.labels == LABELS).all()
    np.save(folder / "pcl_1024_fps_trimesh.npy", POINTS + 1)
    found = read_truth(tmp_path, "03001627", "a")
    np.testing.assert_allclose(found.points, POINTS + 1, atol=1e-6)
    assert found.labels is found.colors is None
    np.save(folder / "pcl_1024_fps_trimesh_colors.npy", np.hstack([POINTS, COLOURS]))
    found = read_truth(tmp_path, "03001627", "a")
    np.testing.assert_allclose(found.points, POINTS, atol=1e-6)
    np.testing.assert_allclose(found.colors, COLOURS, atol=1e-6)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("pointcloud_1024.npy", POINTS[:, :2], r"pointcloud_1024.npy: points .* got \(1024, 2\)"),
        ("pointcloud_1024.npy", np.full((9, 3), np.nan), "points must be finite"),
        ("pointcloud_1024.npy", np.array(["x"]), "pointcloud_1024.npy holds no array of numbers"),
        ("pointcloud_1024.npy", b"no array", "pointcloud_1024.npy cannot be read"),
        ("pointcloud_labels.npy", LABELS[:5], "labels must be 1024 numbers, got 5"),
        ("pointcloud_labels.npy", LABELS - 1, r"labels must be in \[1, 255\], .*; got 0 to "),
        ("labels_1.npy", np.zeros((4, 5)), r"labels_1.npy must be square, got shape \(4, 5\)"),
        ("labels_1.npy", np.full((4, 4), 300), r"must hold labels in \[0, 255\], got 300 to 300"),
        ("labels_1.npy", None, "labels_1.npy cannot be read"),
        (
            LIST,
            np.arange(3),
            "chair_train_list.npy holds no .* names",
        ),
        (LIST, np.array(["a", "a"]), "names a twice"),
        (
            LIST,
            np.array(["../a"]),
            r"names '\.\./a', which cannot be",
        ),
    ],
)
def test_a_bad_file_is_named(released, name, content, message):
    root, names, _ = released
    path = root / "chair" / names[0] / name
    path.unlink()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(InputError, match=message):
        read(root, "train", ["chair"])
