"""PCD: the kinds of data, fields of several numbers, the viewpoint."""

import numpy as np
import pytest

from samplenet import InputError, scans

HEAD = """# .PCD v.7 - Point Cloud Data file format
VERSION .7
FIELDS x y z fpfh _ rgb
SIZE 4 4 4 4 1 4
TYPE F F F F U F
COUNT 1 1 1 3 4 1
WIDTH 2
HEIGHT 2
VIEWPOINT 1 2 3 0.5 0.5 0.5 0.5
POINTS 4
DATA {}
"""


def four_points():
    rows = np.zeros(
        4, [("x", "f4"), ("y", "f4"), ("z", "f4"), ("fpfh", "f4", 3), ("_", "V4"), ("rgb", "f4")]
    )
    for i, name in enumerate(("x", "y", "z", "rgb")):
        rows[name] = np.arange(4) + 10 * i
    rows["fpfh"] = np.arange(12).reshape(4, 3)
    return rows


def compressed(rows):
    lzf = pytest.importorskip("lzf", reason="compressed .pcd files need python-neo-lzf")
    body = b"".join(np.ascontiguousarray(rows[name]).tobytes() for name in rows.dtype.names)
    packed = lzf.compress(body)
    return (
        np.array([len(packed), len(body)], "<u4").tobytes() + packed + bytes(100)
    )  # PCL too writes zeros behind


def as_text(rows):
    lines = [[x, y, z, *fpfh, 0, 0, 0, 0, rgb] for x, y, z, fpfh, _, rgb in rows.tolist()]
    return "".join(
        " ".join(map(str, line)) + " \n" for line in lines
    ).encode()  # Open3D ends lines with a blank


BODIES = {"ascii": as_text, "binary": lambda rows: rows.tobytes(), "binary_compressed": compressed}


@pytest.mark.parametrize("data", BODIES)
def test_fields_of_several_numbers_and_the_viewpoint_are_kept(tmp_path, data):
    rows = four_points()
    content = HEAD.format(data).encode() + BODIES[data](rows)
    (tmp_path / "a.pcd").write_bytes(content)
    scan = scans.read(tmp_path / "a.pcd")
    assert scan.rows.dtype.names == ("x", "y", "z", "fpfh", "rgb")  # without the padding
    assert scans.write(tmp_path / "b.pcd", scan.take(np.array([2, 0]))) == []
    again = scans.read(tmp_path / "b.pcd")
    for name in again.rows.dtype.names:
        np.testing.assert_array_equal(again.rows[name], rows[name][[2, 0]])
    assert (
        b"COUNT 1 1 1 3 1\nWIDTH 2\nHEIGHT 1\nVIEWPOINT 1 2 3 0.5 0.5 0.5 0.5\n"
        in (tmp_path / "b.pcd").read_bytes()
    )
    for size in (len(content) // 2, len(content) - len(BODIES[data](rows)) + 7):
        (tmp_path / "cut.pcd").write_bytes(content[:size])
        with pytest.raises(InputError, match=r"cut\.pcd is .*cut off|cut\.pcd is not a PCD file"):
            scans.read(tmp_path / "cut.pcd")


def test_headers_of_other_writers(tmp_path):
    (tmp_path / "old.pcd").write_text("COLUMNS x y z\nPOINTS 2\nDATA ascii\n1 2 3\n4 5 nan\n")
    assert scans.read(tmp_path / "old.pcd").finite.tolist() == [True, False]
    (tmp_path / "crlf.pcd").write_bytes(
        b"FIELDS x y z\r\nSIZE 4 4 4\r\nTYPE F F F\r\nWIDTH 2\r\nHEIGHT 1\r\n"
        b"DATA ascii\r\n1 2 3\r\n4 5 6\r\n"
    )
    assert scans.read(tmp_path / "crlf.pcd").points.tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("FIELDS x y z fpfh _ rgb\n", "", "has a damaged header: its line 'FIELDS' is missing"),
        ("SIZE 4 4", "SIZE 4", "6 fields, but 5 values in its line 'SIZE'"),
        ("TYPE F", "TYPE Q", "its field x has TYPE Q, SIZE 4 and COUNT 1"),
        ("COUNT 1", "COUNT 999999999999", "COUNT 999999999999"),
        ("POINTS 4", "POINTS many", "its line 'POINTS' is not a number of points"),
        ("POINTS 4", "POINTS 999999999999", "is cut off: it holds 4 of 999999999999 points"),
        ("POINTS 4", "POINTS 0", "has 0 points"),
        ("DATA binary", "DATA zipped", "has data of the kind 'zipped'"),
        ("DATA binary\n", "", "its header has no line 'DATA'"),
    ],
)
def test_a_damaged_header_is_refused_with_its_faulty_line(tmp_path, old, new, words):
    header = HEAD.format("binary").replace(old, new)
    (tmp_path / "a.pcd").write_bytes(header.encode() + four_points().tobytes())
    with pytest.raises(InputError, match=words):
        scans.read(tmp_path / "a.pcd")
