"""Folders of scans become a data set that the loader reads, whole or not at all."""

import numpy as np
import pytest

from samplenet.data import convert, modelnet40
from samplenet.errors import InputError


@pytest.fixture
def source(tmp_path):
    """Two classes of five scans each, far from the origin, in two formats."""
    rng = np.random.default_rng(0)
    for name, scale in (("flat", (3, 3, 0.1)), ("round", (1, 1, 1))):
        folder = tmp_path / "scans" / name
        folder.mkdir(parents=True)
        for i in range(5):
            cloud = rng.normal(size=(64, 3)) * scale + 5e6
            if i % 2:
                np.save(folder / f"{i}.npy", cloud)
            else:
                np.savetxt(folder / f"{i}.xyz", cloud)
    return tmp_path / "scans"


def test_data_set_is_read_by_the_loader(source, tmp_path):
    assert convert.convert(source, tmp_path / "out", num_points=32, test=0.4) == []
    train = modelnet40.load(tmp_path / "out", "train", 32)
    test = modelnet40.load(tmp_path / "out", "test", 32)
    assert train.names == test.names == ("flat", "round")
    assert np.bincount(train.labels).tolist() == [3, 3]
    assert np.bincount(test.labels).tolist() == [2, 2]
    assert len({*train.ids, *test.ids}) == 10
    np.testing.assert_allclose(np.linalg.norm(train.points, axis=2).max(1), 1, atol=1e-6)
    np.testing.assert_allclose(train.points.mean(1), 0, atol=1e-6)
    thin = [np.linalg.svd(cloud)[1][2] < 1 for cloud in train.points]
    assert thin == [label == 0 for label in train.labels]


def test_seed_decides_the_data_set(source, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        convert.convert(source, tmp_path / name, num_points=32, seed=seed)
    a, b, c = (modelnet40.load(tmp_path / name, "train", 32) for name in "abc")
    assert np.array_equal(a.points, b.points) and a.ids == b.ids
    assert not np.array_equal(a.points, c.points)


def test_files_left_out_are_named_and_counted(source, tmp_path, capsys):
    (source / "flat" / "bad.ply").write_bytes(b"ply\nnonsense")
    np.save(source / "flat" / "few.npy", np.ones((3, 3)))
    convert.main([str(source), "--out", str(tmp_path / "out"), "--num-points", "32"])
    printed = capsys.readouterr()
    assert "bad.ply" in printed.err and "few.npy has 3 finite points" in printed.err
    assert "2 files left out" in printed.out


def test_nothing_is_overwritten_without_being_asked(source, tmp_path):
    out = tmp_path / "out"
    convert.convert(source, out, num_points=32)
    with pytest.raises(InputError, match="--overwrite"):
        convert.convert(source, out, num_points=16)
    convert.convert(source, out, num_points=16, overwrite=True)
    assert modelnet40.load(out, "test", None).points.shape[1] == 16
    with pytest.raises(InputError, match="not a data set"):
        convert.convert(source, source, num_points=16, overwrite=True)


def test_a_failure_leaves_nothing(source, tmp_path, monkeypatch):
    def fail(*args, **more):
        raise OSError("full")

    monkeypatch.setattr(modelnet40, "write_split", fail)
    with pytest.raises(OSError):
        convert.convert(source, tmp_path / "out", num_points=32)
    assert [path.name for path in tmp_path.iterdir()] == ["scans"]


def test_a_class_needs_two_scans(source, tmp_path):
    (source / "lone").mkdir()
    np.save(source / "lone" / "0.npy", np.random.default_rng(0).normal(size=(40, 3)))
    with pytest.raises(InputError, match="lone has too few usable scans, 1"):
        convert.convert(source, tmp_path / "out", num_points=32)
