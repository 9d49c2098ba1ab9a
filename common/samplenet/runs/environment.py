"""Code, versions and machine that a result was made with, and the command that made it."""

import contextlib
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path

from samplenet.ops import native
from samplenet.runs import settings, sources

LIBRARIES = ("samplenet", "tensorflow", "keras", "torch", "numpy", "h5py")


def environment() -> dict:
    """Code, versions and machine that a result was made with."""
    versions = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    serving = native.serving(versions)
    return {
        "revision": _revision(),
        "sources": sources.loaded(bool(serving)),
        "python": platform.python_version(),
        "libraries": versions,
        "native_ops": serving,
        "machine": f"{platform.system()} {platform.machine()}, {_processor()}{os.cpu_count()} cores",
    }


def _processor() -> str:
    """The processor's name and a comma, where the system tells it: another kind rounds otherwise, so training parts."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, "
    return ""


def _revision() -> str:
    """The git revision of the running script, marked when files differ from it; outside of git SAMPLENET_REVISION."""
    git = ["git", "-C", str(Path(sys.argv[0]).resolve().parent)]
    try:
        ask = {"capture_output": True, "text": True, "timeout": 10, "check": True}
        commit = subprocess.run([*git, "rev-parse", "HEAD"], **ask).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], **ask).stdout.strip()
        return commit + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return os.environ.get("SAMPLENET_REVISION") or "unknown"  # a container image says it so


def command() -> str:
    """The command line; paths in the checkout are written from its root."""
    root = str(settings.checkout())
    script = str(Path(sys.argv[0]).resolve())
    return shlex.join(
        ["python", *(word.removeprefix(root + os.sep) for word in (script, *sys.argv[1:]))]
    )
