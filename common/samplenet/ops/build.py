"""Build the native ops, or tell what is built: python -m samplenet.ops.build [--torch] [--tf] [--cuda] [--check].

Without --torch or --tf, for every framework installed. CUDA kernels are built where the framework can use them, nvcc
is found and a GPU is visible; --cuda builds them also without a GPU (for every architecture nvcc knows). A build is
kept until the sources, the compiler or the framework change. Needs a C++17 compiler (g++ or clang++; CXX names
another), CMake and ninja (both from pip: the extra `build`).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib import metadata
from pathlib import Path

from filelock import FileLock

from samplenet.checkpoint import write_atomic
from samplenet.errors import InputError
from samplenet.ops import native

DISTRIBUTIONS = {"torch": ("torch",), "tf": ("tensorflow", "tensorflow-cpu")}
NAMES = {"torch": "PyTorch", "tf": "TensorFlow"}


def framework_version(framework: str) -> str | None:
    """The installed version, without importing the framework; None if it is not installed."""
    for distribution in DISTRIBUTIONS[framework]:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None


def tool(name: str) -> str | None:
    """A program next to this Python, or on the path."""
    return shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)


def first_line(*command: str) -> str:
    """What a program says of its version."""
    out = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return out.splitlines()[0] if out else "unknown version"


def compiler() -> tuple[str, str] | None:
    """The C++ compiler and its version line."""
    for name in filter(None, (os.environ.get("CXX"), "c++", "g++", "clang++")):
        if path := shutil.which(name):
            return path, first_line(path, "--version")
    return None


def nvcc() -> tuple[str, str] | None:
    """The CUDA compiler and its release, from CUDACXX, CUDA_HOME or the path."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    for name in filter(None, (os.environ.get("CUDACXX"), home and str(Path(home, "bin", "nvcc")), "nvcc")):
        if path := shutil.which(name):
            text = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
            return path, next((line for line in text.splitlines() if "release" in line), "unknown release")
    return None


def gpu() -> str | None:
    """The first visible GPU's name."""
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        done = subprocess.run(query, capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.splitlines()[0]
    return None


ASK = {
    "tf": """
import json, tensorflow as tf
cuda = tf.sysconfig.get_build_info().get("cuda_version") if tf.test.is_built_with_cuda() else None
flags = [f.replace("-I", "-isystem", 1) if f.startswith("-I") else f for f in tf.sysconfig.get_compile_flags()]
print(json.dumps({"compile": flags, "link": tf.sysconfig.get_link_flags(), "cuda": cuda}))
""",
    "torch": """
import json, os, torch
from torch.utils import cpp_extension
link = ["-L" + os.path.join(os.path.dirname(torch.__file__), "lib"), "-ltorch_cpu"]
link += ["-ltorch_cuda"] if torch.version.cuda else []
flags = ["-isystem" + path for path in cpp_extension.include_paths()]
print(json.dumps({"compile": flags, "link": link, "cuda": torch.version.cuda}))
""",
}


def options(framework: str) -> dict:
    """How to compile against the framework: compile options, link options, and the CUDA it was built for, if any.

    Asked of another process: TensorFlow prints a page on import, which is shown only if it fails.
    """
    done = subprocess.run([sys.executable, "-c", ASK[framework]], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"{NAMES[framework]} does not import:\n{done.stderr}")
    use = json.loads(done.stdout.splitlines()[-1])
    if framework == "torch":
        use["compile"].append(
            f"-DTORCH_TARGET_VERSION={native.TORCH_STABLE[0] << 56 | native.TORCH_STABLE[1] << 48:#x}"
        )
    return use


def why_no_cuda(cuda: str | None, asked: bool) -> str | None:
    """Why the CUDA kernels are left out, in words; None if they are built."""
    if cuda is None:
        return "the framework installed here is built without CUDA"
    if nvcc() is None:
        return "nvcc was not found; install the CUDA toolkit, or name nvcc with CUDACXX"
    if gpu() is None and not asked:
        return "no GPU is visible; --cuda builds all the same"
    return None


def build(framework: str, cuda: bool = False, force: bool = False, sanitize: bool = False) -> dict:
    """Compile the ops for an installed framework; returns what build.json says.

    Raises:
        InputError: something is missing or does not compile; the compiler's message is in it.
    """
    version, found = framework_version(framework), compiler()
    if version is None:
        raise InputError(f"{NAMES[framework]} is not installed: pip install 'samplenet[{framework}]'")
    if framework == "torch" and (why := native.too_old(version)):
        raise InputError(why)
    if found is None:
        raise InputError("no C++ compiler was found; on Debian or Ubuntu: sudo apt-get install g++; or set CXX")
    if (cmake := tool("cmake")) is None or (ninja := tool("ninja")) is None:
        raise InputError("CMake and ninja are needed: pip install cmake ninja")
    folder = native.folder(framework, version)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        old = native.built(framework, version)
        asked = {"compiler": found[1], "sources": native.source_hash(), "sanitize": sanitize}
        same = old is not None and not force and all(old[key] == value for key, value in asked.items())
        if same and (old["cuda"] or not (cuda or gpu())):
            return old
        use = options(framework)
        why = why_no_cuda(use["cuda"], cuda)
        if cuda and why:
            raise InputError(f"--cuda: {why}")
        if same and old["without_cuda"] == why:
            return old
        for_gpu = {"cuda": None if why else nvcc()[1], "gpu": None if why else gpu() or "every architecture"}
        with_cuda = "" if why else f" and {for_gpu['cuda']} for {for_gpu['gpu']}"
        print(f"{NAMES[framework]} {version}: compiling with {found[1]}{with_cuda}", flush=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            settings = {
                "FRAMEWORK": framework,
                "FRAMEWORK_OPTIONS": ";".join(use["compile"]),
                "FRAMEWORK_LINK": ";".join(use["link"]),
                "CMAKE_BUILD_TYPE": "RelWithDebInfo" if sanitize else "Release",
                "CMAKE_CXX_COMPILER": found[0],
                "CMAKE_MAKE_PROGRAM": ninja,
                "SANITIZE": "ON" if sanitize else "OFF",
                "CUDA": "OFF" if why else "ON",
            }
            if not why:
                settings["CMAKE_CUDA_COMPILER"] = nvcc()[0]
                settings["CMAKE_CUDA_ARCHITECTURES"] = "native" if gpu() else "all"
            flags = [f"-D{key}={value}" for key, value in settings.items()]
            _run(cmake, "-G", "Ninja", "-S", str(native.SOURCES), "-B", work, *flags)
            _run(cmake, "--build", work)
            library = f"samplenet_{framework}-{asked['sources']}.so"
            os.replace(Path(work) / f"samplenet_{framework}.so", folder / library)
        device = "cpu" if why else "cuda"
        done = {"library": library, "device": device, "version": version, "without_cuda": why, **asked, **for_gpu}
        write_atomic(folder / "build.json", json.dumps(done, indent=1).encode())
        for stale in folder.glob("samplenet_*.so"):
            if stale.name != library:
                stale.unlink()
    return done


def _run(*command: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise InputError(f"{Path(command[0]).name} failed:\n{done.stdout}")


def status() -> str:
    """What is on this machine and what is built, a line each."""
    found, cuda = compiler(), nvcc()
    lines = [
        f"compiler: {found[1] if found else 'none found'}",
        f"CUDA: {cuda[1] if cuda else 'nvcc not found'}; GPU: {gpu() or 'none visible'}",
    ]
    for framework, name in NAMES.items():
        version = framework_version(framework)
        if version is None:
            lines.append(f"{name}: not installed")
        elif why := native.missing(framework, version):
            lines.append(f"{name} {version}: no native ops, framework operations serve: {why}")
        else:
            done = native.built(framework, version)
            devices = {"cpu": "the CPU", "cuda": "CPU and GPU"}[done["device"]]
            lines.append(f"{name} {version}: native ops for {devices}, built with {done['compiler']}")
            if done["without_cuda"]:
                lines.append(f"{name} {version}: no CUDA kernels: {done['without_cuda']}")
            elif framework == "tf":
                lines.append(f"{name} {version}: its CUDA kernels are untested: they compile and have never run")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m samplenet.ops.build", description=__doc__.splitlines()[0])
    parser.add_argument("--torch", action="store_true", help="build for PyTorch")
    parser.add_argument("--tf", action="store_true", help="build for TensorFlow")
    parser.add_argument("--cuda", action="store_true", help="build CUDA kernels even if no GPU is visible")
    parser.add_argument("--quiet", action="store_true", help="print only what is compiled")
    parser.add_argument("--check", action="store_true", help="build nothing; tell what is built and what is missing")
    parser.add_argument("--force", action="store_true", help="build again even if nothing changed")
    parser.add_argument("--sanitize", action="store_true", help="build with address and undefined-behaviour sanitizers")
    args = parser.parse_args()
    if not args.check:
        named = [f for f in NAMES if getattr(args, f)]
        try:
            for framework in named or [f for f in NAMES if framework_version(f)]:
                build(framework, args.cuda, args.force, args.sanitize)
        except InputError as error:
            sys.exit(f"samplenet.ops.build: error: {error}")
    if not args.quiet:
        print(status())


if __name__ == "__main__":
    main()
