"""Clouds with parts: ShapeNetPart's layout, and built-in shapes."""

import json

import numpy as np
import pytest

from samplenet import InputError
from samplenet.data import h5, parts, shapes

N = 10


@pytest.fixture
def root(tmp_path):
    """Two categories of three and two parts, in files of the released layout."""
    (tmp_path / "all_object_categories.txt").write_text("Bag\t02773838\nCap\t02954340\n")
    of_part = [["02773838", 1], ["02773838", 2], ["02954340", 1], ["02773838", 3], ["02954340", 2]]
    (tmp_path / "overallid_to_catid_partid.json").write_text(json.dumps(of_part))
    rng = np.random.default_rng(0)
    own = [(0, 1, 3), (2, 4)]
    for split, count in (("train", 3), ("val", 2), ("test", 2)):
        labels = np.arange(count) % 2
        pid = np.stack([rng.choice(own[label], N) for label in labels])
        points = 3 + rng.normal(size=(count, N, 3)).astype(np.float32)
        arrays = {"data": points, "label": labels[:, None], "pid": pid.astype(np.uint8)}
        h5.write(tmp_path / f"ply_data_{split}0.h5", arrays)
        (tmp_path / f"{split}_hdf5_file_list.txt").write_text(f"hdf5_data/ply_data_{split}0.h5\n")
    return tmp_path


def test_the_train_split_has_the_validation_clouds_too(root):
    train, test = parts.load(root, "train", N), parts.load(root, "test", 4)
    assert len(train) == 5 and len(test) == 2
    assert train.names == ("Bag", "Cap") and train.parts_of == ((0, 1, 3), (2, 4))
    assert train.num_parts == 5 and train.labels.tolist() == [0, 1, 0, 0, 1]
    (pid,) = h5.read(root / "ply_data_test0.h5", "pid")
    np.testing.assert_array_equal(test.parts, pid[:, :4])
    np.testing.assert_allclose(train.points.mean(1), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(train.points, axis=2).max(1), 1, rtol=1e-6)


def test_damaged_folders_are_named(root):
    for split, n, words in (("val", N, "'train' or 'test', got 'val'"), ("test", 11, "got 11")):
        with pytest.raises(InputError, match=words):
            parts.load(root, split, n)
    arrays = dict(
        zip(
            ("data", "label", "pid"),
            h5.read(root / "ply_data_test0.h5", "data", "label", "pid"),
            strict=True,
        )
    )
    arrays["pid"][0] = 2
    h5.write(root / "ply_data_test0.h5", arrays)
    with pytest.raises(InputError, match="part 2 in a cloud of a Bag"):
        parts.load(root, "test", N)
    del arrays["pid"]
    h5.write(root / "ply_data_test0.h5", arrays)
    with pytest.raises(InputError, match="ply_data_test0.h5 has no dataset 'pid'"):
        parts.load(root, "test", N)
    (root / "overallid_to_catid_partid.json").write_text("[1]")
    with pytest.raises(InputError, match="overallid_to_catid_partid.json"):
        parts.load(root, "test", N)
    with pytest.raises(InputError, match="name a folder with ShapeNetPart's HDF5 files"):
        parts.load(root / "none", "test", N)


def test_built_in_clouds_have_the_parts_of_their_shapes():
    clouds = parts.built_in("train", 200, ["chair", "table"], per_class=3)
    assert clouds.points.shape == (6, 200, 3) and clouds.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert clouds.parts_of == ((0, 1, 2, 3), (4, 5, 6, 7)) and clouds.num_parts == 8
    chair = clouds.points[0], clouds.parts[0]
    height = [chair[0][chair[1] == part, 1].mean() for part in range(3)]  # back, seat, leg
    assert height[0] > height[1] > height[2]
    assert np.linalg.norm(clouds.points, axis=2).max() <= 1 + 1e-6
    again = parts.built_in("train", 50, ["table"], per_class=2)
    np.testing.assert_array_equal(again.points[1], clouds.points[4, :50])  # alone and together
    np.testing.assert_array_equal(again.parts[1] + 4, clouds.parts[4, :50])
    assert len(parts.built_in("test", 50, ["chair"], per_class=5)) == 2
    for arguments, words in (
        (("train", 0, ["chair"], 1), "at least 1, got 0 and 1"),
        (("train", 5, ["seat"], 1), f"of {', '.join(shapes.CLASSES)}; got 'seat'"),
    ):
        with pytest.raises(InputError, match=words):
            parts.built_in(*arguments)
