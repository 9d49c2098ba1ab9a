"""LAS and LAZ, by laspy: every dimension; from one to the other with the header, its records and the scale.

COPC is read as the LAZ file that it is.
"""

import contextlib
import io
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from samplenet.scans import columns
from samplenet.scans.errors import Bad, needs
from samplenet.scans.scan import MAX_COMPRESSION, Scan, quiet

PACKAGE = "laspy[lazrs]"
COPC = "copc"  # the user of its records


def read(path: Path) -> Scan:
    """Read the points; `kept` is laspy's object of the same points, with the header."""
    laspy = _laspy()
    _check_head(path, laspy)
    try:
        with quiet("laspy"):
            las = laspy.read(path)
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of lazrs, and no Exception
            raise
        raise Bad("is damaged: its compressed points cannot be unpacked") from error
    notes = []
    if _drop_records(las, COPC):
        notes.append("read as plain LAZ: the octree of COPC is dropped")
    if las.header.global_encoding.waveform_data_packets_internal:
        las.header.global_encoding.waveform_data_packets_internal = False
        las.header.start_of_waveform_data_packet_record = 0
        notes.append("waveforms are dropped")
    others = [name for name in las.point_format.dimension_names if name not in "XYZ"]
    rows = columns.rows_of(
        {"x": las.x, "y": las.y, "z": las.z, **{name: las[name] for name in others}}
    )
    return Scan(rows, "las", las, tuple(notes))


def _laspy() -> Any:
    try:
        import laspy
    except ImportError as error:
        raise needs(PACKAGE) from error
    return laspy


def _check_head(path: Path, laspy: Any) -> None:
    """Raise Bad for a header that names more than the file holds: laspy would make room for it."""
    with open(path, "rb") as file:
        head = file.read(375)
        chunks = _chunks(file, head) if head[104:105] >= b"\x80" else 0  # compressed
    if head[:4] != b"LASF":
        raise Bad("is no LAS file: it does not begin with 'LASF'")
    if len(head) < 227:
        raise Bad("is cut off: it ends within its header")
    size, compressed = path.stat().st_size, head[104] & 128
    if compressed and not laspy.LazBackend.detect_available():
        raise needs(PACKAGE)
    is_1_4 = head[25] >= 4 and len(head) >= 255
    for offset, smallest in ((100, 54), (243, 60))[: 2 if is_1_4 else 1]:
        records = int.from_bytes(head[offset : offset + 4], "little")
        if records * smallest > size:
            raise Bad(
                f"is damaged or cut off: its header promises {records} records, more than the file can hold"
            )
    points = int.from_bytes(head[247:255] if is_1_4 else head[107:111], "little")
    if (
        points * int.from_bytes(head[105:107], "little")
        > (MAX_COMPRESSION if compressed else 1) * size
    ):
        raise Bad(
            f"is damaged or cut off: its header promises {points} points, more than the file can hold"
        )
    if chunks > size:
        raise Bad(
            f"is damaged or cut off: its table promises {chunks} chunks, more than the file can hold"
        )


def _chunks(file: BinaryIO, head: bytes) -> int:
    """Read the number of chunks of a .laz file: lazrs makes room for them, and aborts the process if it cannot."""
    try:
        file.seek(int.from_bytes(head[96:100], "little"))
        table = int.from_bytes(file.read(8), "little", signed=True)
        if table == -1:  # written as a stream: the end of the file says where
            file.seek(-8, io.SEEK_END)
            table = int.from_bytes(file.read(8), "little", signed=True)
        file.seek(table + 4)
    except (OSError, ValueError):
        return 0  # laspy will say that the file is damaged
    return int.from_bytes(file.read(4), "little")


def _drop_records(las: Any, user: str) -> bool:
    dropped = False
    for records in (las.vlrs, las.evlrs or []):
        for record in [record for record in records if record.user_id.rstrip("\0") == user]:
            records.remove(record)
            dropped = True
    return dropped


def write(scan: Scan, extension: str) -> tuple[bytes, list[str]]:
    """Write the content of a file, compressed for .laz; of rows from elsewhere in LAS 1.4, colours and all."""
    laspy = _laspy()
    compress = extension == ".laz"
    if compress and not laspy.LazBackend.detect_available():
        raise needs(PACKAGE)
    las, notes = (scan.kept, []) if scan.format == "las" else _converted(scan, extension, laspy)
    buffer = io.BytesIO()
    las.write(buffer, do_compress=compress)
    return buffer.getvalue(), notes


def _converted(scan: Scan, extension: str, laspy: Any) -> tuple[Any, list[str]]:
    table, notes = columns.for_format(scan, "las", extension)
    points = np.stack([table.pop(axis) for axis in "xyz"], 1).astype(float)
    if not np.isfinite(points).all():
        raise Bad(
            f"cannot be written: {extension} holds no coordinates that are not finite; leave those points out"
        )
    las = laspy.create(point_format=7 if "red" in table else 6, file_version="1.4")
    low, high = points.min(0), points.max(0)
    las.header.offsets = np.floor(low)
    span = float((high - las.header.offsets).max()) or 1.0
    las.header.scales = np.full(3, 10.0 ** np.ceil(np.log10(span / (2**31 - 1))))
    las.header.creation_date = None  # the same cloud gives the same file on every day
    dimensions = {*las.point_format.standard_dimension_names} - {*"XYZ"}
    # laspy's own names, and the stored coordinates
    reserved = {*dir(las), *dir(las.points), *"XYZ", "bit_fields"} - dimensions
    names = [f"{name}_" if name in reserved else name for name in table]
    short = columns.distinct(
        [name.encode()[:29].decode(errors="ignore") for name in names]
    )  # at most 32 bytes
    notes += columns.renamed(dict(zip(table, short, strict=True)), extension)
    table = dict(zip(short, table.values(), strict=True))
    extra = [name for name in table if name not in {*las.point_format.standard_dimension_names}]
    las.add_extra_dims([laspy.ExtraBytesParams(name, table[name].dtype) for name in extra])
    las.x, las.y, las.z = points.T
    for name, array in table.items():
        _set(las, name, array, extension)
    change = columns.largest_change(np.asarray(las.xyz), points)
    if change:
        scale = las.header.scales[0]
        notes.append(
            f"x, y, z are multiples of {scale:g} in {extension}, rounded by up to {change:.2g}"
        )
    return las, notes


def _set(las: Any, name: str, array: NDArray, extension: str) -> None:
    """Fill a dimension; those of the standard have few bits, and NumPy would cut larger numbers silently."""
    with contextlib.suppress(OverflowError):
        las[name] = array
    if columns.changed(np.asarray(las[name]), array).any():
        raise Bad(
            f"cannot be written: {extension} has a dimension {name} of its own for smaller numbers; rename it"
        )
