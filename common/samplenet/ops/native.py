"""The compiled ops: where a build lies, loading it, and switching between it and the framework's own operations."""

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
TORCH_STABLE = (
    2,
    10,
)  # the first version whose stable C++ interface holds all the torch binding needs

_enabled = os.environ.get("SAMPLENET_NATIVE", "1") not in ("", "0")


def use_native(on: bool) -> bool:
    """Serve the ops natively where a build is there (True) or always by the framework (False); returns the old setting.

    SAMPLENET_NATIVE=0 in the environment is the same as False from the start. A TensorFlow graph keeps the setting it
    was traced under.
    """
    global _enabled
    old, _enabled = _enabled, bool(on)
    return old


def enabled() -> bool:
    """Whether native ops serve where they are built."""
    return _enabled


@cache
def source_hash() -> str:
    """Names the state of the C++ and CUDA sources."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.iterdir()):
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def folder(framework: str, version: str) -> Path:
    """Where the build for a framework ("torch" or "tf") of this version lies.

    One torch build serves every version of its stable interface; TensorFlow has none, so each version has its own.
    SAMPLENET_NATIVE_DIR moves the builds away from the package, for one that cannot be written to.
    """
    root = Path(os.environ.get("SAMPLENET_NATIVE_DIR") or Path(__file__).parent / "_native")
    if framework == "torch":
        return root / f"torch-stable-{TORCH_STABLE[0]}.{TORCH_STABLE[1]}"
    public = re.sub(
        "[^0-9a-z.]", "", version.split("+")[0]
    )  # 2.21.0-rc0 says TensorFlow, 2.21.0rc0 its package
    return root / f"tf-{public}"


def built(framework: str, version: str) -> dict | None:
    """What build.py wrote about a finished build (library, device, compiler, source hash), or None."""
    try:
        return json.loads((folder(framework, version) / "build.json").read_text())
    except FileNotFoundError:
        return None


def too_old(version: str) -> str | None:
    """Why this version of PyTorch cannot have native ops, in words; None if it can."""
    if tuple(int(part) for part in version.split(".")[:2]) < TORCH_STABLE:
        return f"PyTorch {version} is older than {TORCH_STABLE[0]}.{TORCH_STABLE[1]}, which native ops need"
    return None


def missing(framework: str, version: str) -> str | None:
    """Why there is no build to load, in words; None if there is one."""
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
    """The frameworks ("tf", "torch") native ops serve, of those among the installed libraries."""
    installed = {"tf": versions.get("tensorflow"), "torch": versions.get("torch")}
    return [
        f for f, version in installed.items() if version and enabled() and not missing(f, version)
    ]


@cache
def load(framework: str, version: str, loader: Callable[[str], object]) -> object | None:
    """Load the build with `loader(path)`, once, and return its result; without a build, warn once and return None.

    Raises:
        ImportError: a build is there and does not load; with the loader's message in full.
    """
    if why := missing(framework, version):
        message = (
            "samplenet: framework operations serve instead of native ones (slower, same results)"
        )
        warnings.warn(f"{message}: {why}", stacklevel=3)
        return None
    path = folder(framework, version) / built(framework, version)["library"]
    try:
        return loader(str(path))
    except Exception as error:  # whatever the framework raises for a library that does not fit
        why = (
            f"{error}: {error.__cause__}" if error.__cause__ else error
        )  # PyTorch keeps the linker's message there
        raise ImportError(
            f"samplenet: the native ops in {path} do not load:\n{why}\nBuild them again with: "
            f"python -m samplenet.ops.build --{framework} --force, or set SAMPLENET_NATIVE=0 to do without them"
        ) from error
