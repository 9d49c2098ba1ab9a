"""Tar files of clouds in WebDataset's layout: the files of one item have one name up to a dot.

In `<key>.ply` and `<key>.json` the first is a cloud and the second stays as it is. Names may hold
folders. Files without a key or a dot, such as `._a.ply` and `README`, are left out, as the package
webdataset does, which nothing here needs.
"""

import contextlib
import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from samplenet import scans
from samplenet.errors import InputError

BLOCK = tarfile.BLOCKSIZE


class Item(NamedTuple):
    """The files of one key in a shard.

    Attributes:
        cloud: name of the file that is a cloud.
        path: that file, unpacked for as long as the next item is not asked for.
        others: name and content of the other files.
    """

    key: str
    cloud: str
    path: Path
    others: list[tuple[str, bytes]]


def read(shard: Path) -> Iterator[Item]:
    """Read the items of a shard, one after the other.

    Raises:
        InputError: a damaged file, or a key without exactly one cloud.
    """
    with tempfile.TemporaryDirectory() as folder:
        for key, group in _groups(shard):
            clouds = [name for name, _ in group if scans.extension(Path(name)) in scans.READERS]
            if len(clouds) != 1:
                raise InputError(f"{shard}: {key} has {len(clouds)} clouds; it must have one")
            path = Path(folder, PurePosixPath(clouds[0]).name)
            path.write_bytes(dict(group)[clouds[0]])
            yield Item(key, clouds[0], path, [file for file in group if file[0] != clouds[0]])
            path.unlink()


def _key(name: str) -> str | None:
    """Return what a file's name has in common with those that belong to it; None if nothing."""
    path = PurePosixPath(name)
    stem, dot, _ = path.name.partition(".")
    return str(path.with_name(stem)) if stem and dot else None


def _groups(shard: Path) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Read successive files of one key: name and content."""
    key, group = "", []
    try:
        with tarfile.open(shard, "r|") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                now = _key(member.name)
                if now is None:
                    continue
                if group and now != key:
                    yield key, group
                    group = []
                key = now
                group.append((member.name, tar.extractfile(member).read()))
    except tarfile.TarError as error:
        raise InputError(f"{shard} is damaged or no tar file: {error}") from error
    if group:
        yield key, group


@contextlib.contextmanager
def writing(target: Path, resume: bool) -> Iterator[tuple[set[str], Callable]]:
    """Write a shard; a killed call is continued by the next.

    The content grows in `<target>.part`, which becomes `target` when it is complete.

    Args:
        resume: whether to keep what an unfinished `<target>.part` holds.

    Yields:
        The keys that are in it already, and a function that adds the files of another key, a list
        of name and content.
    """
    part = target.with_name(target.name + ".part")
    kept, end = _complete(part) if resume and part.exists() else ([], 0)

    def add(files: list[tuple[str, bytes]]) -> None:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

    with open(part, "r+b" if end else "wb") as file:
        file.truncate(end)
        file.seek(end)
        with tarfile.open(fileobj=file, mode="w") as tar:
            yield {*kept}, add
        file.flush()
        os.fsync(file.fileno())  # or a power cut could leave the name with no content
    os.replace(part, target)


def _complete(part: Path) -> tuple[list[str], int]:
    """List the keys of an unfinished shard but for the last, and return where that begins.

    The last one may lack a file.
    """
    keys, begins = [], []
    size = part.stat().st_size
    try:
        with tarfile.open(part, "r:") as tar:
            for member in tar:
                if member.offset_data + -(-member.size // BLOCK) * BLOCK > size:
                    break
                key = _key(member.name)
                if not keys or key != keys[-1]:
                    keys.append(key)
                    begins.append(member.offset)
    except tarfile.TarError:  # cut within the next header, or before the first
        pass
    return keys[:-1], begins[-1] if begins else 0
