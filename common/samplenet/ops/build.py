"""Build the native ops, or report what is built: python -m samplenet.ops.build [--torch] [--tf] [--cuda] [--check].

Without --torch or --tf, for every framework installed. CUDA kernels are built where the framework has CUDA, nvcc is
found and a GPU is visible; --cuda builds them also without a GPU, for every architecture nvcc knows. CUDAARCHS, as
CMake reads it, names the architectures instead ("80;90").
A build is kept until the sources or the GPU change; --force starts from nothing, as for another compiler.
Needs a C++17 compiler (g++ or clang++; CXX names another), CMake and ninja (both from pip: the extra `build`).
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
    """Return the installed version, without importing the framework; None if it is not installed."""
    for distribution in DISTRIBUTIONS[framework]:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None


def tool(name: str) -> str | None:
    """Find a program next to this Python, or on the path."""
    return shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)


def named(variable: str, *others: str) -> str | None:
    """Find the program that an environment variable names; without the variable, the first of the others that exists.

    Raises:
        InputError: the variable names no program.
    """
    if not (name := os.environ.get(variable)):
        return next(filter(None, map(shutil.which, others)), None)
    if not (path := shutil.which(name)):
        raise InputError(
            f"{variable} names {name!r}, which is no program here; name one, without arguments, or unset it"
        )
    return path


def compiler() -> str | None:
    """Find the C++ compiler."""
    return named("CXX", "c++", "g++", "clang++")


def nvcc(home: str | None = None) -> tuple[str, str] | None:
    """Find nvcc and its release: CUDACXX, under CUDA_HOME or `home`, on the path, or in pip's nvidia-cuda-nvcc."""
    homes = (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), home)
    wheel = Path(sysconfig.get_path("platlib"), "nvidia", "cu13")
    path = named("CUDACXX", *(f"{h}/bin/nvcc" for h in homes if h), "nvcc", f"{wheel}/bin/nvcc")
    if path is None:
        return None
    text = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    return path, text.partition("release ")[2].partition(",")[0] or "of unknown release"


def cuda_target(asked: bool) -> str | None:
    """Describe what CUDA kernels would be compiled for; None where there is no GPU and nobody asked."""
    found = device.gpu()
    if not found and not asked:
        return None
    names = os.environ.get("CUDAARCHS")
    return f"architectures {names}" if names else found.name if found else "every architecture"


ASK = {
    "tf": """
import json, os, tensorflow as tf
cuda = tf.sysconfig.get_build_info().get("cuda_version") if tf.test.is_built_with_cuda() else None
flags = [f.replace("-I", "-isystem", 1) if f.startswith("-I") else f for f in tf.sysconfig.get_compile_flags()]
link = tf.sysconfig.get_link_flags()
folder = next(f[2:] for f in link if f.startswith("-L"))
link = [os.path.join(folder, f[3:]) for f in link if f.startswith("-l:")]
print(json.dumps({"compile": flags, "link": link, "cuda": cuda, "cuda_home": None}))
""",
    "torch": """
import json, os, torch
from torch.utils import cpp_extension
folder = os.path.join(os.path.dirname(torch.__file__), "lib")
link = [os.path.join(folder, f"libtorch_{part}.so") for part in (["cpu", "cuda"] if torch.version.cuda else ["cpu"])]
flags = ["-isystem" + path for path in cpp_extension.include_paths()]
home = cpp_extension.CUDA_HOME
print(json.dumps({"compile": flags, "link": link, "cuda": torch.version.cuda, "cuda_home": home}))
""",
}


def options(framework: str) -> dict:
    """Return how to compile against the framework: options, libraries, its CUDA version and where it finds CUDA.

    Another process imports it: TensorFlow then prints a page, which is shown only if it fails.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-c", ASK[framework]], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise InputError(f"{NAMES[framework]} does not import:\n{done.stderr}")
    use = json.loads(done.stdout.splitlines()[-1])
    if framework == "torch":
        use["compile"].append(
            f"-DTORCH_TARGET_VERSION={native.TORCH_STABLE[0] << 56 | native.TORCH_STABLE[1] << 48:#x}"
        )
    return use


def why_no_cuda(framework: str, use: dict, asked: bool) -> str | None:
    """Explain why the CUDA kernels are left out; None if they are built."""
    if use["cuda"] is None:
        return "the framework installed here is built without CUDA"
    cuda, found = nvcc(use["cuda_home"]), device.gpu()
    if cuda is None:
        return "nvcc was not found; pip install nvidia-cuda-nvcc, or name another with CUDACXX"
    if found is None:
        return None if asked else "no GPU is visible; --cuda builds all the same"
    if found.runs(cuda[1]):
        return None
    return (
        f"what nvcc {cuda[1]} compiles needs driver {device.oldest_driver(cuda[1])} or later, this is {found.driver}; "
        "update it, or name an older nvcc with CUDACXX"
    )


def build(framework: str, cuda: bool = False, force: bool = False, sanitize: bool = False) -> dict:
    """Compile the ops for an installed framework; returns what build.json holds.

    Raises:
        InputError: something is missing or does not compile; the compiler's message is in it.
    """
    version = framework_version(framework)
    if version is None:
        raise InputError(
            f"{NAMES[framework]} is not installed: pip install {DISTRIBUTIONS[framework][0]}"
        )
    if framework == "torch" and (why := native.too_old(version)):
        raise InputError(why)
    if compiler() is None:
        raise InputError(
            "no C++ compiler was found; on Debian or Ubuntu: sudo apt-get install g++; or set CXX"
        )
    if tool("cmake") is None or tool("ninja") is None:
        raise InputError("CMake and ninja are needed: pip install cmake ninja")
    folder = native.folder(framework, version)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            return _build(framework, version, folder, cuda, force, sanitize)
    except OSError as error:
        raise InputError(
            f"{folder}: {error}; SAMPLENET_NATIVE_DIR names another folder for the builds"
        ) from error


def _build(
    framework: str, version: str, folder: Path, cuda: bool, force: bool, sanitize: bool
) -> dict:
    old, target, name = (
        native.built(framework, version),
        cuda_target(cuda),
        f"{NAMES[framework]} {version}",
    )
    keep = not force and native.missing(framework, version) is None and old["sanitize"] == sanitize
    if keep and (target is None or old["gpu"] in (target, "every architecture")):
        return old
    use = options(framework)
    why = why_no_cuda(framework, use, cuda)
    if cuda and why:
        raise InputError(f"--cuda: {why}")
    if keep and why:  # still nothing to compile CUDA kernels with
        return old
    if force:
        shutil.rmtree(folder / "build", ignore_errors=True)
    print(f"{name}: compiling{'' if why else ', CUDA kernels too'} (a minute or two)", flush=True)
    try:
        used = _compile(
            framework, use, sanitize, None if why else nvcc(use["cuda_home"])[0], folder
        )
    except InputError as error:
        if why or cuda:
            raise
        print(
            f"{name}: the CUDA kernels do not compile, the others are built without them: {error}",
            file=sys.stderr,
        )
        why = "they do not compile here; --cuda shows why"
        used = _compile(framework, use, sanitize, None, folder)
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
    """Configure and build in `folder`/build, where ninja compiles what changed; returns the compilers' versions."""
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
        # pip's nvcc looks for its runtime in lib64, and its wheel has it in lib
        folders = [str(Path(cuda).parents[1] / "lib"), env.get("LIBRARY_PATH")]
        env["LIBRARY_PATH"] = os.pathsep.join(filter(None, folders))
        settings["CMAKE_CUDA_COMPILER"] = cuda
        settings["CMAKE_CUDA_ARCHITECTURES"] = os.environ.get("CUDAARCHS") or (
            "native" if device.gpu() else "all"
        )
    work, flags = folder / "build", [f"-D{key}={value}" for key, value in settings.items()]
    configure = [tool("cmake"), "-G", "Ninja", "-S", str(native.SOURCES), "-B", str(work), *flags]
    try:
        _run(*configure, env=env)
    except InputError:  # CMake refuses a folder that was copied here or begun with another compiler
        shutil.rmtree(work, ignore_errors=True)
        _run(*configure, env=env)
    _run(tool("cmake"), "--build", str(work), env=env)
    return json.loads((work / "compilers.json").read_text())


def _run(*command: str, env: dict[str, str]) -> None:
    done = subprocess.run(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise InputError(f"{Path(command[0]).name} failed:\n{done.stdout}")


def status() -> str:
    """Describe this machine and what is built, a line each."""
    try:
        cxx, cuda, found = compiler(), nvcc(), device.gpu()
    except InputError as error:
        return f"error: {error}"
    lines = [
        f"compiler: {cxx or 'none found'}",
        *(
            f"{name}: not found; pip install {name}"
            for name in ("cmake", "ninja")
            if tool(name) is None
        ),
        f"CUDA: {f'nvcc {cuda[1]}' if cuda else 'nvcc not found'}; GPU: {found.name if found else 'none visible'}",
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
            lines.append(
                f"{name} {version}: native ops for {devices}, built with {done['compiler']}"
            )
            if done["without_cuda"]:
                lines.append(f"{name} {version}: no CUDA kernels: {done['without_cuda']}")
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = Parser(prog="python -m samplenet.ops.build", description=__doc__.splitlines()[0])
    parser.add_argument("--torch", action="store_true", help="build for PyTorch")
    parser.add_argument("--tf", action="store_true", help="build for TensorFlow")
    parser.add_argument(
        "--cuda", action="store_true", help="build CUDA kernels even if no GPU is visible"
    )
    parser.add_argument("--quiet", action="store_true", help="print only what is compiled")
    parser.add_argument(
        "--check",
        action="store_true",
        help="build nothing; report what is built and what is missing",
    )
    parser.add_argument("--force", action="store_true", help="build again even if nothing changed")
    parser.add_argument(
        "--sanitize",
        action="store_true",
        help="build with address and undefined-behaviour sanitizers",
    )
    args = parser.parse_args()
    failures = 0
    chosen = [f for f in NAMES if getattr(args, f)] or [f for f in NAMES if framework_version(f)]
    for framework in [] if args.check else chosen:
        try:
            build(framework, args.cuda, args.force, args.sanitize)
        except InputError as error:
            print(f"samplenet.ops.build: error: {NAMES[framework]}: {error}", file=sys.stderr)
            failures += 1
        except KeyboardInterrupt:
            sys.exit(130)
    if not args.quiet:
        print(status())
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
