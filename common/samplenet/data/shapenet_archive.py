"""The archive of ShapeNetCore clouds.

Nobody published a checksum of it, so the first complete one that is extracted sets the checksum.
"""

import contextlib
import json
import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from samplenet.atomic import write_atomic
from samplenet.data.archive import ensure_folder
from samplenet.data.download import fetch, md5_of
from samplenet.errors import InputError

FOLDER = "shape_net_core_uniform_samples_2048"
MIRRORS = (
    "https://www.dropbox.com/s/vmsdrae6x5xws1v/shape_net_core_uniform_samples_2048.zip?dl=1",
)
SYNSETS = {"chair": "03001627", "table": "04379243", "car": "02958343", "airplane": "02691156"}
MAX_BYTES = 5_000_000_000  # of the unpacked archive

log = logging.getLogger(__name__)


def download(
    root: str | os.PathLike, urls: Sequence[str] = MIRRORS, archive: str | os.PathLike | None = None
) -> Path:
    """Return `root/shape_net_core_uniform_samples_2048`, downloaded first if any of it is missing.

    An archive that is already at `root/shape_net_core_uniform_samples_2048.zip` is used. Once an
    archive has been extracted, its files agree with their CRC-32 and the classes of `SYNSETS` are
    there, a .json file beside the folder records its size, its MD5 and the number of files; then no
    other archive is accepted. A folder without such a record is returned unchecked.

    Args:
        archive: a downloaded archive; nothing is downloaded.

    Raises:
        InputError: all mirrors failed, the archive is another one, or `root` cannot be written.
    """
    folder = Path(root) / FOLDER
    record_file = folder.with_name(f"{FOLDER}.json")

    def find_damage(folder: Path) -> list[str]:
        """List what is missing according to the record; without a record, all or nothing."""
        files = _count(folder)
        if record := _read_record(record_file):
            counts = record["files"].items()
            return [f"{name}: {files[name]} of {n} files" for name, n in counts if files[name] < n]
        if folder.exists() and not files:
            raise InputError(f"{folder} is in the way, it holds no <synset>/<id>.ply: move it")
        return [] if files else ["everything"]

    def get_archive() -> Path:
        """Return the archive, downloaded if none is given; its MD5 must be the record's."""
        md5 = _read_record(record_file).get("md5")
        if archive is None:
            return fetch(urls, folder.with_name(f"{FOLDER}.zip"), md5, MAX_BYTES)
        path = Path(archive)
        if not path.is_file():
            raise InputError(f"{path} is not a file: correct --archive")
        if md5 and (other := md5_of(path)) != md5:
            raise InputError(
                f"{path} has MD5 {other}, not the {md5} in {record_file}: "
                "use that archive, or delete the record"
            )
        return path

    def accept(archive: Path, new: Path) -> None:
        files = _count(new)
        missing = [synset for synset in SYNSETS.values() if not files[synset]]
        if missing:
            raise InputError(
                f"{archive} holds no {missing[0]}/<id>.ply: it is another archive, "
                "get the right one"
            )
        if not _read_record(record_file):
            _write_record(record_file, archive, files)

    return ensure_folder(folder, find_damage, get_archive, accept, MAX_BYTES)


def _count(folder: Path) -> Counter[str]:
    """Count the PLY files by synset."""
    return Counter(file.parent.name for file in folder.glob("[0-9]*/*.ply"))


def _read_record(file: Path) -> dict:
    """Read what `_write_record` wrote; return an empty record if there is none."""
    if not file.is_file():
        return {}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        record = json.loads(file.read_text(encoding="utf-8"))
        counted = all(isinstance(n, int) for n in record["files"].values())
        if counted and isinstance(record["md5"], str):
            return record
    raise InputError(f"{file} is no record of an archive: delete it")


def _write_record(file: Path, archive: Path, files: Counter[str]) -> None:
    size, md5 = archive.stat().st_size, md5_of(archive)
    record = {
        "about": "made here when the archive was first extracted, as nobody published a checksum",
        "archive": archive.name,
        "bytes": size,
        "md5": md5,
        "files": dict(sorted(files.items())),
    }
    write_atomic(file, (json.dumps(record, indent=1) + "\n").encode())
    text = "no checksum of %s is published; that of this one (%d bytes, MD5 %s) is recorded in %s"
    log.warning(text, archive.name, size, md5, file)
