"""Files of one cloud: what is read, kept and written, and what is refused."""

import subprocess
import sys

import numpy as np
import pytest

from samplenet import InputError, scans, subset
from samplenet.ops import reference


@pytest.fixture
def rows():
    """Seven points with normals, colours, an intensity and a number, in the dtypes that scanners write."""
    rng = np.random.default_rng(0)
    kinds = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("nx", "f4"), ("ny", "f4"), ("nz", "f4")]
    kinds += [("red", "u1"), ("green", "u1"), ("blue", "u1"), ("intensity", "u2"), ("time", "f8"), ("label", "i4")]
    rows = np.zeros(7, kinds)
    for name in rows.dtype.names:
        rows[name] = rng.uniform(0, 200, 7)
    return rows


def needed(extension):
    """Skip where the reader of this format is not installed."""
    library = {".pcd": "pypcd4", ".las": "laspy", ".laz": "laspy"}.get(extension)
    if library:
        pytest.importorskip(library, reason=f"{extension} needs {library}")


@pytest.mark.parametrize("extension", [".ply", ".pcd", ".npz"])
def test_every_attribute_comes_back_as_it_was(tmp_path, rows, extension):
    needed(extension)
    path = tmp_path / f"a{extension}"
    scans.write(path, scans.Scan(rows).take(np.array([5, 0, 3])))
    again = scans.read(path).rows
    assert again.dtype == rows.dtype
    np.testing.assert_array_equal(again, rows[[5, 0, 3]])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("extension", [".npy", ".xyz", ".txt"])
def test_columns_without_names_come_back_as_they_were(tmp_path, rows, extension):
    path = tmp_path / f"a{extension}"
    scans.write(path, scans.Scan(rows))
    again = scans.read(path).rows
    assert again.dtype.names == ("x", "y", "z", *(f"column_{i}" for i in range(3, 12)))
    for old, new in zip(rows.dtype.names, again.dtype.names, strict=True):
        np.testing.assert_array_equal(again[new].astype(rows.dtype[old]), rows[old])


def test_points_are_in_the_precision_of_the_file(tmp_path):
    far = np.array([[500000.123, 5400000.456, 100.001], [500000.124, 5400000.457, 100.002]])
    np.save(tmp_path / "far.npy", far)
    scans.write(tmp_path / "far.ply", scans.read(tmp_path / "far.npy"))
    again = scans.read(tmp_path / "far.ply").points
    assert again.dtype == np.float64
    np.testing.assert_array_equal(again, far)
    np.save(tmp_path / "whole.npy", np.arange(12).reshape(4, 3))
    assert scans.read(tmp_path / "whole.npy").points.dtype == np.float64


def test_ascii_and_big_endian_ply(tmp_path):
    properties = "property double x\nproperty double y\nproperty double z\nproperty uchar red\n"
    head = f"ply\nformat {{}} 1.0\ncomment by hand\nelement vertex 2\n{properties}end_header\n"
    (tmp_path / "a.ply").write_text(head.format("ascii") + "0.1 2 3 255\n4 5 6 7\n")
    rows = np.array([(0.1, 2, 3, 255), (4, 5, 6, 7)], [("x", ">f8"), ("y", ">f8"), ("z", ">f8"), ("red", "u1")])
    (tmp_path / "b.ply").write_bytes(head.format("binary_big_endian").encode() + rows.tobytes())
    for name in ("a.ply", "b.ply"):
        found = scans.read(tmp_path / name).rows
        assert found.tolist() == rows.tolist()
        assert found.dtype == rows.dtype.newbyteorder("=")


@pytest.mark.parametrize("order", ["<", ">"])
def test_vertices_of_a_mesh_are_read_whatever_its_faces_are(tmp_path, order):
    kinds = {"x": "float", "y": "double", "z": "float", "red": "uchar"}
    rows = np.zeros(6, [("x", "f4"), ("y", "f8"), ("z", "f4"), ("red", "u1")])
    for i, name in enumerate(kinds):
        rows[name] = np.arange(6) + 10 * i
    mesh = f"ply\nformat binary_{'little' if order == '<' else 'big'}_endian 1.0\nelement vertex 6\n"
    mesh += "".join(f"property {kind} {name}\n" for name, kind in kinds.items())
    mesh += "element face 2\nproperty list uchar int vertex_indices\nend_header\n"
    content = mesh.encode() + rows.astype(rows.dtype.newbyteorder(order)).tobytes()
    for corners in (3, 4):  # a triangle beside a quad
        content += bytes([corners]) + np.arange(corners, dtype=f"{order}i4").tobytes()
    (tmp_path / "mesh.ply").write_bytes(content)
    found = scans.read(tmp_path / "mesh.ply").rows
    assert found.dtype == rows.dtype and found.tolist() == rows.tolist()
    (tmp_path / "cut.ply").write_bytes(content[: -(1 + 12 + 1 + 16) - 1])
    with pytest.raises(InputError, match="is cut off: 5 of 6 points"):
        scans.read(tmp_path / "cut.ply")
    (tmp_path / "ascii.ply").write_text(
        "ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\nproperty float z\n"
        "element face 2\nproperty list uchar int vertex_indices\nend_header\n1 2 3\n4 5 6\n3 0 1 0\n4 0 1 0 1\n"
    )
    assert scans.read(tmp_path / "ascii.ply").points.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_text_with_comments_and_commas(tmp_path):
    (tmp_path / "a.txt").write_text("# x y z\n//X,Y,Z\n\n1,2,3.5\n4,5,6\n")
    assert scans.read(tmp_path / "a.txt").points.tolist() == [[1, 2, 3.5], [4, 5, 6]]


def test_arrays_of_several_columns_get_their_usual_names(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"points": rng.normal(size=(5, 3)), "normals": rng.normal(size=(5, 3)), "feature": rng.normal(size=(5, 2))}
    np.savez(tmp_path / "a.npz", **arrays, colors=np.ones((5, 3), np.uint8), label=np.arange(5), scanner=np.array(7.0))
    scan = scans.read(tmp_path / "a.npz")
    scans.write(tmp_path / "a.ply", scan)
    found = scans.read(tmp_path / "a.ply").rows
    names = ["x", "y", "z", "nx", "ny", "nz", "feature_0", "feature_1", "red", "green", "blue", "label"]
    assert sorted(found.dtype.names) == sorted(names)
    assert found.dtype["label"] == np.int8 or found.dtype["label"].kind in "iu"  # PLY has no 64-bit integers
    scans.write(tmp_path / "b.npz", scan)
    with np.load(tmp_path / "b.npz") as again:
        np.testing.assert_array_equal(again["normals"], arrays["normals"])
        assert again["label"].dtype == np.int64


def test_names_that_begin_like_an_axis_are_kept(tmp_path):
    rows = np.zeros(2, [(name, "f4") for name in ("x", "y", "z", "xy", "yz", "xyz")])
    for i, name in enumerate(rows.dtype.names):
        rows[name] = i
    for name in ("a.ply", "a.npz"):
        scans.write(tmp_path / name, scans.Scan(rows))
        assert scans.read(tmp_path / name).rows.tolist() == rows.tolist()


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1, 2**64 - 1])
def test_whole_numbers_are_written_as_they_are_or_not_at_all(tmp_path, number):
    kind = "u8" if number > 2**63 else "i8"
    rows = np.zeros(2, [("x", "f4"), ("y", "f4"), ("z", "f4"), ("id", kind)])
    rows["id"][1] = number
    for name in ("a.ply", "a.npy"):
        with pytest.raises(InputError, match=f"id holds {number}, which this format would round; write .npz"):
            scans.write(tmp_path / name, scans.Scan(rows))
    scans.write(tmp_path / "a.npz", scans.Scan(rows))
    assert scans.read(tmp_path / "a.npz").rows.tolist() == rows.tolist()
    scans.write(tmp_path / "a.txt", scans.Scan(rows))
    assert (tmp_path / "a.txt").read_text() == f"0 0 0 0\n0 0 0 {number}\n"
    rows["id"][1] = 2**53  # which float64 holds
    scans.write(tmp_path / "b.ply", scans.Scan(rows))
    assert scans.read(tmp_path / "b.ply").rows["id"].tolist() == [0, 2**53]


def test_two_columns_of_one_name_are_told(tmp_path):
    np.savez(tmp_path / "a.npz", points=np.ones((4, 3)), x=np.arange(4))
    with pytest.raises(InputError, match="a.npz holds an array 'x' beside the columns of 'points' called so; rename"):
        scans.read(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", points=np.ones((4, 3)), colors=np.ones((4, 3), np.uint8), red=np.zeros(4))
    with pytest.raises(InputError, match="two columns would be called red"):
        scans.write(tmp_path / "b.ply", scans.read(tmp_path / "b.npz"))
    rows = np.zeros(2, [("x", "f4"), ("y", "f4"), ("z", "f4"), ("points", "f4")])
    with pytest.raises(InputError, match="a column called points cannot be written to .npz"):
        scans.write(tmp_path / "c.npz", scans.Scan(rows))


@pytest.mark.parametrize("extension", [".las", ".laz"])
def test_las_keeps_its_dimensions_and_header(tmp_path, extension):
    laspy = pytest.importorskip("laspy", reason=f"{extension} needs laspy")
    header = laspy.LasHeader(point_format=3, version="1.2")
    header.offsets, header.scales = [500000, 5400000, 0], [0.001, 0.001, 0.001]
    las = laspy.LasData(header)
    rng = np.random.default_rng(0)
    las.x, las.y, las.z = (rng.uniform(0, 50, (3, 20)).T + [500000, 5400000, 0]).T
    las.intensity, las.classification = np.arange(20), np.arange(20) % 5
    las.red = np.arange(20) * 1000
    las.write(tmp_path / f"a{extension}")
    scan = scans.read(tmp_path / f"a{extension}")
    idx = np.array([7, 2, 11])
    scans.write(tmp_path / f"b{extension}", scan.take(idx))
    again = laspy.read(tmp_path / f"b{extension}")
    np.testing.assert_array_equal(np.stack([again.X, again.Y, again.Z], 1), np.stack([las.X, las.Y, las.Z], 1)[idx])
    assert again.intensity.tolist() == [7, 2, 11] and np.asarray(again.classification).tolist() == [2, 2, 1]
    scans.write(tmp_path / "b.ply", scan.take(idx))
    found = scans.read(tmp_path / "b.ply").rows
    np.testing.assert_array_equal(found["x"], np.asarray(las.x)[idx])
    assert found["red"].tolist() == [7000, 2000, 11000]
    with pytest.raises(InputError, match=r"written only from .las and .laz"):
        scans.write(tmp_path / f"c{extension}", scans.read(tmp_path / "b.ply"))


def test_laz_without_its_library_is_told(tmp_path):
    laspy = pytest.importorskip("laspy", reason=".laz needs laspy")
    las = laspy.LasData(laspy.LasHeader(point_format=3, version="1.2"))
    las.x = las.y = las.z = np.arange(5.0)
    for name in ("a.las", "a.laz"):
        las.write(tmp_path / name)
    code = "import sys; sys.modules |= {'lazrs': None, 'laszip': None}; from samplenet.cli import main; "
    words = [sys.executable, "-c", code + "sys.exit(main(sys.argv[1:]))", "sample", "-m", "2"]
    for source, target in (("a.laz", "b.las"), ("a.las", "b.laz")):
        done = subprocess.run([*words, source, "-o", target], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert ".laz" in done.stderr and "pip install laspy[lazrs]" in done.stderr and "damaged" not in done.stderr
    done = subprocess.run([*words, "a.las", "-o", "b.las"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def bad_files(folder, rows):
    """Name of a bad file -> what must be said of it."""
    scans.write(folder / "whole.ply", scans.Scan(rows))
    content = (folder / "whole.ply").read_bytes()
    (folder / "cut.ply").write_bytes(content[:-9])
    (folder / "head.ply").write_bytes(content[:40])
    ascii_head = "ply\nformat ascii 1.0\nelement vertex {}\n" + "".join(f"property float {a}\n" for a in "xyz")
    (folder / "short.ply").write_text(ascii_head.format(3) + "end_header\n1 2 3\n4 5 6\n")
    (folder / "none.ply").write_text(ascii_head.format(0) + "end_header\n")
    (folder / "flat.ply").write_text(ascii_head.format(1).replace("property float z\n", "") + "end_header\n1 2\n")
    (folder / "empty.ply").write_bytes(b"")
    (folder / "text.ply").write_text("1 2 3\n")
    holed = rows.copy()
    holed["y"][[2, 4]] = np.nan
    scans.write(folder / "nan.npz", scans.Scan(holed))
    np.save(folder / "two.npy", np.ones((5, 2)))
    np.save(folder / "batch.npy", np.ones((2, 5, 3)))
    np.save(folder / "none.npy", np.ones((0, 3)))
    np.savez(folder / "no.npz", a=np.ones(3))
    (folder / "two.xyz").write_text("1 2\n3 4\n")
    (folder / "headed.xyz").write_text("x,y,z\n1,2,3\n")
    (folder / "ragged.xyz").write_text("1 2 3\n3 4\n")
    (folder / "none.txt").write_text("# nothing\n")
    (folder / "scan.obj").write_text("v 1 2 3\n")
    return {
        "cut.ply": "cut off",
        "head.ply": "cut off",
        "short.ply": "cut off",
        "none.ply": "has 0 points",
        "flat.ply": "has no z; points need x, y and z",
        "empty.ply": "is empty",
        "text.ply": "no .ply file",
        "nan.npz": r"2 of 7 points have a coordinate that is not finite, the first is point 2",
        "two.npy": r"numbers of shape \(N, 3 or more\), got float64 of shape \(5, 2\)",
        "batch.npy": r"got float64 of shape \(2, 5, 3\)",
        "none.npy": "has 0 points",
        "no.npz": r"must hold an array 'points' of shape \(N, 3\), got a \(3,\)",
        "two.xyz": r"got float64 of shape \(2, 2\)",
        "headed.xyz": r"first line holds no numbers \('x,y,z'\); begin it with #",
        "ragged.xyz": r"\(the number of columns changed from 3 to 2 at row 2\)",
        "none.txt": "has 0 points",
        "scan.obj": r"its extension must be one of .ply",
        "gone.ply": "there is no file",
    }


def test_bad_files_are_told_in_a_sentence(tmp_path, rows):
    for name, words in bad_files(tmp_path, rows).items():
        with pytest.raises(InputError, match=words) as caught:
            scans.read(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value), name


def test_a_cut_pcd_is_told(tmp_path, rows):
    pytest.importorskip("pypcd4", reason=".pcd needs pypcd4")
    scans.write(tmp_path / "a.pcd", scans.Scan(rows))
    content = (tmp_path / "a.pcd").read_bytes()
    for cut in (9, rows.dtype.itemsize):  # within a point, and after one
        (tmp_path / "cut.pcd").write_bytes(content[:-cut])
        with pytest.raises(InputError, match=r"cut\.pcd is .*cut off"):
            scans.read(tmp_path / "cut.pcd")


def test_a_pcd_that_tells_of_more_than_fits_is_not_made_room_for(tmp_path, rows):
    pytest.importorskip("pypcd4", reason=".pcd needs pypcd4")
    scans.write(tmp_path / "a.pcd", scans.Scan(rows))
    content = (tmp_path / "a.pcd").read_bytes()
    (tmp_path / "b.pcd").write_bytes(content.replace(b"COUNT 1", b"COUNT 999999999999", 1))
    with pytest.raises(InputError, match=r"b\.pcd is damaged or cut off: its header tells of 999999999999 values"):
        scans.read(tmp_path / "b.pcd")


def test_a_las_that_tells_of_more_points_than_fit_is_not_made_room_for(tmp_path):
    laspy = pytest.importorskip("laspy", reason=".las needs laspy")
    las = laspy.create(point_format=3, file_version="1.2")
    las.x = las.y = las.z = np.arange(20.0)
    las.write(tmp_path / "a.las")
    content = bytearray((tmp_path / "a.las").read_bytes())
    content[107:111] = (2**32 - 1).to_bytes(4, "little")
    (tmp_path / "b.las").write_bytes(content)
    with pytest.raises(InputError, match=r"b\.las is damaged or cut off: its header tells of 4294967295 points"):
        scans.read(tmp_path / "b.las")


def test_nothing_is_left_where_writing_fails(tmp_path, rows):
    with pytest.raises(InputError, match="cannot be written"):
        scans.write(tmp_path / "gone" / "a.ply", scans.Scan(rows))
    (tmp_path / "taken.ply").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        scans.write(tmp_path / "taken.ply", scans.Scan(rows))
    assert [file.name for file in tmp_path.iterdir()] == ["taken.ply"]


@pytest.mark.parametrize("n, m", [(1, 1), (300, 300), (2000, 100)])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_farthest_points_are_those_of_the_ops(n, m, kind):
    rng = np.random.default_rng(0)
    for points in (rng.normal(size=(n, 3)).astype(kind), rng.integers(0, 4, (n, 3)).astype(kind)):  # many ties
        np.testing.assert_array_equal(subset.farthest_points(points, m), reference.farthest_points(points[None], m)[0])
        chosen = rng.integers(0, n, 20)
        expected = reference.farthest_points(points[None], m, chosen=chosen[None])[0]
        np.testing.assert_array_equal(subset.farthest_points(points, m, chosen), expected)


def test_a_grid_gives_one_point_a_cell():
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    near = np.concatenate(
        [corners + shift for shift in (0, 0.1, 0.3)]
    )  # of each cell the middle one is nearest its mean
    assert sorted(subset.grid(near, cell=0.5)) == list(range(8, 16))
    with pytest.raises(InputError, match="are too small"):
        subset.grid(near, cell=1e-9)


@pytest.mark.parametrize("m", [1, 2, 37, 500])
def test_a_grid_gives_exactly_m_distinct_points(m):
    rng = np.random.default_rng(0)
    for points in (rng.normal(size=(500, 3)), np.repeat(rng.normal(size=(5, 3)), 100, 0), np.zeros((500, 3))):
        idx = subset.grid(points, m)
        assert len(idx) == len(set(idx.tolist())) == m
        assert idx.min() >= 0 and idx.max() < 500
