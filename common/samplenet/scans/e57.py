"""E57, by pye57, read only: the points of all scans of a file, in its common frame.

Intensity and colours are kept where every scan has them, and of several scans the number of each
point's, from 0. Points that a scanner marks as invalid are left out, and so are pictures.
"""

from pathlib import Path

import numpy as np

from samplenet.scans import columns
from samplenet.scans.errors import Bad, needs
from samplenet.scans.scan import Scan

SIGNATURE = b"ASTM-E57"
NAMES = {"cartesianX": "x", "cartesianY": "y", "cartesianZ": "z", "intensity": "intensity"}
NAMES |= {"colorRed": "red", "colorGreen": "green", "colorBlue": "blue"}


def read(path: Path) -> Scan:
    """Read the points of every scan, one scan after the other."""
    try:
        import pye57
    except ImportError as error:
        raise needs("pye57") from error
    with open(path, "rb") as file:
        if file.read(len(SIGNATURE)) != SIGNATURE:
            raise Bad("is not an E57 file: it does not begin with 'ASTM-E57'")
    flags = {"intensity": True, "colors": True, "ignore_missing_fields": True}
    with pye57.E57(str(path)) as file:
        count = file.scan_count
        scans = [file.read_scan(number, **flags) for number in range(count)]
        stored = sum(file.get_header(number).point_count for number in range(count))
    if not scans:
        raise Bad("holds no scan")
    table = {}
    for field, name in NAMES.items():
        if all(field in scan for scan in scans):
            table[name] = np.concatenate([scan[field] for scan in scans])
    points = [len(scan["cartesianX"]) for scan in scans]
    if count > 1:
        table["scan"] = np.repeat(np.arange(count, dtype=np.int32), points)
    dropped, notes = stored - sum(points), []
    if dropped:
        notes.append(f"left out {dropped} points that the scanner marks as invalid")
    return Scan(columns.rows_of(table), "text", notes=tuple(notes))
