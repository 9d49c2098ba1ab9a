"""Unpack an archive that is not trusted: whole or not at all, and only into its own folder."""

import logging
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from samplenet.data.download import locked
from samplenet.errors import InputError

CHUNK = 1 << 16  # bytes unpacked at once
MAX_MEMBERS = 500_000  # empty ones too fill a disk

log = logging.getLogger(__name__)


def ensure_folder(
    folder: Path,
    find_faults: Callable[[Path], list[str]],
    get_archive: Callable[[], Path],
    accept: Callable[[Path, Path], None],
    max_bytes: int,
) -> Path:
    """Return `folder`, unpacked first where it is missing or damaged; it is replaced only by a complete one.

    Args:
        find_faults: returns what is missing or damaged in the folder.
        get_archive: returns the archive, which may hold one folder of this name and nothing else.
        accept: (archive, new folder); raises InputError if the new folder is not what it should be.
    """
    if not find_faults(folder):  # before the lock, so that a read-only copy will do
        return folder
    with locked(folder):
        faults = find_faults(folder)
        if not faults:  # made by another process while this one waited
            return folder
        if folder.exists():
            log.warning("%s is damaged (%s): replacing it", folder, ", ".join(faults))
        archive = get_archive()
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
            new = extract_zip(archive, Path(temporary, "new"), max_bytes)
            if (new / folder.name).is_dir():
                new = new / folder.name
            accept(archive, new)
            replace_folder(folder, new)
    return folder


def extract_zip(archive: str | os.PathLike, folder: str | os.PathLike, max_bytes: int) -> Path:
    """Unpack `archive` as `folder`, which must not exist: all of it, or nothing.

    Raises:
        InputError: the archive is damaged, holds more than `max_bytes` or MAX_MEMBERS, or a member that is a link, that
            would land outside `folder` or twice in one place.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        raise InputError(f"{folder} is in the way of the content of {archive}: move it")
    try:
        with (
            zipfile.ZipFile(archive) as source,
            tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary,
        ):
            new = Path(
                temporary, "new"
            )  # made by mkdir for the usual permissions: the outer one is private
            new.mkdir()
            _unpack(source, new, max_bytes)
            os.rename(new, folder)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        UnicodeDecodeError,
    ) as error:
        raise InputError(f"{archive} is damaged ({error}): delete it and fetch it again") from error
    except OSError as error:
        raise InputError(f"{archive} cannot be extracted to {folder} ({error})") from error
    return folder


def replace_folder(folder: Path, new: Path) -> None:
    """Rename `new` to `folder`; an older one is put aside first and removed last."""
    if not os.path.lexists(folder):
        os.rename(new, folder)
        return
    aside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.old.", dir=folder.parent), folder.name)
    os.rename(folder, aside)
    try:
        os.rename(new, folder)
    except BaseException:
        os.rename(aside, folder)
        aside.parent.rmdir()
        raise
    shutil.rmtree(
        aside.parent
    )  # where `folder` was a link, this removes the link and not what it led to


def _unpack(source: zipfile.ZipFile, folder: Path, max_bytes: int) -> None:
    members = source.infolist()
    if len(members) > MAX_MEMBERS:
        raise InputError(
            f"{source.filename} holds {len(members)} files, more than {MAX_MEMBERS}: do not use it"
        )
    for member in members:
        name, kind = member.filename, stat.S_IFMT(member.external_attr >> 16)
        if (
            name.startswith("/")
            or "\\" in name
            or re.match("[A-Za-z]:", name)
            or ".." in name.split("/")
        ):
            raise InputError(
                f"{source.filename} holds {name!r}, which points outside its folder: do not use it"
            )
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InputError(
                f"{source.filename} holds {name!r}, which is a link or device: do not use it"
            )
        if member.flag_bits & 1 or member.compress_type not in (
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
        ):
            raise InputError(
                f"{source.filename} holds {name!r}, encrypted or packed in a rare way: repack it"
            )
    too_much = InputError(
        f"{source.filename} unpacks to more than {max_bytes} bytes: it is not what it should be"
    )
    if sum(member.file_size for member in members) > max_bytes:
        raise too_much
    remaining = max_bytes  # counted again: the sizes in the header may lie
    for member in members:
        target = folder / member.filename
        if member.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open(member) as packed, open(target, "xb") as file:
            while chunk := packed.read(CHUNK):
                remaining -= len(chunk)
                if remaining < 0:
                    raise too_much
                file.write(chunk)
