"""Unpack an untrusted archive: completely or not at all, and only into its own folder."""

import glob
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
from typing import IO

from samplenet.atomic import beside
from samplenet.errors import InputError
from samplenet.locking import locked

MAX_MEMBERS = 500_000  # even empty files fill a disk
HEADER = 4096  # bytes of a member in a tar archive, beside its content: header, name and padding
HEADERS = 1 << 20  # more of them in all, for a few long ones and the zeros at the end
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError)
DAMAGED += (tarfile.TarError, gzip.BadGzipFile, RecursionError)  # the last: headers of headers
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
        for left in folder.parent.glob(f".{glob.escape(folder.name)}.{'?' * 8}"):
            shutil.rmtree(left)  # what `beside` could not, as its process was killed
        archive = get_archive()
        with beside(folder) as new:
            extract(archive, new, max_bytes)
            for place in (folder.name, f"*/{folder.name}", f"*/*/{folder.name}"):
                new = next(filter(Path.is_dir, new.glob(place)), new)
            accept(archive, new)
            replace_folder(folder, new)
    return folder


def extract(archive: Path, folder: Path, max_bytes: int) -> Path:
    """Unpack a .zip or .tar.gz as `folder`, which must not exist: all of it, or nothing.

    Raises:
        InputError: the archive is damaged, or holds more than `max_bytes`, more than MAX_MEMBERS
            files, a link, a file outside `folder`, or two files of one name.
    """
    if folder.exists():
        raise InputError(f"{folder} is in the way of the content of {archive}: move it")
    unpack = _unpack_tar if archive.name.endswith(".tar.gz") else _unpack_zip
    try:
        with beside(folder) as new:
            new.mkdir()
            unpack(archive, new, max_bytes)
            os.rename(new, folder)
    except InputError:  # a ValueError too
        raise
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


def _unpack_zip(archive: Path, folder: Path, max_bytes: int) -> None:
    with zipfile.ZipFile(archive) as source:
        _check_members(source, max_bytes)
        for member in source.infolist():
            # zipfile unpacks no more bytes than the header says, and these have been checked
            packed = None if member.is_dir() else source.open(member)
            _write(folder / member.filename, packed)


def _write(path: Path, packed: IO[bytes] | None) -> None:
    """Write a member's content as a new file; without any, make a folder."""
    if packed is None:
        path.mkdir(parents=True, exist_ok=True)
        return
    with packed:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as file:
            shutil.copyfileobj(packed, file)


class _Member(tarfile.TarInfo):
    """A member whose header must be whole: tarfile takes a damaged one for the end."""

    @classmethod
    def fromtarfile(cls, source: tarfile.TarFile) -> "_Member":
        try:
            return super().fromtarfile(source)
        except tarfile.EOFHeaderError:  # the end marker
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"byte {source.offset}: {error}") from error


class _Limited(gzip.GzipFile):
    """A file that refuses to be read further than `left` bytes."""

    left = HEADERS

    def read(self, size: int = -1) -> bytes:
        content = super().read(size)
        self.left -= len(content)
        if self.left < 0:
            raise InputError(f"{self.name} holds far more than its files: do not use it")
        return content


def _unpack_tar(archive: Path, folder: Path, max_bytes: int) -> None:
    """Unpack member by member, as a tar archive has no table of contents to check before."""
    total = 0
    with (
        _Limited(archive) as content,
        tarfile.open(fileobj=content, mode="r|", tarinfo=_Member) as source,
    ):
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
            content.left += member.size + HEADER
            _write(folder / member.name, source.extractfile(member))  # None of a folder
        while rest := source.fileobj.read(1 << 20):  # to the end, where gzip compares its checksum
            if rest.strip(b"\0"):
                raise tarfile.ReadError("there is more after the end marker")
