"""Build the native ops: python -m samplenet.ops.build [--torch] [--tf] [--cuda] [--check].

Without --torch or --tf, builds for every framework installed; --check only reports what is built.
CUDA kernels are built if the framework has CUDA, nvcc is installed and a GPU is visible; --cuda
builds them without a GPU too, for every architecture that nvcc knows. CUDAARCHS, which CMake
reads, names the architectures instead ("80;90").
A build is kept until the sources or the GPU change; --force builds from scratch, for example with
another compiler. Needs a C++17 compiler (g++ or clang++; CXX names another), CMake and ninja (both
from pip: the extra `build`).
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

from samplenet import device
from samplenet.atomic import write_atomic
from samplenet.device import NAMES
from samplenet.errors import InputError, needs_extra
from samplenet.ops import native
from samplenet.runs.parser import Parser

with needs_extra("build"):
    from filelock import FileLock

DISTRIBUTIONS = {"torch": ("torch",), "tf": ("tensorflow", "tensorflow-cpu", "tf-nightly")}


def framework_version(framework: str) -> str | None:
    """Return the installed version without importing the framework; None if not installed."""
    for distribution in DISTRIBUTIONS[framework]:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None


def tool(name: str) -> str | None:
    """Find a program next to this Python or on the path."""
    return shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)


def named(variable: str, *others: str) -> str | None:
    """Find the program that an environment variable names; if it is not set, one of the others.

    Raises:
        InputError: the variable names no program.
    """
    if not (name := os.environ.get(variable)):
        return next(filter(None, map(shutil.which, others)), None)
    if not (path := shutil.which(name)):
        advice = "name one, without arguments, or unset it"
        raise InputError(f"{variable} names {name!r}, which is no program here; {advice}")
    return path


def compiler() -> str | None:
    """Find the C++ compiler."""
    return named("CXX", "c++", "g++", "clang++")


def nvcc(home: str | None = None) -> tuple[str, str] | None:
    """Find nvcc; return its path and release.

    Looks in CUDACXX, CUDA_HOME, CUDA_PATH, `home`, on the path and in pip's nvidia-cuda-nvcc.
    """
    homes = (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), home)
    wheel = Path(sysconfig.get_path("platlib"), "nvidia", "cu13")
    path = named("CUDACXX", *(f"{h}/bin/nvcc" for h in homes if h), "nvcc", f"{wheel}/bin/nvcc")
    if path is None:
        return None
    text = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    return path, text.partition("release ")[2].partition(",")[0] or "of unknown release"


def cuda_target(asked: bool) -> str | None:
    """Describe what CUDA kernels are compiled for; None without a GPU unless they are asked for."""
    gpu = device.gpu()
    if not gpu and not asked:
        return None
    if names := os.environ.get("CUDAARCHS"):
        return f"architectures {names}"
    return gpu.name if gpu else "every architecture"


# Programs that print how to compile against a framework. The headers are system headers, so that
# their warnings are not shown.
ASK = {
    "tf": """
import json, os, tensorflow as tf
cuda = tf.sysconfig.get_build_info().get("cuda_version") if tf.test.is_built_with_cuda() else None
flags = tf.sysconfig.get_compile_flags()
flags = ["-isystem" + f[2:] if f.startswith("-I") else f for f in flags]
link = tf.sysconfig.get_link_flags()
folder = next(f[2:] for f in link if f.startswith("-L"))
link = [os.path.join(folder, f[3:]) for f in link if f.startswith("-l:")]
print(json.dumps({"compile": flags, "link": link, "cuda": cuda, "cuda_home": None}))
""",
    "torch": """
import json, os, torch
from torch.utils import cpp_extension
folder, cuda = os.path.join(os.path.dirname(torch.__file__), "lib"), torch.version.cuda
parts = ["cpu", "cuda"] if cuda else ["cpu"]
link = [os.path.join(folder, f"libtorch_{part}.so") for part in parts]
flags = ["-isystem" + path for path in cpp_extension.include_paths()]
home = cpp_extension.CUDA_HOME
print(json.dumps({"compile": flags, "link": link, "cuda": cuda, "cuda_home": home}))
""",
}


def options(framework: str) -> dict:
    """Return the compiler flags, libraries, CUDA version and CUDA_HOME of the framework.

    Another process imports the framework, because TensorFlow prints a page when it starts; it is
    shown only if the import fails.
    """
    command = [sys.executable, "-P", "-c", ASK[framework]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"{NAMES[framework]} does not import:\n{done.stderr}")
    use = json.loads(done.stdout.splitlines()[-1])
    if framework == "torch":  # only what the stable interface of this version has may be used
        major, minor = native.TORCH_STABLE
        use["compile"].append(f"-DTORCH_TARGET_VERSION={major << 56 | minor << 48:#x}")
    return use


def why_no_cuda(use: dict, asked: bool) -> str | None:
    """Explain why the CUDA kernels are left out; None if they are built."""
    if use["cuda"] is None:
        return "the framework installed here is built without CUDA"
    cuda, gpu = nvcc(use["cuda_home"]), device.gpu()
    if cuda is None:
        return "nvcc was not found; pip install nvidia-cuda-nvcc, or name another with CUDACXX"
    if gpu is None:
        return None if asked else "no GPU is visible; --cuda builds all the same"
    if gpu.runs(cuda[1]):
        return None
    needed = f"driver {device.oldest_driver(cuda[1])} or later, this is {gpu.driver}"
    advice = "update it, or name an older nvcc with CUDACXX"
    return f"what nvcc {cuda[1]} compiles needs {needed}; {advice}"


def build(framework: str, cuda: bool = False, force: bool = False, sanitize: bool = False) -> dict:
    """Compile the ops for an installed framework; return the contents of build.json.

    Raises:
        InputError: something is missing or does not compile; with the compiler's message.
    """
    version = framework_version(framework)
    if version is None:
        install = f"pip install {DISTRIBUTIONS[framework][0]}"
        raise InputError(f"{NAMES[framework]} is not installed: {install}")
    if framework == "torch" and (why := native.too_old(version)):
        raise InputError(why)
    if compiler() is None:
        install = "on Debian or Ubuntu: sudo apt-get install g++; or set CXX"
        raise InputError(f"no C++ compiler was found; {install}")
    if tool("cmake") is None or tool("ninja") is None:
        raise InputError("CMake and ninja are needed: pip install cmake ninja")
    folder = native.folder(framework, version)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            return _build(framework, version, folder, cuda, force, sanitize)
    except OSError as error:
        advice = "SAMPLENET_NATIVE_DIR names another folder for the builds"
        raise InputError(f"{folder}: {error}; {advice}") from error


def _build(
    framework: str, version: str, folder: Path, cuda: bool, force: bool, sanitize: bool
) -> dict:
    old, target = native.built(framework, version), cuda_target(cuda)
    name = f"{NAMES[framework]} {version}"
    keep = not force and native.missing(framework, version) is None and old["sanitize"] == sanitize
    if keep and (target is None or old["gpu"] in (target, "every architecture")):
        return old
    use = options(framework)
    why = why_no_cuda(use, cuda)
    if cuda and why:
        raise InputError(f"--cuda: {why}")
    if keep and why:  # there is a GPU, but still nothing to compile CUDA kernels with
        return old
    if force:
        shutil.rmtree(folder / "build", ignore_errors=True)
    print(f"{name}: compiling{'' if why else ', CUDA kernels too'} (a minute or two)", flush=True)
    try:
        nvcc_path = None if why else nvcc(use["cuda_home"])[0]
        used = _compile(framework, use, sanitize, nvcc_path, folder)
    except InputError as error:
        if why or cuda:
            raise
        # CUDA kernels that nobody asked for must not cost the ops of the CPU
        told = "the CUDA kernels do not compile, so only those for the CPU are built"
        print(f"{name}: {told}: {error}", file=sys.stderr)
        why = "they do not compile here; --cuda shows why"
        used = _compile(framework, use, sanitize, None, folder)
    # Named after its sources: the old library stays loadable until build.json names the new one.
    library = f"samplenet_{framework}-{native.source_hash()}.so"
    os.replace(folder / "build" / f"samplenet_{framework}.so", folder / library)
    done = {
        "library": library,
        "sources": native.source_hash(),
        "machine": platform.machine(),
        "sanitize": sanitize,
        **used,
        "device": "cpu" if why else "cuda",
        "without_cuda": why,
        "gpu": None if why else target,
    }
    write_atomic(folder / "build.json", json.dumps(done, indent=1).encode())
    for stale in folder.glob("samplenet_*.so"):
        if stale.name != library:
            stale.unlink()
    return done


def _compile(
    framework: str, use: dict, sanitize: bool, cuda: str | None, folder: Path
) -> dict[str, str]:
    """Compile what changed in `folder`/build, CUDA kernels too if `cuda` is the path of nvcc.

    Returns:
        the compilers' versions.
    """
    settings = {
        "FRAMEWORK": framework,
        "FRAMEWORK_OPTIONS": ";".join(use["compile"]),
        "FRAMEWORK_LIBRARIES": ";".join(use["link"]),
        "CMAKE_BUILD_TYPE": "RelWithDebInfo" if sanitize else "Release",
        "CMAKE_CXX_COMPILER": compiler(),
        "CMAKE_MAKE_PROGRAM": tool("ninja"),
        "SANITIZE": "ON" if sanitize else "OFF",
        "CUDA": "ON" if cuda else "OFF",
    }
    env = dict(os.environ)
    if cuda:
        # pip's nvcc looks for its runtime in lib64, but its wheel has it in lib
        folders = [str(Path(cuda).parents[1] / "lib"), env.get("LIBRARY_PATH")]
        env["LIBRARY_PATH"] = os.pathsep.join(filter(None, folders))
        settings["CMAKE_CUDA_COMPILER"] = cuda
        here = "native" if device.gpu() else "all"
        settings["CMAKE_CUDA_ARCHITECTURES"] = env.get("CUDAARCHS") or here
    work, flags = folder / "build", [f"-D{key}={value}" for key, value in settings.items()]
    cmake = tool("cmake")
    configure = [cmake, "-G", "Ninja", "-S", str(native.SOURCES), "-B", str(work), *flags]
    try:
        _run(*configure, env=env)
    except InputError:  # CMake refuses a folder that was copied or configured for another compiler
        shutil.rmtree(work, ignore_errors=True)
        _run(*configure, env=env)
    _run(cmake, "--build", str(work), env=env)
    return json.loads((work / "compilers.json").read_text())


def _run(*command: str, env: dict[str, str]) -> None:
    done = subprocess.run(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise InputError(f"{Path(command[0]).name} failed:\n{done.stdout}")


def status() -> str:
    """Describe this machine and its builds, one line each."""
    try:
        cxx, cuda, gpu = compiler(), nvcc(), device.gpu()
    except InputError as error:
        return f"error: {error}"
    lines = [f"compiler: {cxx or 'not found'}"]
    lines += [f"{n}: not found; pip install {n}" for n in ("cmake", "ninja") if tool(n) is None]
    found = f"nvcc {cuda[1]}" if cuda else "nvcc not found"
    lines.append(f"CUDA: {found}; GPU: {gpu.name if gpu else 'none visible'}")
    for framework, name in NAMES.items():
        version = framework_version(framework)
        if version is None:
            lines.append(f"{name}: not installed")
            continue
        name = f"{name} {version}"
        if why := native.missing(framework, version):
            lines.append(f"{name}: no native ops, framework operations are used: {why}")
            continue
        done = native.built(framework, version)
        devices = {"cpu": "the CPU", "cuda": "CPU and GPU"}[done["device"]]
        lines.append(f"{name}: native ops for {devices}, built with {done['compiler']}")
        if done["without_cuda"]:
            lines.append(f"{name}: no CUDA kernels: {done['without_cuda']}")
    return "\n".join(lines)


FLAGS = {
    "--torch": "build for PyTorch",
    "--tf": "build for TensorFlow",
    "--cuda": "build CUDA kernels even if no GPU is visible",
    "--quiet": "print only what is compiled",
    "--check": "build nothing; report what is built and what is missing",
    "--force": "build again even if nothing changed",
    "--sanitize": "build with address and undefined-behaviour sanitizers",
}


def main() -> None:
    """Run the command line."""
    parser = Parser(prog="python -m samplenet.ops.build", description=__doc__.splitlines()[0])
    for flag, text in FLAGS.items():
        parser.add_argument(flag, action="store_true", help=text)
    args = parser.parse_args()
    chosen = [f for f in NAMES if getattr(args, f)] or [f for f in NAMES if framework_version(f)]
    failed = False
    for framework in () if args.check else chosen:
        try:
            build(framework, args.cuda, args.force, args.sanitize)
        except InputError as error:
            print(f"samplenet.ops.build: error: {NAMES[framework]}: {error}", file=sys.stderr)
            failed = True
        except KeyboardInterrupt:
            sys.exit(130)
    if not args.quiet:
        print(status())
    sys.exit(failed)


if __name__ == "__main__":
    main()
