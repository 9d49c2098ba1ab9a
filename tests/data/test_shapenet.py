"""ShapeNet's layout: splits, faults by name, and the built-in shapes in its place."""

import logging
import os

import numpy as np
import pytest

from samplenet import InputError
from samplenet.data import ply, shapenet, shapes

P, FILES = 6, 20
HEADER = b"ply\nformat binary_little_endian 1.0\nelement vertex %d\n" + b"".join(
    b"property float %c\n" % axis for axis in b"xyz"
)


def cloud(synset, number):
    return np.random.default_rng((int(synset), number)).normal(size=(P, 3)).astype(np.float32)


def write(path, points):
    path.write_bytes(HEADER % len(points) + b"end_header\n" + points.astype("<f4").tobytes())


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Twenty chairs, tables and shapes of a class that has no name here; made last name first."""
    monkeypatch.setenv("SAMPLENET_DATA", str(tmp_path / "own"))
    for synset in ("04379243", "03001627", "02828884"):
        (tmp_path / "root" / synset).mkdir(parents=True)
        for number in reversed(range(FILES)):
            write(tmp_path / "root" / synset / f"id{number:02d}.ply", cloud(synset, number))
    return tmp_path / "root"


def load(root, split="train", num_points=P, classes=("chair", "table"), **options):
    return shapenet.load(root, split, num_points, classes, **options)


def test_split_is_fixed():
    assert shapenet.split_rows(FILES, "val").tolist() == [10]
    assert shapenet.split_rows(FILES, "test").tolist() == [6, 14]
    sizes = {
        n: [len(shapenet.split_rows(n, split)) for split in shapenet.SPLITS]
        for n in (0, 1, 10, 100, 6778)
    }
    assert sizes == {
        0: [0, 0, 0],
        1: [0, 0, 1],
        10: [8, 1, 1],
        100: [85, 5, 10],
        6778: [5761, 339, 678],
    }


@pytest.mark.parametrize("count", [0, 1, 7, 20, 333])
def test_every_file_is_in_one_split(count):
    rows = [shapenet.split_rows(count, split) for split in shapenet.SPLITS]
    assert sorted(np.concatenate(rows)) == list(range(count))
    assert all((np.diff(part) > 0).all() for part in rows)


def test_clouds_as_stored(root):
    for split, size in (("train", 17), ("val", 1), ("test", 2)):
        got = load(root, split, 4, ["table", "02828884", "chair"])
        synsets = ["04379243", "02828884", "03001627"]
        pairs = [(synset, row) for synset in synsets for row in shapenet.split_rows(FILES, split)]
        assert got.names == ("table", "02828884", "chair")
        assert got.ids == [f"{synset}/id{row:02d}" for synset, row in pairs]
        assert np.array_equal(got.points, [cloud(*pair)[:4] for pair in pairs])
        assert got.labels.tolist() == [0] * size + [1] * size + [2] * size
        assert (got.points.dtype, got.labels.dtype) == (np.float32, np.int64)


def test_order_of_the_file_system_does_not_matter(root, monkeypatch):
    expected = load(root, "test")
    scandir = os.scandir

    class Shuffled:
        def __init__(self, path):
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name[::-1])

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(ply.os, "scandir", Shuffled)
    monkeypatch.setattr(ply, "FORMAT", -1)  # as if there were no cache
    got = load(root, "test")
    assert got.ids == expected.ids and np.array_equal(got.points, expected.points)


def test_second_start_reads_the_cache_beside_the_data(root, monkeypatch):
    expected = load(root)
    assert sorted(p.name for p in root.glob("*.h5")) == ["03001627.h5", "04379243.h5"]
    monkeypatch.setattr(ply, "_points", None)
    for num_points in (P, 3):  # the cache serves any number of points
        assert np.array_equal(
            load(root, "train", num_points).points, expected.points[:, :num_points]
        )
    assert len(load(root, "test")) == 4


def test_cache_in_the_own_folder_tells_two_data_sets_apart(root, tmp_path, monkeypatch):
    other = tmp_path / "other"
    for folder in (root, other):
        (folder / "03001627").mkdir(parents=True, exist_ok=True)
        (folder / "03001627.h5").mkdir()  # where the cache should go
    for number in range(FILES):
        write(other / "03001627" / f"id{number:02d}.ply", cloud("1", number))
    first, second = load(root, classes=["chair"]), load(other, classes=["chair"])
    assert len(list((tmp_path / "own").glob("shapenet-cache-*/03001627.h5"))) == 2
    monkeypatch.setattr(ply, "_points", None)
    assert np.array_equal(load(root, classes=["chair"]).points, first.points)
    assert np.array_equal(load(other, classes=["chair"]).points, second.points)


def spoil(root):
    """One bad chair, one short table, both in the training set; a bad chair in the test set."""
    chairs, tables = root / "03001627", root / "04379243"
    (chairs / "id00.ply").write_bytes(b"no cloud")
    write(tables / "id01.ply", cloud("1", 1)[:5])
    bad = cloud("1", 6)
    bad[2, 0] = np.nan
    write(chairs / "id06.ply", bad)


def test_bad_files_are_named(root):
    spoil(root)
    with pytest.raises(InputError, match="2 of 34 train clouds") as caught:
        load(root)
    assert "03001627/id00.ply is not a PLY file" in str(caught.value)
    assert "04379243/id01.ply has 5 points, asked for 6" in str(caught.value)
    with pytest.raises(
        InputError, match=r"1 of 4 test clouds.*\n.*03001627/id06.ply .* not finite in point 2"
    ):
        load(root, "test")
    assert len(load(root, "val")) == 2
    with pytest.raises(InputError, match="1 of 34"):
        load(root, num_points=5)


def test_bad_files_are_skipped_on_request_and_move_no_other(root, caplog):
    before = load(root)
    spoil(root)
    with caplog.at_level(logging.WARNING):
        got = load(root, skip_bad=True)
    assert "2 of 34 train clouds are skipped" in caplog.text
    assert "03001627/id00.ply is not a PLY file" in caplog.text
    assert "04379243/id01.ply has 5 points" in caplog.text
    bad = "03001627/id00", "04379243/id01"
    kept = [row for row, name in enumerate(before.ids) if name not in bad]
    assert got.ids == [before.ids[row] for row in kept] and len(kept) == 32
    assert np.array_equal(got.points, before.points[kept])
    assert np.array_equal(got.labels, before.labels[kept])


def test_many_bad_files_make_a_short_message_but_a_whole_log(root, caplog):
    with pytest.raises(InputError, match="34 of 34") as caught:
        load(root, num_points=P + 1)
    assert str(caught.value).count(".ply") == 5 and "and 29 more" in str(caught.value)
    with caplog.at_level(logging.WARNING), pytest.raises(InputError, match="no cloud of 'chair'"):
        load(root, num_points=P + 1, skip_bad=True)
    assert caplog.text.count(".ply") == 34


def test_rejects_arguments(root):
    for change, words in (
        ({"split": "valid"}, "train, val, test; got 'valid'"),
        ({"num_points": 0}, "got 0"),
        (
            {"classes": ["bench"]},
            "chair, table, car, airplane, or synsets of 8 digits; got 'bench'",
        ),
        ({"classes": ["../own"]}, "got '../own'"),
        ({"classes": []}, "got none"),
        ({"classes": ["chair", "03001627"]}, "each of them once; got chair, 03001627"),
        ({"classes": ["chair", "car"]}, r"02958343 \(car\) is missing: leave this class out"),
    ):
        with pytest.raises(InputError, match=words):
            load(root, **change)


def test_parent_of_the_folder_is_hinted_at(root, tmp_path):
    root.rename(tmp_path / shapenet.FOLDER)
    with pytest.raises(InputError, match=f"did you mean .*{shapenet.FOLDER}"):
        load(tmp_path)


def test_class_too_small_for_a_split(root):
    for file in sorted((root / "03001627").iterdir())[5:]:
        file.unlink()
    with pytest.raises(InputError, match="no cloud of 'chair' for its val split"):
        load(root, "val")


def test_built_in_shapes_in_the_scale_of_shapenet():
    parts = [shapenet.built_in(split, shapes_per_class=20) for split in shapenet.SPLITS]
    assert [len(part) for part in parts] == [68, 4, 8]
    assert len(set(sum((part.ids for part in parts), []))) == 80
    for part in parts:
        assert part.names == shapenet.CLASSES
        assert (part.points.dtype, part.labels.dtype) == (np.float32, np.int64)
        for name, label in zip(part.ids, part.labels, strict=True):
            assert name.rsplit("_", 1)[0] == part.names[label]
        low, high = part.points.min(1), part.points.max(1)
        np.testing.assert_allclose(low + high, 0, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(high - low, axis=1), 1, rtol=1e-5)
    assert parts[2].ids[:2] == ["chair_0006", "chair_0014"]


def test_fewer_built_in_points_are_the_first_of_the_same_clouds():
    whole = shapenet.built_in("test", classes=["car", "vase"], shapes_per_class=10)
    few = shapenet.built_in("test", 100, ["car", "vase"], shapes_per_class=10)
    assert np.array_equal(few.points, whole.points[:, :100])
    assert shapenet.built_in("val", 3000, ["car"], 10).points.shape == (1, 3000, 3)


def test_built_in_rejects():
    for arguments, words in (
        (("val", P, ["chair"], 5), "5 shapes a class leave none for the val split"),
        (("train", P, ["chair"], -1), "-1 shapes"),
        (("train", P, ["piano"], 10), "'piano'"),
        (("train", 0, ["chair"], 10), "got 0"),
        (("all", P, ["chair"], 10), "got 'all'"),
        (("train", P, ["chair", "chair"], 10), "chair, chair"),
    ):
        with pytest.raises(InputError, match=words):
            shapenet.built_in(*arguments)


def test_open_clouds_is_either(root, monkeypatch):
    assert shapenet.open_clouds(root, "test", 3, ["table"]).ids == [
        "04379243/id06",
        "04379243/id14",
    ]
    assert shapenet.open_clouds(None, "test", 3, ["table"], 20).ids == ["table_0006", "table_0014"]
    assert set(shapenet.CLASSES) <= set(shapes.CLASSES)
    spoil(root)
    assert len(shapenet.open_clouds(root, "test", P, ["chair"], skip_bad=True)) == 1
    with pytest.raises(InputError, match="id06"):
        shapenet.open_clouds(root, "test", P, ["chair"])
