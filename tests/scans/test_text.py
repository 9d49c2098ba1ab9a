"""Text: separators, lines before the numbers, encodings, names."""

import gzip

import pytest

from samplenet import scans

POINTS = [[1, 2, 3.5], [4, 5, 6]]
FILES = {  # name -> content of two points, and the names of further columns
    "comments.txt": ("# x y z\n//X,Y,Z\n\n1,2,3.5\n4,5,6 # last\n", []),
    "cloudcompare.asc": (
        "//X Y Z R G B Scalar_field\n2\n1 2 3.5 9 9 9 0\n4 5 6 9 9 9 1\n",
        ["R", "G", "B", "Scalar_field"],
    ),
    "count.xyz": ("2\nmade by hand\n1 2 3.5\n4 5 6\n", []),
    "names.csv": ("red,x,y,z\n9,1,2,3.5\n9,4,5,6\n", ["red"]),
    "quoted.csv": ('"X","Y","Z","time, s"\n"1","2","3.5","0"\n4,5,6,0\n', ["time, s"]),
    "german.csv": ("x;y;z;Höhe\n1,0;2,0;3,5;7\n4;5;6;8\n", ["Höhe"]),
    "decimal.txt": ("1,0 2,0 3,5\n4,0 5,0 6,0\n", []),
    "trailing.csv": ("1,2,3.5,\n4,5,6,\n", []),
    "tabs.txt": ("x\ty\tz\n1\t2\t3.5\n4\t5\t6\n", []),
    "bom.txt": ("\ufeff1 2 3.5\n4 5 6\n", []),
    "mac.txt": ("1 2 3.5\r4 5 6\r", []),
    "windows.csv": ("x,y,z\r\n1,2,3.5\r\n4,5,6\r\n", []),
    "paraview.csv": ('"id","Points:0","Points:1","Points:2"\n7,1,2,3.5\n8,4,5,6\n', ["id"]),
    "behind.xyz": ("1 2 3.5 // first\n4 5 6 # second\n", []),
    "links.csv": ('x,y,z,"page"\n1,2,3.5,"http://a.b#c"\n4,5,6,"none, yet"\n', []),
    "words.csv": ("x,y,z,tree,age\n1,2,3.5,oak,9\n4,5,6,ash,7\n", ["age"]),
    "twice.csv": ("x,y,z,a,a\n1,2,3.5,0,1\n4,5,6,0,1\n", ["a", "a_2"]),
    "plain.xyzn": ("1 2 3.5 0 0 1\n4 5 6 0 0 1\n", ["nx", "ny", "nz"]),
    "plain.xyzrgb": ("1 2 3.5 0 0 1\n4 5 6 0 0 1\n", ["red", "green", "blue"]),
    "leica.pts": ("2\n1 2 3.5 -50 9 9 9\n4 5 6 -60 9 9 9\n", ["intensity", "red", "green", "blue"]),
    "molecule.xyz": ("2\nwater\nH 1 2 3.5\nO 4 5 6\n", []),
    "excel.csv": ("sep=;\nx;y;z\n1;2;3,5\n4;5;6,0\n", []),
    "ftp.xyz": ("1 2 3.5\r\r\n4 5 6\r\r\n", []),
    "lidar.csv": ("TIME (ns),X1 (mm),Y1 (mm),Z1 (mm)\n0,1,2,3.5\n1,4,5,6\n", ["TIME (ns)"]),
    "whole.csv": ("x;y;z\n1;2;3,5\n4;5;6\n", []),
    "late.csv": ("x,y,z,name,age\n1,2,3.5,,9\n4,5,6,oak,7\n", ["age"]),
    "six.xyz": ("1 2 3.5 0 0 1\n4 5 6 0 0 1\n", ["column_3", "column_4", "column_5"]),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_text_of_many_writers(tmp_path, name, packed):
    content, others = FILES[name]
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    scan = scans.read(path)
    assert scan.points.tolist() == POINTS
    assert [column for column in scan.rows.dtype.names if column not in ("x", "y", "z")] == others


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_other_encodings(tmp_path, encoding):
    (tmp_path / "a.csv").write_bytes("# Straße\nx,y,z,größe\n1,2,3.5,0\n4,5,6,0\n".encode(encoding))
    scan = scans.read(tmp_path / "a.csv")
    assert scan.points.tolist() == POINTS and scan.rows.dtype.names[3] == "größe"


def test_empty_cells_and_windows_nan_are_not_finite(tmp_path):
    (tmp_path / "a.csv").write_text("x,y,z,label\n1,2,3,\n1,,3,5\n4,5,6,7\n")
    scan = scans.read(tmp_path / "a.csv")
    assert scan.finite.tolist() == [True, False, True] and scan.rows["label"][2] == 7
    (tmp_path / "b.xyz").write_text("1 2 3\n-nan(ind) 2 3\n")
    assert scans.read(tmp_path / "b.xyz").finite.tolist() == [True, False]


def test_columns_that_are_not_read_are_reported(tmp_path):
    (tmp_path / "a.csv").write_text("x,y,z,tree\n1,2,3,oak\n")
    assert scans.read(tmp_path / "a.csv").notes == ("tree dropped: words, not numbers",)
    (tmp_path / "b.csv").write_text("east,north,height\n1,2,3\n")
    assert scans.read(tmp_path / "b.csv").notes == (
        "its columns east, north, height are taken as x, y and z",
    )


def test_a_packed_file_that_unpacks_to_far_more_is_refused(tmp_path):
    (tmp_path / "a.xyz.gz").write_bytes(gzip.compress(b"1 2 3\n" * 10**6))
    with pytest.raises(
        scans.InputError, match="unpacks to more than 256 times its size; unpack it first"
    ):
        scans.read(tmp_path / "a.xyz.gz")


def test_a_line_that_cannot_be_read_is_shown(tmp_path):
    (tmp_path / "a.txt").write_text("-421.88 171.88 3,984.38\n")
    with pytest.raises(
        scans.InputError, match="line 1 has several kinds of separators: '-421.88 171.88 3,984.38'"
    ):
        scans.read(tmp_path / "a.txt")
    (tmp_path / "b.txt").write_text("1 2 3\n1 2 18\x105.0\n")
    with pytest.raises(scans.InputError, match=r"line 2 holds '18\\x105.0', which is not a number"):
        scans.read(tmp_path / "b.txt")


def test_a_line_of_words_with_a_number_is_no_cloud(tmp_path):
    (tmp_path / "notes.txt").write_text("Version 2.0 of scan\n")
    with pytest.raises(scans.NoCloud):
        scans.read(tmp_path / "notes.txt")
