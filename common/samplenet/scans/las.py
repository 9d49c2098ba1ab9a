"""LAS and LAZ, by laspy: every dimension; from one to the other also the header and its records.

COPC is read as the LAZ file that it is.
"""

import contextlib
import copy
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from samplenet.scans import columns, conversion
from samplenet.scans.errors import Bad, needs
from samplenet.scans.scan import MAX_COMPRESSION, Scan, quiet

PACKAGE = "laspy[lazrs]"
PIECE = 1_000_000  # points that `Pieces` reads at once


def read(path: Path) -> Scan:
    """Read the points; `kept` is laspy's object of the same points, with the header."""
    laspy = _laspy(compressed=_check_header(path))
    with _unpacked(), quiet("laspy"):
        las = laspy.read(path)
    notes = []
    if _drop_copc_records(las):
        notes.append("read as plain LAZ: the octree of COPC is dropped")
    if las.header.global_encoding.waveform_data_packets_internal:
        las.header.global_encoding.waveform_data_packets_internal = False
        las.header.start_of_waveform_data_packet_record = 0
        notes.append("waveforms are dropped")
    # X, Y and Z are the stored whole numbers; x, y and z the coordinates
    others = {name: las[name] for name in las.point_format.dimension_names if name not in "XYZ"}
    rows = columns.rows_of({"x": las.x, "y": las.y, "z": las.z, **others})
    return Scan(rows, "las", las, tuple(notes))


@contextlib.contextmanager
def _unpacked() -> Iterator[None]:
    """Turn an error of lazrs into one that names the fault."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # lazrs raises it, and it is no Exception
            raise
        raise Bad("is damaged: its compressed points cannot be unpacked") from error


def _laspy(compressed: bool) -> Any:
    """Import laspy; raise Bad if it is missing, or its decoder for compressed points."""
    try:
        import laspy
    except ImportError as error:
        raise needs(PACKAGE) from error
    if compressed and not laspy.LazBackend.detect_available():
        raise needs(PACKAGE)
    return laspy


def _check_header(path: Path) -> bool:
    """Return whether a file's points are compressed.

    Raises:
        Bad: the header names more than the file can hold; laspy would allocate all of it.
    """
    with open(path, "rb") as file:
        header = file.read(375)
        compressed = header[104:105] >= b"\x80"
        chunks = _chunks(file, header) if compressed else 0
    if header[:4] != b"LASF":
        raise Bad("is not a LAS file: it does not begin with 'LASF'")
    if len(header) < 227:
        raise Bad("is cut off: it ends within its header")

    def field(offset: int, size: int) -> int:
        return int.from_bytes(header[offset : offset + size], "little")

    # Offsets by the LAS specification: version 1.4 counts points in 64 bits, and has records
    # behind the points too. A record has a head of 54 bytes, or of 60 behind the points.
    is_1_4 = field(25, 1) >= 4 and len(header) >= 255
    points, point_size = field(247, 8) if is_1_4 else field(107, 4), field(105, 2)
    extended_records = field(243, 4) if is_1_4 else 0
    size = path.stat().st_size
    unpacked = size * MAX_COMPRESSION if compressed else size
    for count, name, fits in (
        (field(100, 4), "records", field(100, 4) * 54 <= size),
        (extended_records, "records", extended_records * 60 <= size),
        (points, "points", points * point_size <= unpacked),
        (chunks, "chunks", chunks <= size),
    ):
        if not fits:
            raise Bad(f"is damaged or cut off: it promises {count} {name}, more than it can hold")
    return compressed


def _chunks(file: BinaryIO, header: bytes) -> int:
    """Read the number of chunks of a .laz file.

    lazrs allocates room for all of them, and aborts the process if it cannot.
    """
    try:
        file.seek(int.from_bytes(header[96:100], "little"))
        table = int.from_bytes(file.read(8), "little", signed=True)
        if table == -1:  # written as a stream: the position is at the end of the file
            file.seek(-8, io.SEEK_END)
            table = int.from_bytes(file.read(8), "little", signed=True)
        file.seek(table + 4)
    except (OSError, ValueError):
        return 0  # laspy will say that the file is damaged
    return int.from_bytes(file.read(4), "little")


def _drop_copc_records(las: Any) -> bool:
    """Remove the records of COPC, which are wrong for a sample; return whether there were any."""
    dropped = False
    for records in (las.vlrs, las.evlrs or []):
        for record in list(records):
            if record.user_id.rstrip("\0") == "copc":
                records.remove(record)
                dropped = True
    return dropped


class Pieces:
    """A file whose points are read some at a time: for files larger than the memory.

    Iterating yields laspy's records of up to PIECE points, each time from the beginning.

    Attributes:
        count: of points.
        header: of a file of other points of the same kind.

    Raises:
        Bad: the file is damaged, here or in an iteration.
    """

    def __init__(self, path: Path):
        self.path = path
        self.laspy = _laspy(compressed=_check_header(path))
        with self._opened() as reader:
            reader.read_evlrs()
            self.count, self.header = reader.header.point_count, reader.header
        records = SimpleNamespace(vlrs=self.header.vlrs, evlrs=self.header.evlrs)
        _drop_copc_records(records)
        self.header.global_encoding.waveform_data_packets_internal = False
        self.header.start_of_waveform_data_packet_record = 0

    def __iter__(self) -> Iterator[Any]:
        with self._opened() as reader:
            yield from reader.chunk_iterator(PIECE)

    def records(self, array: NDArray) -> Any:
        """Return laspy's record of points as a record's `array` has them."""
        header = self.header
        return self.laspy.ScaleAwarePointRecord(
            array, header.point_format, header.scales, header.offsets
        )

    @contextlib.contextmanager
    def writing(self, target: Path) -> Iterator[Callable[[Any], None]]:
        """Write a file with this header: yield a function that appends records."""
        compress = target.suffix.lower() == ".laz"
        part = target.with_name(target.name + ".part")
        try:
            _laspy(compress)
            header = copy.deepcopy(self.header)
            with self.laspy.open(part, "w", header=header, do_compress=compress) as writer:
                yield writer.write_points
                if header.evlrs:
                    writer.write_evlrs(header.evlrs)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Any]:
        try:
            with _unpacked(), quiet("laspy"), self.laspy.open(self.path) as reader:
                yield reader
        except Bad:
            raise
        except Exception as error:  # laspy fails in its own ways
            raise Bad("is damaged, cut off or no LAS file") from error


def write(scan: Scan, extension: str) -> tuple[bytes, list[str]]:
    """Return a file's content, compressed for .laz; LAS 1.4 if it was read from another format."""
    compress = extension == ".laz"
    laspy = _laspy(compress)
    las, notes = (scan.kept, []) if scan.format == "las" else _converted(scan, extension, laspy)
    buffer = io.BytesIO()
    las.write(buffer, do_compress=compress)
    return buffer.getvalue(), notes


def _converted(scan: Scan, extension: str, laspy: Any) -> tuple[Any, list[str]]:
    """Return laspy's object of a scan of another format, and a sentence on each change."""
    table, notes = conversion.for_format(scan, "las", extension)
    points = np.stack([table.pop(axis) for axis in "xyz"], 1).astype(float)
    if not np.isfinite(points).all():
        raise Bad(f"cannot be written: {extension} has no NaN or infinity; leave those points out")
    las = laspy.create(point_format=7 if "red" in table else 6, file_version="1.4")
    standard = {*las.point_format.standard_dimension_names}
    # the finest power of ten whose multiples, stored in 32 bits, reach across the cloud
    las.header.offsets = np.floor(points.min(0))
    span = float((points.max(0) - las.header.offsets).max()) or 1.0
    las.header.scales = np.full(3, 10.0 ** np.ceil(np.log10(span / (2**31 - 1))))
    las.header.creation_date = None  # the same cloud gives the same file on every day
    # a column must not hide an attribute of laspy's object, nor the stored X, Y and Z
    reserved = {*dir(las), *dir(las.points), "bit_fields"} - standard | {*"XYZ"}
    names = [f"{name}_" if name in reserved else name for name in table]
    # a name has at most 32 bytes; `distinct` may add three
    names = columns.distinct([name.encode()[:29].decode(errors="ignore") for name in names])
    renamed = [(old, new) for old, new in zip(table, names, strict=True) if old != new]
    notes += [f"{old}: written as {new} in {extension}" for old, new in renamed]
    table = dict(zip(names, table.values(), strict=True))
    extra = [name for name in names if name not in standard]
    las.add_extra_dims([laspy.ExtraBytesParams(name, table[name].dtype) for name in extra])
    las.x, las.y, las.z = points.T
    for name, array in table.items():
        with contextlib.suppress(OverflowError):
            las[name] = array
        # standard dimensions have few bits, and NumPy cuts larger numbers silently
        if columns.changed(np.asarray(las[name]), array).any():
            dimension = f"a standard dimension {name} for smaller numbers"
            raise Bad(f"cannot be written: {extension} has {dimension}; rename the column")
    change = columns.largest_change(np.asarray(las.xyz), points)
    if change:
        multiples = f"x, y, z are multiples of {las.header.scales[0]:g} in {extension}"
        notes.append(f"{multiples}, rounded by up to {change:.2g}")
    return las, notes
