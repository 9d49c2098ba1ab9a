"""Write files whole or not at all."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def naming(path: Path):
    """Add `path` to any OSError raised inside: "No space left on device" names no file."""
    try:
        yield
    except OSError as error:
        if error.strerror:  # without one, a file name would hide the message
            error.filename = error.filename or str(path)
        raise


def write_atomic(path: Path, content: bytes, previous: Path | None = None) -> None:
    """Write a file so that readers see its old content or its new one, even after a kill.

    With `previous` the old file is kept under that name; a kill between the two renamings leaves
    only that one.
    """
    part = path.with_name(path.name + ".part")
    try:
        with naming(path), open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the new name with no content
        if previous and path.exists():
            os.replace(path, previous)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Yield a path in a temporary folder beside `path`: write there, then rename to `path`.

    Several processes may do so at once, as each gets its own.
    """
    prefix = f".{path.name}."
    with naming(path), tempfile.TemporaryDirectory(prefix=prefix, dir=path.parent) as temporary:
        yield Path(temporary, path.name)  # not the folder itself, which only its owner can read


def write_json(path: Path, content) -> None:
    """Write JSON, one value a line, as `write_atomic` does."""
    write_atomic(path, (json.dumps(content, indent=1) + "\n").encode())
