"""PLY: what is read besides plain vertices, and what a sample keeps of it."""

import numpy as np
import pytest

from samplenet import InputError, scans

XYZ = "property float x\nproperty float y\nproperty float z\n"
FACES = "element face 2\nproperty list uchar int vertex_indices\n"


def points_of(tmp_path, content):
    (tmp_path / "a.ply").write_bytes(content if isinstance(content, bytes) else content.encode())
    return scans.read(tmp_path / "a.ply").points.tolist()


def test_ascii_and_big_endian(tmp_path):
    properties = "property double x\nproperty double y\nproperty double z\nproperty uchar red\n"
    head = f"ply\nformat {{}} 1.0\ncomment by hand\nelement vertex 2\n{properties}end_header\n"
    (tmp_path / "a.ply").write_text(head.format("ascii") + "0.1 2 3 255\n4 5 6 7\n")
    rows = np.array(
        [(0.1, 2, 3, 255), (4, 5, 6, 7)], [("x", ">f8"), ("y", ">f8"), ("z", ">f8"), ("red", "u1")]
    )
    (tmp_path / "b.ply").write_bytes(head.format("binary_big_endian").encode() + rows.tobytes())
    for name in ("a.ply", "b.ply"):
        scan = scans.read(tmp_path / name)
        assert scan.rows.tolist() == rows.tolist()
        assert scan.rows.dtype == rows.dtype.newbyteorder("=")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("first", ["vertex", "face"])
def test_vertices_are_read_whatever_stands_around_them(tmp_path, order, first):
    points = np.arange(18, dtype=f"{order}f4").reshape(6, 3)
    corners = ([0, 1, 2], [0, 1, 2, 3])  # a triangle beside a quad
    faces = b"".join(
        bytes([len(face)]) + np.array(face, f"{order}i4").tobytes() for face in corners
    )
    vertex = (f"element vertex 6\n{XYZ}", points.tobytes())
    camera = ("element camera 1\nproperty float view_px\n", bytes(4))
    parts = (
        [vertex, (FACES, faces), camera] if first == "vertex" else [camera, (FACES, faces), vertex]
    )
    head = f"ply\nformat binary_{'little' if order == '<' else 'big'}_endian 1.0\n"
    head += "".join(lines for lines, _ in parts) + "end_header\n"
    content = head.encode() + b"".join(body for _, body in parts)
    assert points_of(tmp_path, content + b"bytes after the end") == points.tolist()
    cut = len(faces) + 4 if first == "vertex" else 0
    with pytest.raises(InputError, match="is cut off: it holds 5 of 6 points"):
        points_of(tmp_path, content[: len(content) - cut - 1])


def test_ascii_with_faces_before_or_after(tmp_path):
    vertices, faces = "1 2 3\n4 5 6\n", "3 0 1 0\n4 0 1 0 1\n"
    head = "ply\nformat ascii 1.0\n"
    after = f"{head}element vertex 2\n{XYZ}{FACES}end_header\n{vertices}{faces}"
    before = f"{head}{FACES}element vertex 2\n{XYZ}end_header\n{faces}{vertices}"
    for content in (after, before, before.replace("\n", "\r\n"), before.replace("\n", "\r")):
        assert points_of(tmp_path, content.encode()) == [[1, 2, 3], [4, 5, 6]]


def test_lists_comments_and_obj_info_are_kept(tmp_path):
    remarks = "comment scanned in M\xfcnchen\nobj_info num_cols 2\ncomment twice  spaced\n".encode(
        "latin-1"
    )
    head = (
        b"ply\nformat %s 1.0\n"
        + remarks
        + f"element vertex 3\n{XYZ}property list uchar short views\n".encode()
    )
    head += b"property double time\nend_header\n"
    (tmp_path / "a.ply").write_bytes(
        head % b"ascii" + b"1 2 3 0 0.5\n4 5 6 2 7 -8 1.5\n7 8 9 1 300 2.5\n"
    )
    scan = scans.read(tmp_path / "a.ply")
    assert [views.tolist() for views in scan.rows["views"]] == [[], [7, -8], [300]]
    assert scans.write(tmp_path / "b.ply", scan.take(np.array([2, 1]))) == []
    content = (tmp_path / "b.ply").read_bytes()
    assert remarks in content and b"property list uint8 int16 views\n" in content
    again = scans.read(tmp_path / "b.ply").rows
    assert [row.tolist() if isinstance(row, np.ndarray) else row for row in again[0]] == [
        7,
        8,
        9,
        [300],
        2.5,
    ]
    assert again["views"][1].dtype == np.int16 and again["time"].tolist() == [2.5, 1.5]
    assert (
        scans.write(tmp_path / "b.pcd", scan)[0]
        == "views dropped: it holds lists, which .pcd cannot keep"
    )


def test_headers_that_lie_are_refused_at_once(tmp_path):
    head = (
        "ply\nformat {} 1.0\nelement face {}\nproperty list uchar {} i\nelement vertex 1\n"
        + XYZ
        + "end_header\n"
    )
    for content in (
        head.format("binary_little_endian", 10**15, "int").encode() + bytes(50),
        head.format("binary_little_endian", 1, "double").encode() + b"\xff" + bytes(50),
        head.format("ascii", 10**15, "int").encode() + b"1 2 3\n",
        b"ply\nformat ascii 1.0\nelement none 999999999999\n"
        + f"element vertex 2\n{XYZ}end_header\n1 2 3\n".encode(),
    ):
        with pytest.raises(InputError, match="cut off"):
            points_of(tmp_path, content)
