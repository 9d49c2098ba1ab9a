"""Files of one point cloud each: read and written with everything that they hold for a point.

    .ply             every property of the vertices, lists too; comments; written binary
    .pcd             every field, also of several numbers; the viewpoint; written binary
    .las .laz        every dimension, the header and its records, by laspy; COPC as plain LAZ
    .e57             coordinates, intensity, colours of all scans, in one frame, by pye57; read only
    .npz             "points" (N, 3 or more) or the only such array; other arrays of N rows
    .npy             (N, 3 or more), or a structured array with fields x, y and z
    .xyz .txt        a line of numbers for each point
    .csv .asc .pts .xyzn .xyzrgb .obj .off .stl .glb, and .gz of text and .ply: read only

Faces and other things beside points are left out. From one format to another normals, colours and
intensity get the names of the target, see `conversion`; a sentence reports each change or loss.
Importing this package loads no reader's library.
"""

from collections.abc import Callable
from pathlib import Path

from numpy.typing import NDArray

from samplenet.atomic import write_atomic
from samplenet.errors import InputError
from samplenet.scans import arrays, columns, e57, las, mesh, pcd, ply, text
from samplenet.scans.errors import Bad, NoCloud, NoNumbers
from samplenet.scans.scan import Scan

__all__ = [
    "READERS",
    "TILED",
    "WRITERS",
    "Bad",
    "NoCloud",
    "Scan",
    "check_extension",
    "encode",
    "encode_indices",
    "extension",
    "pieces",
    "put",
    "read",
    "write",
    "write_indices",
]

READERS = {
    ".ply": ply.read,
    ".pcd": pcd.read,
    ".las": las.read,
    ".laz": las.read,
    ".npz": arrays.read_npz,
    ".npy": arrays.read_npy,
    **dict.fromkeys((".xyz", ".txt", ".csv", ".asc", ".pts", ".xyzn", ".xyzrgb"), text.read),
    ".e57": e57.read,
    ".obj": mesh.read_obj,
    ".stl": mesh.read_stl,
    ".off": mesh.read,
    ".glb": mesh.read,
}
READERS |= {f"{name}.gz": r for name, r in READERS.items() if r in (ply.read, text.read)}
WRITERS = {
    ".ply": ply.write,
    ".pcd": pcd.write,
    ".las": las.write,
    ".laz": las.write,
    ".npz": arrays.write_npz,
    ".npy": arrays.write_npy,
    ".xyz": text.write,
    ".txt": text.write,
}
TILED = (".las", ".laz")  # read in pieces
INDICES = {".npy": arrays.saved, ".txt": text.write_indices}


def extension(path: Path) -> str:
    """Return the extension of a file in lower case; both of a packed file, such as ".ply.gz"."""
    path = Path(path)
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() + suffix if suffix == ".gz" else suffix


def read(path: Path) -> Scan:
    """Read the cloud of a file. Points that are not finite are read too, see `Scan.finite`.

    Raises:
        InputError: unknown extension, missing library, damaged or empty file, no x, y and z, or no
            finite point; `NoCloud`, a kind of InputError, for text without points.
    """
    path = Path(path)
    reader = _known(path, READERS, "read")
    try:
        if not path.stat().st_size:
            raise Bad("is empty")
        scan = reader(path)
        _check(scan)
    except NoNumbers as error:
        raise NoCloud(f"{path} {error}") from error
    except Bad as error:
        raise InputError(f"{path} {error}") from error
    except Exception as error:
        # each library fails in its own ways, for example by IndexError in a header that is cut off
        if not path.exists():
            raise InputError(f"there is no file {path}") from error
        if isinstance(error, OSError) and error.filename:  # it could not be opened
            reason = f"cannot be read ({error.strerror})"
        elif isinstance(error, MemoryError):
            reason = "is too large for the memory of this machine, or damaged"
        else:
            reason = f"is damaged, cut off or not a {extension(path)} file"
        raise InputError(f"{path} {reason}") from error
    return scan


def pieces(path: Path) -> las.Pieces:
    """Open a .las or .laz file whose points are read some at a time; InputError if damaged."""
    try:
        found = las.Pieces(Path(path))
    except Bad as error:
        raise InputError(f"{path} {error}") from error
    if not found.count:
        raise InputError(f"{path} has 0 points")
    return found


def _check(scan: Scan) -> None:
    columns.check_axes(scan.rows.dtype.names or ())
    if not len(scan.rows):
        raise Bad("has 0 points")
    for axis in "xyz":
        kind = scan.rows.dtype[axis]
        if kind.kind not in "iuf":  # an axis of several numbers has the kind V
            raise Bad(f"must have one number for each {axis}, got {columns.contents(kind.base)}")
    if not scan.finite.any():
        raise Bad(f"has no point with finite coordinates among its {len(scan.rows)}")


def write(path: Path, scan: Scan) -> list[str]:
    """Write a cloud in the format of the file's extension, whole or not at all.

    Returns:
        A sentence on each kind of change: columns that are dropped, renamed or of another type.
    """
    content, notes = encode(path, scan)
    put(Path(path), content)
    return notes


def encode(path: Path, scan: Scan) -> tuple[bytes, list[str]]:
    """Return what `write` would write to a path, and its sentences."""
    path = Path(path)
    writer = _known(path, WRITERS, "write")
    try:
        return writer(scan, extension(path))
    except Bad as error:
        raise InputError(f"{path} {error}") from error
    except Exception as error:
        fault = f"{path} cannot be written as {extension(path)}; name another extension"
        raise InputError(fault) from error


def check_extension(path: Path, indices: bool = False) -> None:
    """Raise InputError if clouds, or for `indices` indices, have no format of this extension."""
    _known(path, INDICES if indices else WRITERS, "write")


def write_indices(path: Path, idx: NDArray) -> None:
    """Write indices of points (m,), counted from 0, to .npy or .txt."""
    put(path, encode_indices(path, idx))


def encode_indices(path: Path, idx: NDArray) -> bytes:
    """Return what `write_indices` would write to a path."""
    return _known(path, INDICES, "write indices to")(idx)


def put(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; InputError if that fails."""
    try:
        write_atomic(path, content)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error})") from error


def _known(path: Path, table: dict[str, Callable], verb: str) -> Callable:
    suffix = extension(path)
    if suffix in table:
        return table[suffix]
    read_only = f"{suffix} is read only; " if table is WRITERS and suffix in READERS else ""
    known = " ".join(table)
    raise InputError(f"cannot {verb} {path}: {read_only}its extension must be one of {known}")
