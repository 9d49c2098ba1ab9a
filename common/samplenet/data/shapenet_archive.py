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

    def record_new(archive: Path, new: Path) -> None:
        files = _count(new)
        for synset in SYNSETS.values():
            if not files[synset]:
                raise InputError(
                    f"{archive} holds no {synset}/<id>.ply: it is another archive, get the right one"
                )
        if not _read_record(folder):
            _write_record(folder, archive, files)

    def get_archive() -> Path:
        return _get(urls, archive, folder)

    return ensure_folder(folder, _lacking, get_archive, record_new, MAX_BYTES)


def _count(folder: Path) -> Counter[str]:
    """Count the PLY files by synset."""
    return Counter(file.parent.name for file in folder.glob("[0-9]*/*.ply"))


def _lacking(folder: Path) -> list[str]:
    """List what the folder lacks according to its record; without a record, all or nothing."""
    files = _count(folder)
    if record := _read_record(folder):
        expected = record["files"].items()
        return [f"{name}: {files[name]} of {n} files" for name, n in expected if files[name] < n]
    if files:
        return []
    if folder.exists():
        raise InputError(f"{folder} is in the way, it holds no <synset>/<id>.ply: move it")
    return ["everything"]


def _get(urls: Sequence[str], archive: str | os.PathLike | None, folder: Path) -> Path:
    """Return the archive, downloaded if none is given; its MD5 must agree with the record's."""
    md5 = _read_record(folder).get("md5")
    if archive is None:
        return fetch(urls, folder.with_name(f"{FOLDER}.zip"), md5, MAX_BYTES)
    archive = Path(archive)
    if not archive.is_file():
        raise InputError(f"{archive} is not a file: correct --archive")
    if md5 and (other := md5_of(archive)) != md5:
        raise InputError(
            f"{archive} has MD5 {other}, not the {md5} in {_record(folder)}: "
            "use that archive, or delete the record"
        )
    return archive


def _record(folder: Path) -> Path:
    return folder.with_name(f"{FOLDER}.json")


def _read_record(folder: Path) -> dict:
    """Read what `_write_record` wrote; return an empty record if there is none."""
    path = _record(folder)
    if not path.is_file():
        return {}
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        record = json.loads(path.read_text(encoding="utf-8"))
        counted = all(isinstance(n, int) for n in record["files"].values())
        if counted and isinstance(record["md5"], str):
            return record
    raise InputError(f"{path} is no record of an archive: delete it")


def _write_record(folder: Path, archive: Path, files: Counter[str]) -> None:
    size, md5 = archive.stat().st_size, md5_of(archive)
    record = {
        "about": "made here when the archive was first extracted, as nobody published a checksum",
        "archive": archive.name,
        "bytes": size,
        "md5": md5,
        "files": dict(sorted(files.items())),
    }
    write_atomic(_record(folder), (json.dumps(record, indent=1) + "\n").encode())
    text = "no checksum of %s is published; that of this one (%d bytes, MD5 %s) is recorded in %s"
    log.warning(text, archive.name, size, md5, _record(folder))
