"""The archive of ShapeNetCore clouds. No checksum of it is published: ours is that of the first complete one."""

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
NEEDED = ("02691156", "02958343", "03001627", "04379243")  # the synsets of the experiment
MAX_BYTES = 5_000_000_000  # of the unpacked archive

log = logging.getLogger(__name__)


def download(
    root: str | os.PathLike, urls: Sequence[str] = MIRRORS, archive: str | os.PathLike | None = None
) -> Path:
    """Return `root/shape_net_core_uniform_samples_2048`, extracted first where missing or files are lacking.

    An archive put at `root/shape_net_core_uniform_samples_2048.zip` by hand is used. When one is extracted, its
    members agree with their CRC-32 and the four classes are there, its size and MD5 and the number of files
    are recorded in the .json file beside the folder; from then on only the same archive is accepted. A
    folder without such a record is taken as it is.

    Args:
        archive: where the archive already lies; nothing is downloaded.

    Raises:
        InputError: no mirror delivered, the archive is not what it should be, or `root` cannot be written.
    """
    folder = Path(root) / FOLDER

    def record_new(archive: Path, new: Path) -> None:
        files = _count(new)
        for synset in NEEDED:
            if not files[synset]:
                raise InputError(
                    f"{archive} holds no {synset}/<id>.ply: it is another archive, get the right one"
                )
        if not _read_record(folder):
            _write_record(folder, archive, files)

    return ensure_folder(
        folder, _lacking, lambda: _get(urls, archive, folder), record_new, MAX_BYTES
    )


def _count(folder: Path) -> Counter[str]:
    """Count the PLY files by synset."""
    return Counter(file.parent.name for file in folder.glob("[0-9]*/*.ply"))


def _lacking(folder: Path) -> list[str]:
    """List what the folder lacks by its record; without one, everything or nothing."""
    files = _count(folder)
    record = _read_record(folder)
    if not record and not files and folder.exists():
        raise InputError(f"{folder} is in the way, it holds no <synset>/<id>.ply: move it")
    if not record:
        return [] if files else ["everything"]
    return [
        f"{synset}: {files[synset]} of {n} files"
        for synset, n in record["files"].items()
        if files[synset] < n
    ]


def _get(urls: Sequence[str], archive: str | os.PathLike | None, folder: Path) -> Path:
    """Return the archive, of the recorded MD5 where there is a record."""
    md5 = _read_record(folder).get("md5")
    if archive is None:
        return fetch(urls, folder.with_name(f"{FOLDER}.zip"), md5, MAX_BYTES)
    archive = Path(archive)
    if not archive.is_file():
        raise InputError(f"{archive} is not a file: correct --archive")
    if md5 and (its_md5 := md5_of(archive)) != md5:
        raise InputError(
            f"{archive} has MD5 {its_md5}, not the {md5} in {_record(folder)}: use that archive, or delete the record"
        )
    return archive


def _record(folder: Path) -> Path:
    return folder.with_name(f"{FOLDER}.json")


def _read_record(folder: Path) -> dict:
    """Read what `_write_record` wrote; empty if there is none."""
    path = _record(folder)
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(record["md5"], str) and all(
            isinstance(n, int) for n in record["files"].values()
        ):
            return record
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise InputError(f"{path} is no record of an archive: delete it")


def _write_record(folder: Path, archive: Path, files: Counter[str]) -> None:
    size, md5 = archive.stat().st_size, md5_of(archive)
    record = {
        "about": "made here when the archive was first extracted: no checksum of it is published to compare with",
        "archive": archive.name,
        "bytes": size,
        "md5": md5,
        "files": dict(sorted(files.items())),
    }
    write_atomic(_record(folder), (json.dumps(record, indent=1) + "\n").encode())
    log.warning(
        "no checksum of %s is published; that of this one (%d bytes, MD5 %s) is recorded in %s",
        archive.name,
        size,
        md5,
        _record(folder),
    )
