"""Files that appear whole or not at all."""

import contextlib
import os
from pathlib import Path


@contextlib.contextmanager
def naming(path: Path):
    """Add `path` to any OSError raised inside; "No space left on device" names no file by itself."""
    try:
        yield
    except OSError as error:
        if error.strerror:  # without one, a file name would hide the message
            error.filename = error.filename or str(path)
        raise


def write_atomic(path: Path, content: bytes, previous: Path | None = None) -> None:
    """Write a file so that a reader, or a kill at any moment, sees the old content or the new one.

    With `previous` the old file is kept under that name, and a kill may leave it there alone.
    """
    part = path.with_name(path.name + ".part")
    try:
        with naming(path), open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if previous and path.exists():
            os.replace(path, previous)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
