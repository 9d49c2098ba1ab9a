"""Every format: rows come back unchanged or with a note, and bad files are refused clearly."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from samplenet import InputError, scans

LIBRARIES = {".las": "laspy", ".laz": "lazrs", ".glb": "trimesh", ".off": "trimesh"}


def needed(extension):
    """Skip the test if the library of this format is not installed."""
    if extension in LIBRARIES:
        pytest.importorskip(
            LIBRARIES[extension], reason=f"{extension} needs {LIBRARIES[extension]}"
        )


@pytest.mark.parametrize("extension", [".ply", ".pcd", ".npz", ".las", ".laz"])
def test_rows_of_a_format_come_back_bit_by_bit(tmp_path, rows, extension):
    needed(extension)
    scans.write(tmp_path / f"a{extension}", scans.Scan(rows))
    scan = scans.read(tmp_path / f"a{extension}")
    sample = scan.take(np.array([5, 0, 3]))
    assert scans.write(tmp_path / f"b{extension}", sample) == []
    again = scans.read(tmp_path / f"b{extension}").rows
    assert again.dtype == scan.rows.dtype and again.tobytes() == scan.rows[[5, 0, 3]].tobytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"a{extension}", f"b{extension}"]


@pytest.mark.parametrize("source", [".ply", ".pcd", ".las", ".npz"])
@pytest.mark.parametrize("target", [".ply", ".pcd", ".las", ".npz"])
def test_colours_normals_and_intensity_go_from_format_to_format(tmp_path, rows, source, target):
    needed(source)
    needed(target)
    scans.write(tmp_path / f"a{source}", scans.Scan(rows))
    scan = scans.read(tmp_path / f"a{source}")
    notes = scans.write(tmp_path / f"b{target}", scan)
    again = scans.read(tmp_path / f"b{target}")
    names = {
        ".ply": {"nx", "ny", "nz", "red", "green", "blue", "intensity"},
        ".pcd": {"normal_x", "normal_y", "normal_z", "rgb", "intensity"},
        ".las": {"nx", "ny", "nz", "red", "green", "blue", "intensity"},
        ".npz": {"normals", "colors", "intensity"},
    }
    assert names[target] <= {*again.rows.dtype.names}
    colors = np.stack([rows[name] for name in ("red", "green", "blue")], 1)
    np.testing.assert_array_equal(again.colors, colors)
    np.testing.assert_array_equal(again.rows["intensity"], rows["intensity"])
    normals = [again.rows[name] for name in sorted(names[target]) if name.startswith("n")]
    normals = normals[0].T if target == ".npz" else normals
    np.testing.assert_array_equal(normals, [rows["nx"], rows["ny"], rows["nz"]])
    np.testing.assert_allclose(again.points, scan.points, atol=1e-6)
    assert bool(notes) == (source != target)
    scans.write(tmp_path / f"c{source}", again)  # and back
    np.testing.assert_array_equal(scans.read(tmp_path / f"c{source}").colors, colors)


def test_every_change_is_reported_in_a_sentence(tmp_path, rows):
    far = rows.astype(
        [(name, "f8" if name in "xyz" else rows.dtype[name]) for name in rows.dtype.names]
    )
    far["x"] += 5400000.1
    np.savez(
        tmp_path / "a.npz",
        points=np.stack([far[axis] for axis in "xyz"], 1),
        colors=np.full((7, 3), 0.5),
        feature=np.ones((7, 2)),
        tree=np.array(["oak"] * 7),
        label=np.arange(7),
        scanner=np.array("mine"),
    )
    scan = scans.read(tmp_path / "a.npz")
    assert scan.notes == ("scanner left out: not one row for each of 7 points",)
    notes = scans.write(tmp_path / "a.pcd", scan)
    assert "colors: written as rgb in .pcd" in notes
    assert "colours: 0 to 1 became 0 to 255 in .pcd, rounded" in notes
    assert "tree dropped: it holds words, which .pcd cannot keep" in notes
    rounded = [
        note
        for note in notes
        if note.startswith("x, y, z: float64 became float32 in .pcd, rounded by up to 0.")
    ]
    assert rounded and len(notes) == 4
    assert scans.read(tmp_path / "a.pcd").points.dtype == np.float32
    notes = scans.write(tmp_path / "a.ply", scan)
    assert "feature is split into feature_0 to feature_1 in .ply" in notes
    assert "label: int64 became float64 in .ply" in notes
    notes = scans.write(tmp_path / "a.xyz", scan)
    assert notes[-1].startswith(
        "names of columns are lost in .xyz; they are x, y, z, red, green, blue, feature_0"
    )


def test_types_depend_on_the_type_of_the_input_alone(tmp_path):
    rows = np.zeros(
        3, [("x", "f8"), ("y", "f8"), ("z", "f8"), ("id", "i8"), ("angle", "i2"), ("on", "?")]
    )
    for values in ([0, 1, 2], [0, 1, 2**40]):
        rows["id"] = values
        scans.write(tmp_path / "a.ply", scans.Scan(rows))
        again = scans.read(tmp_path / "a.ply").rows
        assert [again.dtype[name].str[1:] for name in ("id", "angle", "on")] == ["f8", "i4", "u1"]
        assert again["id"].tolist() == values


def test_colours_are_scaled_by_the_whole_file_and_not_by_the_sample(tmp_path):
    rows = np.zeros(
        4, [("x", "f4"), ("y", "f4"), ("z", "f4"), ("red", "u2"), ("green", "u2"), ("blue", "u2")]
    )
    rows["red"] = [0, 200, 255, 65535]
    scans.write(tmp_path / "dark.ply", scans.Scan(rows).take(np.array([0, 1, 2])))
    assert scans.read(tmp_path / "dark.ply").rows["red"].tolist() == [0, 0, 0]
    scans.write(tmp_path / "8bit.ply", scans.Scan(rows[:3]))
    assert scans.read(tmp_path / "8bit.ply").rows["red"].tolist() == [0, 200, 255]


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1, 2**64 - 1])
def test_whole_numbers_are_written_as_they_are_or_not_at_all(tmp_path, number):
    rows = np.zeros(
        2, [("x", "f4"), ("y", "f4"), ("z", "f4"), ("id", "u8" if number > 2**63 else "i8")]
    )
    rows["id"][1] = number
    for name in ("a.ply", "a.npy"):
        with pytest.raises(
            InputError,
            match=f"{name} cannot be written: .*(id holds {number}|round id).*write .npz",
        ):
            scans.write(tmp_path / name, scans.Scan(rows))
    for name in ("a.npz", "a.pcd"):
        scans.write(tmp_path / name, scans.Scan(rows))
        assert scans.read(tmp_path / name).rows.tolist() == rows.tolist()
    scans.write(tmp_path / "a.txt", scans.Scan(rows))
    assert (tmp_path / "a.txt").read_text() == f"0 0 0 0\n0 0 0 {number}\n"


def test_two_columns_of_one_name_are_refused_or_noted(tmp_path):
    np.savez(tmp_path / "a.npz", points=np.ones((4, 3)), x=np.arange(4))
    with pytest.raises(
        InputError,
        match="a.npz has an array 'x' and a column 'x' of 'points'; rename the array",
    ):
        scans.read(tmp_path / "a.npz")
    np.savez(
        tmp_path / "b.npz",
        points=np.ones((4, 3)),
        colors=np.ones((4, 3), np.uint8),
        red=np.zeros(4),
    )
    assert "red dropped: .ply needs the name for another column" in scans.write(
        tmp_path / "b.ply", scans.read(tmp_path / "b.npz")
    )
    rows = np.zeros(2, [("x", "f4"), ("y", "f4"), ("z", "f4"), ("points", "f4")])
    with pytest.raises(InputError, match=".npz cannot have a column points; rename it"):
        scans.write(tmp_path / "c.npz", scans.Scan(rows))


def test_points_are_in_the_precision_of_the_file(tmp_path):
    far = np.array([[500000.123, 5400000.456, 100.001], [500000.124, 5400000.457, 100.002]])
    np.save(tmp_path / "far.npy", far)
    scans.write(tmp_path / "far.ply", scans.read(tmp_path / "far.npy"))
    again = scans.read(tmp_path / "far.ply").points
    assert again.dtype == np.float64
    np.testing.assert_array_equal(again, far)
    np.save(tmp_path / "whole.npy", np.arange(12).reshape(4, 3))
    assert scans.read(tmp_path / "whole.npy").points.dtype == np.float64


def test_points_that_are_not_finite_are_read_and_marked(tmp_path):
    points = np.array([[1, 2, 3], [np.nan, 0, 0], [0, np.inf, 0], [4, 5, 6]], np.float32)
    for name in ("a.npy", "a.ply", "a.pcd"):
        scan = scans.Scan(scans.columns.rows_of(dict(zip("xyz", points.T, strict=True))))
        scans.write(tmp_path / name, scan)
        again = scans.read(tmp_path / name)
        assert again.finite.tolist() == [True, False, False, True] and len(again.rows) == 4
    np.save(tmp_path / "b.npy", points[[1, 2]])
    with pytest.raises(InputError, match="b.npy has no point with finite coordinates among its 2"):
        scans.read(tmp_path / "b.npy")


@pytest.mark.parametrize("extension", [".npy", ".xyz", ".txt"])
def test_columns_without_names_come_back_as_they_were(tmp_path, rows, extension):
    path = tmp_path / f"a{extension}"
    scans.write(path, scans.Scan(rows))
    again = scans.read(path).rows
    assert again.dtype.names == ("x", "y", "z", *(f"column_{i}" for i in range(3, 12)))
    for old, new in zip(rows.dtype.names, again.dtype.names, strict=True):
        np.testing.assert_array_equal(again[new].astype(rows.dtype[old]), rows[old])


def test_the_array_of_an_npz_keeps_its_name_and_its_columns(tmp_path):
    points = np.random.default_rng(0).normal(size=(9, 4))
    np.savez(tmp_path / "a.npz", cloud=points, label=np.arange(9))
    assert (
        scans.write(tmp_path / "b.npz", scans.read(tmp_path / "a.npz").take(np.array([3, 1]))) == []
    )
    with np.load(tmp_path / "b.npz") as sample:
        assert sample.files == ["cloud", "label"] and sample["label"].tolist() == [3, 1]
        assert sample["cloud"].tobytes() == points[[3, 1]].tobytes()


def test_a_structured_npy_stays_one(tmp_path, rows):
    np.save(tmp_path / "a.npy", rows)
    assert (
        scans.write(tmp_path / "b.npy", scans.read(tmp_path / "a.npy").take(np.array([3, 1]))) == []
    )
    assert np.load(tmp_path / "b.npy").tobytes() == rows[[3, 1]].tobytes()


def bad_files(folder, rows):
    """Write bad files; return a part of the error of each by its name."""
    scans.write(folder / "whole.ply", scans.Scan(rows))
    content = (folder / "whole.ply").read_bytes()
    (folder / "cut.ply").write_bytes(content[:-9])
    (folder / "head.ply").write_bytes(content[:40])
    ascii_head = "ply\nformat ascii 1.0\nelement vertex {}\n" + "".join(
        f"property float {a}\n" for a in "xyz"
    )
    (folder / "short.ply").write_text(ascii_head.format(3) + "end_header\n1 2 3\n4 5 6\n")
    (folder / "huge.ply").write_text(ascii_head.format(10**15) + "end_header\n1 2 3\n")
    (folder / "none.ply").write_text(ascii_head.format(0) + "end_header\n")
    (folder / "flat.ply").write_text(
        ascii_head.format(1).replace("property float z\n", "") + "end_header\n1 2\n"
    )
    (folder / "type.ply").write_text(
        ascii_head.format(1).replace("float z", "real z") + "end_header\n1 2 3\n"
    )
    (folder / "faces.ply").write_text(
        "ply\nformat ascii 1.0\nelement face 0\nproperty uchar a\nend_header\n"
    )
    (folder / "empty.ply").write_bytes(b"")
    (folder / "text.ply").write_text("1 2 3\n")
    np.save(folder / "two.npy", np.ones((5, 2)))
    np.save(folder / "words.npy", np.full((2, 3), "a"))
    np.save(folder / "batch.npy", np.ones((2, 5, 3)))
    np.save(folder / "none.npy", np.ones((0, 3)))
    np.save(folder / "objects.npy", np.array([[1, 2, None]]), allow_pickle=True)
    np.savez(folder / "no.npz", a=np.ones(3))
    (folder / "cut.npz").write_bytes(b"PK\3\4")
    (folder / "two.xyz").write_text("1 2\n3 4\n")
    (folder / "ragged.xyz").write_text("1 2 3\n3 4\n")
    (folder / "few.xyz").write_text("5\n1 2 3\n3 4 5\n")
    (folder / "first.xyz").write_text("1 2 three\n4 5 6\n")
    (folder / "words.xyz").write_text("1 two 3\nfour 5 6\n")
    (folder / "none.txt").write_text("# nothing\n")
    (folder / "names.csv").write_text("x,y,z\n")
    (folder / "binary.xyz").write_bytes(bytes(100))
    (folder / "cut.xyz.gz").write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\xff")
    (folder / "none.obj").write_text("vt 0 0\n")
    (folder / "line.obj").write_text("v 1 2\n")
    (folder / "scan.rcp").write_text("ASTM\n")
    return {
        "cut.ply": "is cut off: it holds 6 of 7 points",
        "head.ply": "its header has no line 'end_header'",
        "short.ply": "is cut off: it holds 2 of 3 points",
        "huge.ply": "is cut off",
        "none.ply": "has 0 points",
        "flat.ply": "has no z; points need x, y and z",
        "type.ply": "has a damaged header: its line 'property real z' is not valid PLY",
        "faces.ply": "has no vertices; its elements are face",
        "empty.ply": "is empty",
        "text.ply": "is not a PLY file: its first line is not 'ply'",
        "two.npy": r"numbers of shape \(N, 3 or more\), got float64 of shape \(5, 2\)",
        "words.npy": r"got words of shape \(2, 3\)",
        "batch.npy": r"of shape \(2, 5, 3\); of a depth camera's picture save a.reshape",
        "none.npy": "has 0 points",
        "objects.npy": "holds Python objects; save an array of numbers",
        "no.npz": r"must hold an array 'points' of shape \(N, 3\), but holds a \(3,\)",
        "cut.npz": "is damaged, cut off or not a .npz file$",
        "two.xyz": "has 2 numbers in a line; points need x, y and z",
        "ragged.xyz": "cannot be read: line 2 has 2 numbers instead of 3",
        "few.xyz": "is cut off: it holds 2 of 5 points",
        "first.xyz": "holds 'three', which is not a number; begin it with # if it is not a point",
        "words.xyz": "line 1 holds 'two', which is not a number$",
        "none.txt": "has 0 points",
        "names.csv": "holds no numbers; it begins with 'x,y,z'",
        "binary.xyz": "is not text",
        "cut.xyz.gz": "is damaged, cut off or not a .xyz.gz file$",
        "none.obj": "has 0 points",
        "line.obj": "has no z; points need x, y and z",
        "scan.rcp": "its extension must be one of .ply",
        "gone.ply": "there is no file",
    }


def test_bad_files_are_refused_in_a_sentence(tmp_path, rows):
    for name, words in bad_files(tmp_path, rows).items():
        with pytest.raises(InputError, match=words) as caught:
            scans.read(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value), name


def test_text_without_points_is_no_cloud(tmp_path):
    (tmp_path / "README.txt").write_text("Scans of my garden\n\nTaken in May.\n")
    with pytest.raises(scans.NoCloud, match="README.txt"):
        scans.read(tmp_path / "README.txt")
    (tmp_path / "a.txt").write_text("1 2 3\n4 5 six\n")
    with pytest.raises(InputError) as caught:
        scans.read(tmp_path / "a.txt")
    assert not isinstance(caught.value, scans.NoCloud)


def test_extensions():
    with pytest.raises(
        InputError,
        match=r"cannot write a.csv: .csv is read only; its extension must be one of .ply",
    ):
        scans.check_extension(Path("a.csv"))
    for name, expected in {
        "a.PLY": ".ply",
        "b.xyz.GZ": ".xyz.gz",
        "c.copc.laz": ".laz",
        "d": "",
        "e.gz": ".gz",
    }.items():
        assert scans.extension(scans.Path(name)) == expected


def test_a_missing_library_is_named(tmp_path, rows):
    scans.write(tmp_path / "a.ply", scans.Scan(rows))
    for name in ("a.las", "a.laz", "a.glb"):
        (tmp_path / name).write_bytes(b"LASF" + bytes(400))
    code = """import sys
sys.modules |= {"laspy": None, "trimesh": None}
from samplenet import scans
write = lambda: scans.write("b.laz", scans.read("a.ply"))
for call in lambda: scans.read("a.las"), lambda: scans.read("a.glb"), write:
    try:
        call()
    except scans.InputError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    las, glb, laz = done.stdout.splitlines()
    advice = 'pip install "laspy[lazrs]", or the library with its extra "io"'
    assert las == f"a.las needs laspy[lazrs]; {advice}"
    assert glb.startswith("a.glb needs trimesh;") and laz.startswith("b.laz needs laspy[lazrs];")


def test_nothing_is_left_where_writing_fails(tmp_path, rows):
    with pytest.raises(InputError, match="cannot be written"):
        scans.write(tmp_path / "gone" / "a.ply", scans.Scan(rows))
    (tmp_path / "taken.ply").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        scans.write(tmp_path / "taken.ply", scans.Scan(rows))
    assert [file.name for file in tmp_path.iterdir()] == ["taken.ply"]
