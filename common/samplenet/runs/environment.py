"""Record the code, library versions, machine and command behind a result."""

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
    """Return the code, library versions and machine of this process, as results.json keeps them."""
    versions = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    serving = native.serving(versions)
    system = f"{platform.system()} {platform.machine()}"
    return {
        "revision": _revision(),
        "sources": sources.loaded(bool(serving)),
        "python": platform.python_version(),
        "libraries": versions,
        "native_ops": serving,
        "machine": f"{system}, {_processor()}{os.cpu_count()} cores",
    }


def _processor() -> str:
    """Return the CPU model followed by ", ", or "" if it is unknown.

    It is recorded because CPUs round differently, after which trainings of one seed diverge.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, "
    return ""


def _revision() -> str:
    """Return the running script's git revision, with "+changes" if files differ from it.

    Outside of git: $SAMPLENET_REVISION, which the container images set, or "unknown".
    """
    git = ["git", "-C", str(Path(sys.argv[0]).resolve().parent)]
    try:
        ask = {"capture_output": True, "text": True, "timeout": 10, "check": True}
        commit = subprocess.run([*git, "rev-parse", "HEAD"], **ask).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], **ask).stdout.strip()
        return commit + ("+changes" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return os.environ.get("SAMPLENET_REVISION") or "unknown"


def made_by(run: str | Path) -> Path:
    """Return the file that tells the command and revision that made a run or shipped weights."""
    run = Path(run)
    return run.with_suffix(".json") if run.suffix == ".safetensors" else run / "environment.json"


def command() -> str:
    """Return the command line, with paths inside the checkout relative to its root."""
    root = str(settings.checkout()) + os.sep
    words = [str(Path(sys.argv[0]).resolve()), *sys.argv[1:]]
    return shlex.join(["python", *(word.removeprefix(root) for word in words)])
