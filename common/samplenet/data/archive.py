"""Unpack an untrusted archive: completely or not at all, and only into its own folder."""

import gzip
import logging
import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from samplenet.atomic import beside
from samplenet.data.download import locked
from samplenet.errors import InputError

MAX_MEMBERS = 500_000  # even empty files fill a disk
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError)
DAMAGED += (tarfile.TarError, gzip.BadGzipFile)
# an absolute path, a drive, a backslash anywhere, or ".." as one part of the path
OUTSIDE = re.compile(r"/|[A-Za-z]:|.*\\|(.*/)?\.\.(/|\Z)", re.DOTALL)

log = logging.getLogger(__name__)


def ensure_folder(
    folder: Path,
    find_faults: Callable[[Path], list[str]],
    get_archive: Callable[[], Path],
    accept: Callable[[Path, Path], None],
    max_bytes: int,
) -> Path:
    """Return `folder`; if it is missing or damaged, unpack the archive in its place first.

    A damaged folder is replaced only once the new one is complete.

    Args:
        find_faults: lists what is missing or damaged in the folder.
        get_archive: returns the archive, .zip or .tar.gz, which may hold everything in one folder
            of the same name, that one perhaps in others.
        accept: (archive, new folder); raises InputError if the new folder is not the expected one.
    """
    if not find_faults(folder):  # before the lock, which a read-only copy does not allow
        return folder
    with locked(folder):
        faults = find_faults(folder)
        if not faults:  # unpacked by another process while this one waited
            return folder
        if folder.exists():
            log.warning("%s is damaged (%s): replacing it", folder, ", ".join(faults))
        archive = get_archive()
        with beside(folder) as new:
            extract = extract_tar if archive.name.endswith(".tar.gz") else extract_zip
            extract(archive, new, max_bytes)
            for place in (folder.name, f"*/{folder.name}", f"*/*/{folder.name}"):
                new = next(filter(Path.is_dir, new.glob(place)), new)
            accept(archive, new)
            replace_folder(folder, new)
    return folder


def extract_zip(archive: Path, folder: Path, max_bytes: int) -> Path:
    """Unpack `archive` as `folder`, which must not exist: all of it, or nothing.

    Raises:
        InputError: the archive is damaged, or holds more than `max_bytes`, more than MAX_MEMBERS
            files, a link, a file outside `folder`, or two files of one name.
    """
    if folder.exists():
        raise InputError(f"{folder} is in the way of the content of {archive}: move it")
    try:
        with zipfile.ZipFile(archive) as source, beside(folder) as new:
            new.mkdir()
            _check_members(source, max_bytes)
            _unpack(source, new)
            os.rename(new, folder)
    except DAMAGED as error:
        raise InputError(f"{archive} is damaged ({error}): delete it and fetch it again") from error
    except OSError as error:
        raise InputError(f"{archive} cannot be extracted to {folder} ({error})") from error
    return folder


def extract_tar(archive: Path, folder: Path, max_bytes: int) -> Path:
    """Do what `extract_zip` does with a tar archive, compressed or not."""
    if folder.exists():
        raise InputError(f"{folder} is in the way of the content of {archive}: move it")
    try:
        with tarfile.open(archive) as source, beside(folder) as new:
            new.mkdir()
            _unpack_tar(source, new, archive, max_bytes)
            os.rename(new, folder)
    except DAMAGED as error:
        raise InputError(f"{archive} is damaged ({error}): delete it and fetch it again") from error
    except OSError as error:
        raise InputError(f"{archive} cannot be extracted to {folder} ({error})") from error
    return folder


def replace_folder(folder: Path, new: Path) -> None:
    """Rename `new` to `folder`; an older `folder` is set aside first and removed last."""
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
    shutil.rmtree(aside.parent)  # if `folder` was a link, removes the link but not its target


def _check_members(source: zipfile.ZipFile, max_bytes: int) -> None:
    """Raise InputError if the archive's table of contents is suspicious."""
    members = source.infolist()
    if len(members) > MAX_MEMBERS:
        raise InputError(
            f"{source.filename} holds {len(members)} files, more than {MAX_MEMBERS}: do not use it"
        )
    for member in members:
        holds = f"{source.filename} holds {member.filename!r}"
        if OUTSIDE.match(member.filename):
            raise InputError(f"{holds}, which points outside its folder: do not use it")
        # the upper 16 bits are the Unix mode; 0 if another system made the archive
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InputError(f"{holds}, which is a link or device: do not use it")
        packed = member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if packed or member.flag_bits & 1:  # bit 0: encrypted
            raise InputError(f"{holds}, encrypted or compressed in a rare way: repack it")
    if sum(member.file_size for member in members) > max_bytes:
        raise InputError(
            f"{source.filename} unpacks to more than {max_bytes} bytes: it is not the right archive"
        )


def _unpack(source: zipfile.ZipFile, folder: Path) -> None:
    for member in source.infolist():
        target = folder / member.filename
        if member.is_dir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        # zipfile unpacks no more bytes than the header says, and these have been checked
        with source.open(member) as packed, open(target, "xb") as file:
            shutil.copyfileobj(packed, file)


def _unpack_tar(source: tarfile.TarFile, folder: Path, archive: Path, max_bytes: int) -> None:
    """Unpack member by member, as a tar archive has no table of contents to check before."""
    total = 0
    for number, member in enumerate(source, 1):
        holds = f"{archive} holds {member.name!r}"
        if number > MAX_MEMBERS:
            raise InputError(f"{archive} holds more than {MAX_MEMBERS} files: do not use it")
        if OUTSIDE.match(member.name):
            raise InputError(f"{holds}, which points outside its folder: do not use it")
        if not (member.isreg() or member.isdir()):
            raise InputError(f"{holds}, which is a link or device: do not use it")
        total += member.size
        if total > max_bytes:
            raise InputError(
                f"{archive} unpacks to more than {max_bytes} bytes: it is not the right archive"
            )
        target = folder / member.name
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.extractfile(member) as packed, open(target, "xb") as file:
            shutil.copyfileobj(packed, file)
    while source.fileobj.read(1 << 20):  # to the end, where gzip compares its checksum
        pass
