"""The code behind a result: the source files that a script loaded, with digests of their content.

Unlike a git revision this works without git and before a commit, and it ignores changes to files
that the script does not load.
"""

import functools
import hashlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from samplenet.ops import native

LIBRARY = Path(__file__).resolve().parents[1]
REPORT = LIBRARY / "report"  # draws tables and pages; no number depends on it
KERNELS = "samplenet/ops/csrc"  # recorded as one file
own_folders: set[Path] = set()  # folders of users' own code, such as their task network


def loaded(native_ops: bool) -> dict[str, str]:
    """Compute a digest of each imported file of the library, the script's folder and the user.

    Args:
        native_ops: whether the compiled ops are in use; then their C++ and CUDA sources count too.

    Returns:
        Digests by file name: `samplenet/runs/run.py`, `classification/evaluate.py`; files of the
        user by their absolute path.
    """
    scripts, digests = Path(sys.argv[0]).resolve().parent, {}
    # resolving a path is slow; there are thousands of modules, but few folders
    resolved = functools.cache(os.path.realpath)
    for module in list(sys.modules.values()):
        if not (file := getattr(module, "__file__", None)):
            continue
        path = Path(resolved(os.path.dirname(file)), os.path.basename(file))
        if path.is_relative_to(LIBRARY) and not path.is_relative_to(REPORT):
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
    """List the files of a record by `loaded` that have changed or are gone since.

    Args:
        root: the folder that holds the experiments.
    """
    return [name for name, digest in recorded.items() if digest != _present(name, root)]


def _present(name: str, root: Path) -> str:
    """Compute a recorded file's digest as it is now; "" if it is gone."""
    if name == KERNELS:
        return native.source_hash()
    path = Path(LIBRARY.parent if name.startswith("samplenet/") else root, name)
    return _digest(path) if path.is_file() else ""


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def some(names: Iterable[str], count: int = 3) -> str:
    """List the first few names and say how many more there are."""
    names = list(names)
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
