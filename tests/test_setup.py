"""setup.sh: what it passes to pip, what it refuses, and how it repairs an interrupted set-up."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A stand-in for Python that makes environments of itself. Its pip copies five files, and like the
# real one takes a package for installed once it has metadata. At step STOP_AT the whole set-up gets
# SIGNAL.
PYTHON = r"""#!/usr/bin/env bash
site=$(dirname "$0")/../lib/python3.11/site-packages
trap 'echo "ERROR: Operation cancelled by user" >&2; exit 1' INT
step() {
    echo >>"$NOTES/steps"
    [ "$(wc -l <"$NOTES/steps")" != "${STOP_AT:-}" ] || kill -"$SIGNAL" 0
}
case "$*" in
    -V) echo "Python 3.11.0" ;;
    "-m venv --clear "*)
        echo "$4" >>"$NOTES/made"
        rm -rf "$4"; step
        mkdir -p "$4/bin" "$4/lib/python3.11/site-packages"; step
        cp "$0" "$4/bin/python"; step ;;
    "-m pip install "*)
        environment=$(basename "$(cd "$(dirname "$0")/.." && pwd)")
        echo "$environment ${*: -1} PIP_USER=$PIP_USER" >>"$NOTES/pip"
        echo "Requirement already satisfied: six"
        echo "Downloading matplotlib-3.0-py3-none-any.whl (600.0 MB)"; step
        [ -z "${NO_NETWORK:-}" ] || exit 1
        [ ! -e "$site/matplotlib.dist-info" ] || exit 0
        mkdir "$site/matplotlib.dist-info"; step
        for part in 1 2 3 4 5; do echo >"$site/part-$part"; step; done ;;
    "-c import matplotlib") step ;;
    *samplenet.__path__*) echo "${PLACE:-common/samplenet}" ;;
    *"reproduce.py --frameworks"*) echo "${FRAMEWORKS:-}" ;;
    *reproduce.py*) echo "$0 $*" >"$NOTES/ran" ;;
esac
"""


class Checkout:
    """The shell scripts in a folder, with stand-ins for Python and, by `program`, for others."""

    def __init__(self, folder: Path):
        self.folder, self.bin, self.notes = folder, folder / "programs", folder / "notes"
        (folder / "common" / "samplenet").mkdir(parents=True)
        self.bin.mkdir()
        self.notes.mkdir()
        for name in ("setup.sh", "reproduce.sh", "test.sh"):
            shutil.copy(ROOT / name, folder)
        for name in ("common/pyproject.toml", "constraints.txt"):
            (folder / name).touch()
        self.program("python3", PYTHON)

    def program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def run(
        self,
        script: str,
        *flags: str,
        shell: str = "bash",
        how: dict | None = None,
        **environment: str,
    ):
        """Run a script in its own process group; on its path are only the system and stand-ins."""
        usual = {"PATH": f"{self.bin}:/usr/bin:/bin", "NOTES": str(self.notes)}
        return subprocess.run(
            [shell, self.folder / script, *flags],
            env={**usual, **environment},
            capture_output=True,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(
                signal.SIGINT, signal.SIG_DFL
            ),  # ignored in a shell's background
            **(how or {}),
        )

    def noted(self, name: str) -> list[str]:
        """The lines that the stand-ins have written of one kind: steps, made, pip, ran."""
        file = self.notes / name
        return file.read_text().splitlines() if file.exists() else []

    def site(self, env: str = ".venv") -> Path:
        return self.folder / env / "lib" / "python3.11" / "site-packages"


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def test_a_set_up_that_was_interrupted_at_any_moment_is_mended_by_the_next(tmp_path):
    whole = Checkout(tmp_path / "whole")
    assert whole.run("setup.sh", "viz").returncode == 0
    moments = len(whole.noted("steps"))
    assert moments >= 10
    for moment in range(1, moments + 1):
        name = ("KILL", "INT")[moment % 2]
        checkout = Checkout(tmp_path / f"{moment}")
        assert checkout.run("setup.sh", "viz", STOP_AT=str(moment), SIGNAL=name).returncode != 0
        half = (checkout.site() / "matplotlib.dist-info").exists() and not (
            checkout.site() / "part-5"
        ).exists()
        again = checkout.run("setup.sh", "viz")
        assert again.returncode == 0, again.stderr
        assert (checkout.site() / "part-5").exists(), f"{name} at step {moment}"
        assert not half or "the set-up of .venv did not finish; starting again" in again.stdout
        assert not [
            line
            for line in checkout.run("setup.sh", "viz").stdout.splitlines()
            if "install" in line
        ]


def test_pip_without_a_network_leaves_the_environment_as_it_was(checkout):
    checkout.run("setup.sh", "viz")
    failed = checkout.run("setup.sh", "viz", "icp", NO_NETWORK="1")
    assert failed.returncode == 1 and "pip could not install samplenet[icp]" in failed.stderr
    assert checkout.run("setup.sh", "viz").stdout == "" and checkout.noted("made") == [".venv"]


def test_set_up_shows_the_large_downloads(checkout):
    told = checkout.run("setup.sh", "viz").stdout
    assert "(600.0 MB)" in told and "already satisfied" not in told


def test_the_checkout_is_linked_again_where_pip_has_put_a_copy(checkout):
    for place, calls in (("common/samplenet", 1), ("common/samplenet", 1), ("elsewhere", 2)):
        (checkout.folder / "elsewhere").mkdir(exist_ok=True)
        assert checkout.run("setup.sh", "viz", PLACE=place).returncode == 0
        assert len(checkout.noted("pip")) == calls


GPU = "#!/bin/sh\necho 'NVIDIA H200, 580.65.06'\n"


@pytest.mark.parametrize(
    ("extras", "environment", "installed"),
    [
        ("tf viz", {}, ".venv-tf common[build,train,tf,viz,tf-cuda,nvcc]"),
        ("torch viz", {}, ".venv common[build,train,torch,viz,nvcc]"),
        (
            "tf torch",
            {},
            ".venv common[build,train,tf,torch,nvcc]",
        ),  # the tests need both in one Python
        ("io", {}, ".venv common[build,train,io]"),
        ("cluster", {}, ".venv-cluster common[cluster]"),
        ("tf viz", {"CUDA_VISIBLE_DEVICES": ""}, ".venv common[build,train,tf,viz]"),
        ("torch viz", {"CUDA_VISIBLE_DEVICES": "-1"}, ".venv common[build,train,torch,viz]"),
        (
            "tf viz",
            {"CUDA_VISIBLE_DEVICES": "0", "CUDACXX": "true"},
            ".venv-tf common[build,train,tf,viz,tf-cuda]",
        ),
    ],
)
def test_with_a_gpu_pip_is_handed_what_it_needs(checkout, extras, environment, installed):
    checkout.program("nvidia-smi", GPU)
    done = checkout.run("setup.sh", *extras.split(), **environment)
    assert done.returncode == 0, done.stderr
    assert checkout.noted("pip") == [f"{installed} PIP_USER=0"]


def test_a_driver_that_does_not_answer_is_no_gpu(checkout):
    checkout.program("nvidia-smi", "#!/bin/sh\nexit 9\n")
    checkout.run("setup.sh", "tf")
    assert checkout.noted("pip") == [".venv common[build,train,tf] PIP_USER=0"]


@pytest.mark.parametrize("flags", [["all"], ["all", "--cpu"]])
def test_reproduce_makes_an_environment_of_each_framework_on_a_machine_with_a_gpu(checkout, flags):
    checkout.program("nvidia-smi", GPU)
    done = checkout.run("reproduce.sh", *flags, FRAMEWORKS="tf torch")
    assert done.returncode == 0, done.stderr
    gpu = [
        ".venv-tf common[build,train,tf,viz,tf-cuda,nvcc]",
        ".venv common[build,train,torch,viz,nvcc]",
    ]
    pip = gpu if flags == ["all"] else [".venv common[build,train,tf,viz]", ".venv common[torch]"]
    assert checkout.noted("pip") == [f"{line} PIP_USER=0" for line in pip]
    words = f"{checkout.folder}/.venv/bin/python {checkout.folder}/reproduce.py"
    assert checkout.noted("ran") == [" ".join([words, *flags])]


def test_reproduce_sets_up_the_further_extras_of_an_experiment(checkout):
    done = checkout.run("reproduce.sh", "pretraining", FRAMEWORKS="torch,probe,render")
    assert done.returncode == 0, done.stderr
    assert checkout.noted("pip") == [".venv common[build,train,torch,probe,render,viz] PIP_USER=0"]


def test_the_extras_for_a_gpu_bring_cuda_in_the_versions_of_the_constraints():
    extras = tomllib.loads((ROOT / "common/pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert any(line.startswith("tensorflow[and-cuda]") for line in extras["tf-cuda"])
    pinned = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines()[1:]
    )
    needed = [line.split(">=")[0] for line in extras["nvcc"]] + [
        "nvidia-cudnn-cu12",
        "nvidia-cuda-runtime-cu12",
    ]
    assert set(needed) <= pinned.keys()
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed: what its extra and-cuda needs is not compared")
    for line in importlib.metadata.requires("tensorflow") or []:
        name, _, extra = line.partition("; extra == ")
        assert "and-cuda" not in extra or re.match(r"[\w-]+", name)[0] in pinned, line


def test_a_clone_called_samplenet_does_not_hide_the_library(tmp_path):
    """From a script beside the clone: an editable install puts common/ on the path."""
    pytest.importorskip(
        "setuptools", minversion="77", reason="building the package needs setuptools 77 or later"
    )
    common, site = tmp_path / "checkout" / "common", tmp_path / "site"
    shutil.copytree(
        ROOT / "common",
        common,
        ignore=shutil.ignore_patterns("_native", "__pycache__", "*.egg-info"),
    )
    code = f"from setuptools import build_meta; print(build_meta.build_editable({str(tmp_path)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=common, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(tmp_path / done.stdout.splitlines()[-1]) as wheel:
        wheel.extractall(site)
    (tmp_path / "samplenet" / "common").mkdir(parents=True)
    script = tmp_path / "script.py"
    script.write_text(
        "import importlib.util, site, sys\n"
        "site.addsitedir(sys.argv[1])\n"
        "print(importlib.util.find_spec('samplenet').origin)\n"
    )
    found = subprocess.run(
        [sys.executable, "-S", script, site], cwd=tmp_path, env={}, capture_output=True, text=True
    )
    assert found.stdout.strip() == str(common / "samplenet" / "__init__.py"), found.stderr


SHIM = '#!/bin/sh\necho "pyenv: python3.9: command not found" >&2\nexit 127\n'
OLD = '#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.1 && exit\nexit 1\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SHIM, "python3.9 does not run here; name another"),
        (OLD, "3.11 to 3.13 is needed, python3.9 is Python 3.9.1"),
    ],
)
@pytest.mark.parametrize("script", [["setup.sh", "tf"], ["reproduce.sh"]])
def test_a_python_that_will_not_do_is_told_in_one_sentence(checkout, text, words, script):
    checkout.program("python3.9", text)
    done = checkout.run(*script, PYTHON="python3.9")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert words in done.stderr and not (checkout.folder / ".venv").exists()


def test_a_read_only_checkout_is_told_in_one_sentence():
    nobody = (
        {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
    )  # root writes everywhere
    with tempfile.TemporaryDirectory() as folder:
        checkout = Checkout(Path(folder) / "checkout")
        for path in (Path(folder), checkout.folder):
            path.chmod(0o555)
        done = checkout.run("setup.sh", "tf", how=nobody)
        checkout.folder.chmod(0o755)
        Path(folder).chmod(0o755)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert f"{checkout.folder} cannot be written to, and .venv belongs in it" in done.stderr


@pytest.mark.skipif(not shutil.which("dash"), reason="there is no dash, a sh that is not bash")
def test_sh_runs_the_scripts_as_bash_does(checkout):
    assert "unknown extra 'jax'" in checkout.run("setup.sh", "jax", shell="dash").stderr
    assert checkout.run("reproduce.sh", "all", shell="dash", FRAMEWORKS="torch").stderr == ""
    (checkout.folder / "setup.sh").write_text("exit 3\n")
    done = checkout.run("test.sh", shell="dash")
    assert (done.returncode, done.stderr) == (3, "")


def test_reproduce_py_before_set_up_names_reproduce_sh():
    done = subprocess.run(
        [sys.executable, "-S", ROOT / "reproduce.py"], env={}, capture_output=True, text=True
    )
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "lacks the library" in done.stderr and "bash reproduce.sh sets it up" in done.stderr


def test_setup_refuses_an_unknown_extra(checkout):
    done = checkout.run("setup.sh", "jax")
    assert done.returncode == 1 and "unknown extra 'jax'" in done.stderr


def test_the_engine_of_clusters_is_not_mixed_with_the_others(checkout):
    done = checkout.run("setup.sh", "tf", "cluster")
    assert done.returncode == 1 and "an environment of its own; give it alone" in done.stderr


BACKEND = """
import base64, hashlib, pathlib, zipfile
def wheel(folder, name, files):
    info = f"{name}-1.0.dist-info"
    kind = "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    about = f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n"
    if name == "samplenet":
        about += "Provides-Extra: build\\nProvides-Extra: viz\\n"
        about += "Requires-Dist: matplotlib; extra == 'viz'\\n"
    files = {**files, f"{info}/WHEEL": kind, f"{info}/METADATA": about}
    record = ""
    for file, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()
        record += f"{file},sha256={digest.rstrip('=')},{len(text)}\\n"
    path = pathlib.Path(folder, f"{name}-1.0-py3-none-any.whl")
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\\n"}.items():
            archive.writestr(file, text)
    return path.name
def get_requires_for_build_editable(settings=None):
    return []
def build_editable(folder, settings=None, metadata=None):
    return wheel(folder, "samplenet", {"samplenet.pth": str(pathlib.Path.cwd())})
"""


@pytest.mark.slow
def test_the_real_pip_killed_at_ten_moments_is_mended(tmp_path):
    """Set up a package of many modules and import them all: real venv and pip, no network.

    Takes 2 to 5 minutes.
    """
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    scope = {}
    exec(BACKEND, scope)
    modules = {f"matplotlib/part_{i}.py": f"number = {i}\n" for i in range(500)}
    imports = "".join(f"from matplotlib import part_{i}\n" for i in range(500))
    scope["wheel"](wheels, "matplotlib", {**modules, "matplotlib/__init__.py": imports})
    (checkout := tmp_path / "checkout" / "common" / "samplenet").mkdir(parents=True)
    (checkout / "__init__.py").touch()
    (checkout.parent / "backend.py").write_text(BACKEND)
    system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (checkout.parent / "pyproject.toml").write_text(
        system + '[project]\nname = "samplenet"\nversion = "1.0"\n'
    )
    checkout = checkout.parents[1]
    (checkout / "constraints.txt").touch()
    shutil.copy(ROOT / "setup.sh", checkout)
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": os.devnull}
    how = {
        "env": {"PATH": os.environ["PATH"], "PYTHON": sys.executable, **pip},
        "start_new_session": True,
    }
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = ["bash", checkout / "setup.sh", "viz"]

    def whole() -> float:
        begin = time.time()
        done = subprocess.run(command, **how, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        python = checkout / ".venv" / "bin" / "python"
        subprocess.run([python, "-I", "-c", "import matplotlib, samplenet"], check=True)
        return time.time() - begin

    length, stopped = whole(), 0
    for moment in range(10):
        shutil.rmtree(checkout / ".venv")
        with subprocess.Popen(command, **how, **quiet) as child:
            time.sleep(length * (moment + 0.5) / 10)
            os.killpg(
                child.pid, (signal.SIGKILL, signal.SIGINT)[moment % 2]
            )  # it is there until it is waited for
            stopped += child.wait() != 0
        whole()
    assert stopped >= 8
