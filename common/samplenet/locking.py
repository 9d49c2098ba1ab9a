"""Let one process at a time write a file or a folder."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from samplenet.errors import InputError, needs_extra

with needs_extra("data"):
    from filelock import FileLock, Timeout

log = logging.getLogger(__name__)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold `<path>.lock`, so that one process at a time writes `path`; create the parent folder."""
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.warning("another process is writing %s: waiting for it", path)
            lock.acquire()
    except OSError as error:
        raise InputError(
            f"{path.parent} cannot be written ({error}): choose another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()
