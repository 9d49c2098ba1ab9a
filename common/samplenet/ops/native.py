"""Find and load a build of the native ops, and switch between them and framework operations."""

import hashlib
import json
import os
import platform
import re
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

SOURCES = Path(__file__).parent / "csrc"

# The first version whose stable C++ interface has everything that the PyTorch binding needs.
TORCH_STABLE = (2, 10)

_enabled = os.environ.get("SAMPLENET_NATIVE", "1") not in ("", "0")


def use_native(on: bool) -> bool:
    """Use native ops where they are built (True) or never (False); return the old setting.

    SAMPLENET_NATIVE=0 in the environment sets False from the start. A TensorFlow graph keeps the
    setting with which it was traced.
    """
    global _enabled
    old, _enabled = _enabled, bool(on)
    return old


def enabled() -> bool:
    """Return whether native ops are used where they are built."""
    return _enabled


@cache
def source_hash() -> str:
    """Return a hash of the C++ and CUDA sources; a build with another hash is out of date."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.iterdir()):
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def folder(framework: str, version: str) -> Path:
    """Return the folder of the build for a framework ("torch" or "tf") of this version.

    PyTorch has a stable C++ interface, so all its versions share one build; TensorFlow has none, so
    each version has its own. SAMPLENET_NATIVE_DIR names another root for the builds, for a package
    folder that is not writable.
    """
    root = Path(os.environ.get("SAMPLENET_NATIVE_DIR") or Path(__file__).parent / "_native")
    if framework == "torch":
        return root / f"torch-stable-{TORCH_STABLE[0]}.{TORCH_STABLE[1]}"
    # tf.__version__ is 2.21.0-rc0 where the package's metadata has 2.21.0rc0: one folder for both
    public = re.sub("[^0-9a-z.]", "", version.split("+")[0])
    return root / f"tf-{public}"


def built(framework: str, version: str) -> dict | None:
    """Read build.json, which describes a finished build; None without a build."""
    try:
        return json.loads((folder(framework, version) / "build.json").read_text())
    except FileNotFoundError:
        return None


def too_old(version: str) -> str | None:
    """Explain why this version of PyTorch cannot have native ops; None if it can."""
    if tuple(int(part) for part in version.split(".")[:2]) < TORCH_STABLE:
        needed = f"{TORCH_STABLE[0]}.{TORCH_STABLE[1]}"
        return f"PyTorch {version} is older than {needed}, which native ops need"
    return None


def missing(framework: str, version: str) -> str | None:
    """Explain why there is no build to load; None if there is one."""
    if framework == "torch" and (why := too_old(version)):
        return why
    build = built(framework, version)
    if build is None:
        return f"they are not built; build them with: python -m samplenet.ops.build --{framework}"
    again = f"build them again: python -m samplenet.ops.build --{framework}"
    if build.get("sources") != source_hash():
        return f"they were built from other sources; {again}"
    if build.get("machine") != platform.machine():
        return f"they were built for {build.get('machine')}, this is {platform.machine()}; {again}"
    if not (folder(framework, version) / build["library"]).exists():
        return f"the library {build['library']} is gone; {again}"
    return None


def serving(versions: dict[str, str]) -> list[str]:
    """Return the installed frameworks ("tf", "torch") whose ops are native."""
    installed = {"tf": versions.get("tensorflow"), "torch": versions.get("torch")}
    if not enabled():
        return []
    return [name for name, version in installed.items() if version and not missing(name, version)]


@cache
def load(framework: str, version: str, loader: Callable[[str], object]) -> object | None:
    """Load the build once by `loader(path)` and return its result; without a build, warn once.

    Raises:
        ImportError: the build does not load; with the loader's message in full.
    """
    if why := missing(framework, version):
        slow = "framework operations are used instead of native ones (slower, same results)"
        warnings.warn(f"samplenet: {slow}: {why}", stacklevel=3)
        return None
    path = folder(framework, version) / built(framework, version)["library"]
    try:
        return loader(str(path))
    except Exception as error:  # each framework raises its own kind for a library that does not fit
        # PyTorch leaves the linker's message in the cause
        why = f"{error}: {error.__cause__}" if error.__cause__ else error
        raise ImportError(
            f"samplenet: the native ops in {path} do not load:\n{why}\n"
            f"Build them again with: python -m samplenet.ops.build --{framework} --force, "
            "or set SAMPLENET_NATIVE=0 to do without them"
        ) from error
