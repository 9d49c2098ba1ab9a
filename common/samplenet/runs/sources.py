"""Which code a result is of: the files that a script had loaded, each with a digest of its content.

Unlike a revision this also holds outside of git and before a commit, and it does not change with files that the script
never reads.
"""

import functools
import hashlib
import os
import sys
from pathlib import Path

from samplenet.ops import native

LIBRARY = Path(__file__).resolve().parents[1]
DRAWING = LIBRARY / "report"  # tables and pages; no number depends on it
KERNELS = "samplenet/ops/csrc"  # recorded as one file
own_folders: set[Path] = (
    set()
)  # where code of the user was loaded from, such as a task network of their own


def loaded(native_ops: bool) -> dict[str, str]:
    """Digest of each file of the library and of the script's folder that is imported, and of the user's own.

    Args:
        native_ops: whether compiled ops serve, so that their C++ and CUDA sources count too.

    Returns:
        Digests by file: `samplenet/runs/run.py`, `classification/evaluate.py`; the user's files by their whole path.
    """
    scripts, digests = Path(sys.argv[0]).resolve().parent, {}
    whole = functools.cache(
        os.path.realpath
    )  # of folders, of which there are far fewer than modules
    for module in list(sys.modules.values()):
        if not (file := getattr(module, "__file__", None)):
            continue
        path = Path(whole(os.path.dirname(file)), os.path.basename(file))
        if path.is_relative_to(LIBRARY) and not path.is_relative_to(DRAWING):
            name = path.relative_to(LIBRARY.parent).as_posix()
        elif path.parent == scripts:
            name = path.relative_to(scripts.parent).as_posix()
        elif path.parent in own_folders:
            name = str(path)
        else:
            continue
        if path.is_file():
            digests[name] = _digest(path)
    if native_ops:
        digests[KERNELS] = native.source_hash()
    return dict(sorted(digests.items()))


def changed(recorded: dict[str, str], root: Path) -> list[str]:
    """The files of `loaded` whose content is another one now, or that are gone; `root` holds the experiments."""
    return [name for name, digest in recorded.items() if digest != _now(name, root)]


def _now(name: str, root: Path) -> str:
    if name == KERNELS:
        return native.source_hash()
    path = Path(LIBRARY.parent if name.startswith("samplenet/") else root, name)
    return _digest(path) if path.is_file() else ""


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def some(names, count: int = 3) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
