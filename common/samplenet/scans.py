"""Files of one point cloud each: reading and writing with everything they tell of a point.

    .ply             every property of the vertices; read by trimesh, written binary
    .pcd             every field; pypcd4
    .las .laz        every dimension; laspy (written only from .las and .laz, whose header is kept)
    .npz             "points" (N, 3 or more) or the only such array; other arrays of N rows are kept beside it
    .npy             (N, 3 or more), or a structured array with fields x, y and z
    .xyz .txt        numbers, a line a point; # and // begin comments; names of columns are lost

Faces and other things that are no points' are left out. Importing this loads none of the readers.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import recfunctions
from numpy.typing import NDArray

from samplenet.checkpoint import write_atomic
from samplenet.errors import InputError

KNOWN = {
    "normals": ("nx", "ny", "nz"),
    "colors": ("red", "green", "blue", "alpha"),
}  # by column
PACKED = 256  # times its own size, the most that a compressed file is believed to hold


class Scan(NamedTuple):
    """A cloud of N points.

    Attributes:
        rows: (N,) structured: x, y, z and whatever else the file has, as stored.
        las: of a .las file, laspy's object with the header.
    """

    rows: NDArray
    las: Any = None

    @property
    def points(self) -> NDArray:
        """(N, 3) in the file's own precision: float32, or float64 for anything longer or whole."""
        points = np.stack([self.rows[axis] for axis in "xyz"], 1)
        return points.astype(np.float32 if points.dtype in (np.float16, np.float32) else np.float64, copy=False)

    def take(self, idx: NDArray) -> "Scan":
        """Those points, in the order of idx (m,)."""
        if self.las is None:
            return Scan(self.rows[idx])
        import laspy

        las = laspy.LasData(self.las.header)
        las.points = self.las.points[idx]
        return Scan(self.rows[idx], las)


def read(path: Path) -> Scan:
    """The cloud in a file.

    Raises:
        InputError: unknown extension, missing library, damaged or empty file, no points, no x, y and z, or a
            coordinate that is not finite.
    """
    reader = _by_extension(path, READERS, "read")
    try:
        if not path.stat().st_size:
            raise InputError(f"{path} is empty")
        scan = reader(path)
        _check(path, scan)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error
    except Exception as error:  # each library fails in its own ways, for example by IndexError in a header cut off
        if isinstance(error, KeyError) and error.args and error.args[0] in ("x", "y", "z"):
            raise InputError(f"{path} has no {error.args[0]}; points need x, y and z") from error
        reason = " ".join(str(error).split("; use `usecols`")[0].split()) or type(error).__name__  # NumPy's advice
        raise InputError(f"{path} is damaged, cut off or no {path.suffix} file ({reason})") from error
    return scan


def _check(path: Path, scan: Scan) -> None:
    if missing := [axis for axis in "xyz" if axis not in (scan.rows.dtype.names or ())]:
        raise InputError(f"{path} has no {missing[0]}; points need x, y and z")
    if not len(scan.rows):
        raise InputError(f"{path} has 0 points")
    finite = np.isfinite(scan.points).all(1)
    if not finite.all():
        raise InputError(
            f"{path}: {len(finite) - finite.sum()} of {len(finite)} points have a coordinate that is not finite, the "
            f"first is point {finite.argmin()}; remove them"
        )


def write(path: Path, scan: Scan) -> None:
    """Write a cloud in the format of the file's extension, whole or not at all."""
    put(path, _by_extension(path, WRITERS, "write")(scan))


def check_extension(path: Path, indices: bool = False) -> None:
    """InputError where neither `write` nor, for `indices`, `write_indices` knows the extension of the file."""
    _by_extension(path, INDICES if indices else WRITERS, "write")


def write_indices(path: Path, idx: NDArray) -> None:
    """Write the numbers (m,) of points, counted from 0, to .npy or .txt."""
    put(path, _by_extension(path, INDICES, "write indices to")(idx))


def put(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; InputError where that fails."""
    try:
        write_atomic(path, content)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error})") from error


def _by_extension(path: Path, table: dict[str, Callable], verb: str) -> Callable:
    found = table.get(path.suffix.lower())
    if found is None:
        raise InputError(f"cannot {verb} {path}: its extension must be one of {' '.join(table)}")
    return found


def _needs(name: str, path: Path, why: object) -> InputError:
    return InputError(f'{path} needs {name}; pip install {name}, or the library with its extra "io" ({why})')


# readers: Path -> Scan


def _read_ply(path: Path) -> Scan:
    from trimesh.exchange import ply

    with open(path, "rb") as file:
        elements, is_ascii, _ = ply._parse_header(file)
        kinds = elements.get("vertex", {}).get("properties", {})
        lists = any("$LIST" in kind for kind in kinds.values())
        if len(elements) > 1 and next(iter(elements)) == "vertex" and not is_ascii and not lists:
            # load_ply would read the faces too, and refuse triangles beside quads
            dtype, n = np.dtype([*kinds.items()]), elements["vertex"]["length"]
            there = (path.stat().st_size - file.tell()) // dtype.itemsize
            if there < n:
                raise InputError(f"{path} is cut off: {there} of {n} points")
            return Scan(np.fromfile(file, dtype, max(n, 0)).astype(dtype.newbyteorder("="), copy=False))
        file.seek(0)
        content = ply.load_ply(file, fix_texture=False, skip_materials=True)
    vertex = content["metadata"]["_ply_raw"].get("vertex")
    if not vertex or not vertex["length"]:
        raise InputError(f"{path} has 0 points")
    data, n = vertex["data"], vertex["length"]
    if isinstance(data, dict):  # an ASCII file's
        if data["x"].size != n:
            raise InputError(f"{path} is cut off: {data['x'].size} of {n} points")
        return Scan(_rows(**{name: a.reshape(n) for name, a in data.items() if a.size == n and a.dtype != object}))
    numbers = [name for name in data.dtype.names if data.dtype[name].kind in "iuf"]  # and no lists
    return Scan(data[numbers].astype(data[numbers].dtype.newbyteorder("="), copy=False))


def _read_pcd(path: Path) -> Scan:
    try:
        from pypcd4 import PointCloud
    except ImportError as error:
        raise _needs("pypcd4", path, error) from error
    with open(path, "rb") as file:
        lines = [line.split() for line in file.read(1 << 16).splitlines()]
    counts = [int(n) for words in lines if words[:1] in ([b"COUNT"], [b"WIDTH"], [b"POINTS"]) for n in words[1:]]
    if max(counts, default=0) > PACKED * path.stat().st_size:  # pypcd4 would make room for all of them
        raise InputError(f"{path} is damaged or cut off: its header tells of {max(counts)} values, more than fit")
    cloud = PointCloud.from_path(path)
    rows = np.atleast_1d(cloud.pc_data)
    if len(rows) != cloud.metadata.points:
        raise InputError(f"{path} is cut off: {len(rows)} of {cloud.metadata.points} points")
    return Scan(rows[[name for name in rows.dtype.names if not name.startswith("#")]])  # padding, as pypcd4 calls it


def _read_las(path: Path) -> Scan:
    try:
        import laspy
    except ImportError as error:
        raise _needs("laspy[lazrs]", path, error) from error
    with open(path, "rb") as file:
        head = file.read(255)
    if head[104] & 128 and not laspy.LazBackend.detect_available():
        raise _needs("laspy[lazrs]", path, "there is no reader of compressed points")
    for at, least in ((100, 54), (243, 60))[: 2 if head[25] >= 4 else 1]:  # laspy would read 2^32 records past the end
        if (count := int.from_bytes(head[at : at + 4], "little")) * least > path.stat().st_size:
            raise InputError(f"{path} is damaged or cut off: its header tells of {count} records, more than fit")
    points = int.from_bytes(head[247:255] if head[25] >= 4 else head[107:111], "little")  # it would make room for them
    if points * int.from_bytes(head[105:107], "little") > (PACKED if head[104] & 128 else 1) * path.stat().st_size:
        raise InputError(f"{path} is damaged or cut off: its header tells of {points} points, more than fit")
    las = laspy.read(path)
    others = [name for name in las.point_format.dimension_names if name not in "XYZ"]
    return Scan(_rows(x=las.x, y=las.y, z=las.z, **{name: las[name] for name in others}), las)


def _read_npz(path: Path) -> Scan:
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as content:  # np.load leaves damaged ones open
        arrays = {name: content[name] for name in content.files}
    clouds = [name for name, a in arrays.items() if a.ndim == 2 and a.shape[1] >= 3]
    if "points" not in clouds and len(clouds) != 1:
        raise InputError(f"{path} must hold an array 'points' of shape (N, 3), got {_shapes(arrays)}")
    name = "points" if "points" in clouds else clouds[0]
    points = arrays.pop(name)
    columns = _named(points, path)
    kept = {name: a for name, a in arrays.items() if a.ndim and len(a) == len(points)}
    if twice := [other for other in kept if other in columns]:
        raise InputError(f"{path} holds an array '{twice[0]}' beside the columns of '{name}' called so; rename it")
    return Scan(_rows(**columns, **kept))


def _read_npy(path: Path) -> Scan:
    with open(path, "rb") as file:
        array = np.load(file, allow_pickle=False)
    return Scan(array.ravel() if array.dtype.names else _rows(**_named(array, path)))


def _read_text(path: Path) -> Scan:
    with open(path, encoding="utf-8") as file:
        lines = (line for line in file if line.strip() and not line.lstrip().startswith(("#", "//")))
        first = next(lines, None)
        if first is None:
            raise InputError(f"{path} has 0 points")
        separator = next((mark for mark in ",;" if mark in first), None)
        try:
            [float(word) for word in first.split(separator)]
        except ValueError:
            told = f"its first line holds no numbers ('{first.strip()[:40]}')"
            raise InputError(f"{path}: {told}; begin it with # or delete it") from None
        file.seek(0)
        return Scan(_rows(**_named(np.loadtxt(file, comments=("#", "//"), delimiter=separator, ndmin=2), path)))


def _named(array: NDArray, path: Path) -> dict[str, NDArray]:
    """The columns of (N, C): x, y, z, column_3, ..."""
    if array.ndim != 2 or array.shape[1] < 3 or array.dtype.kind not in "iuf":
        raise InputError(f"{path} must hold numbers of shape (N, 3 or more), got {array.dtype} of shape {array.shape}")
    names = ["x", "y", "z", *(f"column_{i}" for i in range(3, array.shape[1]))]
    return dict(zip(names, array.T, strict=True))


def _rows(**columns: Any) -> NDArray:
    """Arrays of N rows -> (N,) structured."""
    columns = {name: np.asarray(array) for name, array in columns.items()}
    rows = np.empty(len(columns["x"]), [(name, a.dtype.newbyteorder("="), a.shape[1:]) for name, a in columns.items()])
    for name, array in columns.items():
        rows[name] = array
    return rows


def _shapes(arrays: dict[str, NDArray]) -> str:
    return ", ".join(f"{name} {a.shape}" for name, a in arrays.items()) or "nothing"


# writers: Scan -> the content of the file


def _flat(scan: Scan, kinds: str) -> NDArray:
    """Rows with x, y, z first, one number a field, and only the dtypes ("f4 f8 ...") that the format has."""
    columns = {}
    for name in [*"xyz", *_others(scan.rows)]:
        array = scan.rows[name].reshape(len(scan.rows), -1)
        if array.dtype.kind not in "biuf":
            raise InputError(f"{name} holds {array.dtype}; only numbers can be written to this format")
        names = [name] if array.shape[1] == 1 else KNOWN.get(name, ())[: array.shape[1]]
        if len(names) < array.shape[1]:
            names = [f"{name}_{i}" for i in range(array.shape[1])]
        if twice := [n for n in names if n in columns]:
            raise InputError(f"two columns would be called {twice[0]}; rename one of them")
        columns |= {n: _as_one_of(kinds.split(), column, n) for n, column in zip(names, array.T, strict=True)}
    return _rows(**columns)


def _others(rows: NDArray) -> list[str]:
    """The names of all fields but the coordinates."""
    return [name for name in rows.dtype.names if name not in ("x", "y", "z")]


def _as_one_of(kinds: list[str], array: NDArray, name: str) -> NDArray:
    """In its own dtype if the format has it, else in the first that holds every value."""
    if array.dtype.str[1:] in kinds:
        return array
    for kind in kinds:
        with np.errstate(all="ignore"):
            if not _changed(array.astype(kind), array).any():
                return array.astype(kind)
    return _unchanged(array.astype("f8"), array, name)


def _changed(copy: NDArray, array: NDArray) -> NDArray[np.bool_]:
    """Where a copy in another dtype differs: in long double, which holds the whole numbers of 64 bits and float64."""
    copy, array = copy.astype(np.longdouble), array.astype(np.longdouble)
    return (copy != array) & ~(np.isnan(copy) & np.isnan(array))


def _unchanged(copy: NDArray, array: NDArray, name: str) -> NDArray:
    """The copy; InputError where it holds other numbers."""
    if (changed := _changed(copy, array)).any():
        raise InputError(f"{name} holds {array[changed][0]}, which this format would round; write .npz, which does not")
    return copy


PLY_TYPES = {"u1": "uchar", "i1": "char", "u2": "ushort", "i2": "short", "i4": "int", "u4": "uint"}
PLY_TYPES |= {"f4": "float", "f8": "double"}


def _to_ply(scan: Scan) -> bytes:
    rows = _flat(scan, " ".join(PLY_TYPES))
    kinds = [(name, rows.dtype[name].str[1:]) for name in rows.dtype.names]
    properties = "".join(f"property {PLY_TYPES[kind]} {name.replace(' ', '_')}\n" for name, kind in kinds)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(rows)}\n{properties}end_header\n"
    return header.encode() + rows.astype(rows.dtype.newbyteorder("<")).tobytes()


def _to_pcd(scan: Scan) -> bytes:
    try:
        from pypcd4 import PointCloud
    except ImportError as error:
        raise _needs("pypcd4", Path("the .pcd file"), error) from error
    rows, buffer = _flat(scan, "u1 i1 u2 i2 i4 u4 i8 u8 f4 f8"), io.BytesIO()
    names = rows.dtype.names
    PointCloud.from_points([rows[n] for n in names], names, [rows.dtype[n] for n in names]).save(buffer)
    return buffer.getvalue()


def _to_las(scan: Scan, compress: bool) -> bytes:
    if scan.las is None:
        raise InputError(".las and .laz are written only from .las and .laz; name another extension, such as .ply")
    import laspy

    if compress and not laspy.LazBackend.detect_available():
        raise _needs("laspy[lazrs]", Path("the .laz file"), "there is no writer of compressed points")
    buffer = io.BytesIO()
    scan.las.write(buffer, do_compress=compress)
    return buffer.getvalue()


def _to_npz(scan: Scan) -> bytes:
    others = {name: scan.rows[name] for name in _others(scan.rows)}
    if taken := {"points", "file", "allow_pickle"} & {*others}:  # the last two are savez_compressed's own
        raise InputError(f"a column called {taken.pop()} cannot be written to .npz; rename it")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, points=np.stack([scan.rows[axis] for axis in "xyz"], 1), **others)
    return buffer.getvalue()


def _to_npy(scan: Scan) -> bytes:
    rows = _flat(scan, "u1 i1 u2 i2 i4 u4 i8 u8 f4 f8")
    array = recfunctions.structured_to_unstructured(rows)
    for name, column in zip(rows.dtype.names, array.T, strict=True):
        _unchanged(column, rows[name], name)
    return _saved(array)


def _saved(array: NDArray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _to_text(scan: Scan) -> bytes:
    """The shortest digits that read back as the same numbers."""
    rows = _flat(scan, "u1 i1 u2 i2 i4 u4 i8 u8 f4 f8")
    short = [[str(v) if v.dtype.kind in "iu" else np.format_float_positional(v, trim="-") for v in rows[n]]
             for n in rows.dtype.names]  # fmt: skip
    return "".join(" ".join(line) + "\n" for line in zip(*short, strict=True)).encode()


READERS = {
    ".ply": _read_ply,
    ".pcd": _read_pcd,
    ".las": _read_las,
    ".laz": _read_las,
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".xyz": _read_text,
    ".txt": _read_text,
}
WRITERS = {
    ".ply": _to_ply,
    ".pcd": _to_pcd,
    ".las": lambda scan: _to_las(scan, False),
    ".laz": lambda scan: _to_las(scan, True),
    ".npz": _to_npz,
    ".npy": _to_npy,
    ".xyz": _to_text,
    ".txt": _to_text,
}
INDICES = {".npy": _saved, ".txt": lambda idx: "".join(f"{i}\n" for i in idx.tolist()).encode()}
