"""E57: the scans of a file in one frame, written by pye57."""

import numpy as np
import pytest

from samplenet import InputError, scans

pye57 = pytest.importorskip("pye57", reason=".e57 needs pye57")

TURN = [np.sqrt(0.5), 0, 0, np.sqrt(0.5)]  # a quarter about z: (x, y) becomes (-y, x)


def fields(points, **more):
    axes = zip(("cartesianX", "cartesianY", "cartesianZ"), np.asarray(points, float).T, strict=True)
    return {name: np.ascontiguousarray(values) for name, values in axes} | more


def write(path, *stations):
    with pye57.E57(str(path), "w") as file:
        for data, rotation, translation in stations:
            file.write_scan_raw(
                data, rotation=np.array(rotation), translation=np.array(translation)
            )


def test_scans_are_moved_into_one_frame(tmp_path):
    first = fields([[0, 0, 0], [1, 2, 3]], intensity=np.array([0.25, 0.5]))
    second = fields([[1, 0, 0]], intensity=np.array([1.0]))
    write(tmp_path / "a.e57", (first, [1, 0, 0, 0], [0, 0, 0]), (second, TURN, [100, 0, 7]))
    scan = scans.read(tmp_path / "a.e57")
    np.testing.assert_allclose(scan.points, [[0, 0, 0], [1, 2, 3], [100, 1, 7]], atol=1e-9)
    assert scan.rows["scan"].tolist() == [0, 0, 1]
    assert scan.rows["intensity"].tolist() == [0.25, 0.5, 1]
    assert scan.notes == ()


def test_colours_are_kept_and_written_to_ply(tmp_path):
    colors = {
        f"color{name}": np.array(values, np.uint8)
        for name, values in (("Red", [255, 0]), ("Green", [0, 128]), ("Blue", [3, 4]))
    }
    write(tmp_path / "a.e57", (fields(np.eye(3)[:2], **colors), [1, 0, 0, 0], [0, 0, 0]))
    scan = scans.read(tmp_path / "a.e57")
    assert scan.rows.dtype.names == ("x", "y", "z", "red", "green", "blue")
    scans.write(tmp_path / "a.ply", scan.take(np.array([1])))
    again = scans.read(tmp_path / "a.ply")
    assert again.colors.tolist() == [[0, 128, 4]] and again.points.tolist() == [[0, 1, 0]]


def test_invalid_points_are_left_out(tmp_path):
    data = fields(np.eye(3), cartesianInvalidState=np.array([0, 1, 0], np.int8))
    write(tmp_path / "a.e57", (data, [1, 0, 0, 0], [0, 0, 0]))
    scan = scans.read(tmp_path / "a.e57")
    assert scan.points.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert scan.notes == ("left out 1 points that the scanner marks as invalid",)


def test_damaged_files_are_named_and_stay(tmp_path):
    write(tmp_path / "a.e57", (fields(np.random.rand(5000, 3)), [1, 0, 0, 0], [0, 0, 0]))
    whole = (tmp_path / "a.e57").read_bytes()
    for content, words in (
        (b"no e57 file" * 10, "does not begin with 'ASTM-E57'"),
        (whole[:2000], "is damaged, cut off or not a .e57 file"),
        (whole[:3000] + bytes(1000) + whole[4000:], "is damaged, cut off or not a .e57 file"),
    ):
        (tmp_path / "b.e57").write_bytes(content)
        with pytest.raises(InputError, match=words):
            scans.read(tmp_path / "b.e57")
        assert (tmp_path / "b.e57").read_bytes() == content
    write(tmp_path / "c.e57")
    with pytest.raises(InputError, match="holds no scan"):
        scans.read(tmp_path / "c.e57")
