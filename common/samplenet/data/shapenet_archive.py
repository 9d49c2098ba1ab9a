"""The archive of ShapeNetCore clouds. No checksum of it is published: the first one that proves whole sets ours."""

import json
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from samplenet.atomic import write_atomic
from samplenet.data.archive import extract_zip, replace_folder
from samplenet.data.download import fetch, locked, md5_of
from samplenet.errors import InputError

FOLDER = "shape_net_core_uniform_samples_2048"
MIRRORS = ("https://www.dropbox.com/s/vmsdrae6x5xws1v/shape_net_core_uniform_samples_2048.zip?dl=1",)
NEEDED = ("02691156", "02958343", "03001627", "04379243")  # the synsets of the experiment
MAX_BYTES = 5_000_000_000  # of the unpacked archive

log = logging.getLogger(__name__)


def download(root: str | os.PathLike, urls: Sequence[str] = MIRRORS, archive: str | os.PathLike | None = None) -> Path:
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
    if not _lacking(folder):  # before the lock, so that a read-only copy will do
        return folder
    with locked(folder):
        lacking = _lacking(folder)
        if not lacking:  # made by another process while this one waited
            return folder
        record = _read_record(folder)
        if folder.exists() and not record:
            raise InputError(f"{folder} is in the way, it holds no <synset>/<id>.ply: move it")
        if folder.exists():
            log.warning("%s is damaged (%s): replacing it", folder, ", ".join(lacking))
        archive = _get(urls, archive, folder, record.get("md5"))
        with tempfile.TemporaryDirectory(prefix=f".{FOLDER}.", dir=folder.parent) as temporary:
            new = extract_zip(archive, Path(temporary, "new"), MAX_BYTES)
            if (new / FOLDER).is_dir():
                new = new / FOLDER
            files = _count(new)
            if missing := [synset for synset in NEEDED if not files[synset]]:
                raise InputError(f"{archive} holds no {missing[0]}/<id>.ply: it is another archive, get the right one")
            if not record:
                _write_record(folder, archive, files)
            replace_folder(folder, new)
    return folder


def _count(folder: Path) -> Counter[str]:
    """Number of PLY files by synset."""
    return Counter(file.parent.name for file in folder.glob("[0-9]*/*.ply"))


def _lacking(folder: Path) -> list[str]:
    """What the folder lacks by its record; without one, everything or nothing."""
    files = _count(folder)
    record = _read_record(folder)
    if not record:
        return [] if files else ["everything"]
    return [f"{synset}: {files[synset]} of {n} files" for synset, n in record["files"].items() if files[synset] < n]


def _get(urls: Sequence[str], archive: str | os.PathLike | None, folder: Path, md5: str | None) -> Path:
    """The archive, of the recorded MD5 where there is one."""
    if archive is None:
        return fetch(urls, folder.with_name(f"{FOLDER}.zip"), md5, MAX_BYTES)
    archive = Path(archive)
    if not archive.is_file():
        raise InputError(f"{archive} is not a file: correct --archive")
    if md5 and (found := md5_of(archive)) != md5:
        raise InputError(
            f"{archive} has MD5 {found}, not the {md5} in {_record(folder)}: use the one or delete the other"
        )
    return archive


def _record(folder: Path) -> Path:
    return folder.with_name(f"{FOLDER}.json")


def _read_record(folder: Path) -> dict:
    """What `_write_record` wrote; empty where there is none."""
    path = _record(folder)
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(record["md5"], str) and all(isinstance(n, int) for n in record["files"].values()):
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
