"""What importing costs, what the package holds, and that the README's code runs as printed."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


WITHOUT = [
    "samplenet",
    "samplenet.console.cli",
    "samplenet.data.saved_samples",
    "samplenet.data.shapes",
    "samplenet.export",
    "samplenet.frozen",
    "samplenet.ops",
    "samplenet.ops.reference",
    "samplenet.pretrained",
    "samplenet.weights",
]
LOADED = "print([m for m in ('tensorflow', 'keras', 'torch') if m in sys.modules])"


@pytest.mark.parametrize("module", WITHOUT)
def test_importing_loads_no_framework(module):
    code = f"import sys, {module}; {LOADED}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_normalising_an_array_loads_no_framework():
    code = f"import sys, samplenet; samplenet.normalise([[[1, 2, 3], [4, 5, 6]]]); {LOADED}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


ONLY = """
import sys
allowed = {*sys.stdlib_module_names, "samplenet", *sys.argv[1].split(",")}

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
"""


def run_with_core_dependencies(code, folder):
    """Run code that can import only the standard library and the dependencies without extras."""
    project = tomllib.loads((ROOT / "common" / "pyproject.toml").read_text())["project"]
    core = ",".join(Requirement(line).name for line in project["dependencies"])
    command = [sys.executable, "-c", ONLY + code, core]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_core_alone_samples_a_file(beside_a_scan, tmp_path):
    code = """
import samplenet
from samplenet.console.cli import main
assert samplenet.normalise([[[1, 2, 3], [4, 5, 6]]]).shape == (1, 2, 3)
for source, target in (("scan.ply", "a.xyz"), ("a.xyz", "b.npy"), ("b.npy", "c.ply")):
    assert main(["sample", source, "-m", "50", "-o", target]) == 0
assert main(["sample", "scan.ply", "-m", "8", "--sampler", "greedy", "-o", "d.ply"]) == 0
"""
    run_with_core_dependencies(code, tmp_path)
    assert (tmp_path / "c.ply").is_file()


def test_a_module_says_which_extra_it_lacks(tmp_path):
    code = """
import importlib
import samplenet
for module in ("modelnet40", "shapenet", "saved_samples", "download", "build"):
    module = ("ops." if module == "build" else "data.") + module
    try:
        importlib.import_module(f"samplenet.{module}")
    except samplenet.InputError as error:
        print(module, error)
"""
    lines = run_with_core_dependencies(code, tmp_path).splitlines()
    extras = [
        re.fullmatch(r'(\S+) \w+ is not installed; install samplenet with its extra "(\w+)"', line)
        for line in lines
    ]
    assert [match.groups() for match in extras] == [
        ("data.modelnet40", "data"),
        ("data.shapenet", "data"),
        ("data.saved_samples", "data"),
        ("data.download", "data"),
        ("ops.build", "build"),
    ]


def test_importing_takes_a_moment():
    """Of a processor's time, the best of five: 0.1 s on two cores, most of it NumPy's."""
    code = "from time import process_time as t; a = t(); import numpy; b = t(); import samplenet"
    code += "; print(b - a, t() - a)"
    command = [sys.executable, "-c", code]
    took = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        for _ in range(5)
    ]
    numpy, whole = (min(map(float, column)) for column in zip(*took, strict=True))
    assert whole < max(0.2, 2 * numpy)  # a slow machine is so for NumPy too


def test_wheel_and_sdist_hold_every_file_of_the_library(tmp_path):
    pytest.importorskip(
        "setuptools", minversion="77", reason="building the package needs setuptools 77 or later"
    )
    common, made = tmp_path / "common", tmp_path / "made"
    leave = shutil.ignore_patterns("_native", "__pycache__", "*.egg-info", "build")
    shutil.copytree(ROOT / "common", common, ignore=leave)
    code = (
        "from setuptools import build_meta as b; b.build_wheel({0!r}); b.build_sdist({0!r})".format(
            str(made)
        )
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=common, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,), (sdist,) = made.glob("*.whl"), made.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as file:
        in_wheel = {*file.namelist()}
    with tarfile.open(sdist) as file:
        in_sdist = {name.partition("/")[2] for name in file.getnames()}
    files = (
        path
        for path in (common / "samplenet").rglob("*")
        if path.is_file() and path.suffix != ".md"
    )
    needed = {path.relative_to(common).as_posix() for path in files}
    assert {
        "samplenet/ops/csrc/CMakeLists.txt",
        "samplenet/pretrained/classification-32.json",
        "samplenet/pretrained/tasks/classification/last.safetensors",
    } <= needed
    assert not needed - in_wheel and not needed - in_sdist


def test_the_oldest_versions_are_the_lower_bounds_of_pyproject():
    project = tomllib.loads((ROOT / "common" / "pyproject.toml").read_text())["project"]
    (extras,) = re.findall(r"common\[([a-z,]+)\]", (ROOT / "test.sh").read_text())
    asked = set(project["dependencies"])
    for extra in extras.split(","):
        asked.update(project["optional-dependencies"][extra])
    bounds = set()
    for requirement in map(Requirement, asked):
        (lowest,) = [part.version for part in requirement.specifier if part.operator == ">="]
        bounds.add(f"{requirement.name}=={lowest}")
    lines = (ROOT / "constraints-oldest.txt").read_text().splitlines()
    assert {line for line in lines if not line.startswith("#")} == bounds


PYTHON = """#!/bin/sh
echo "$@" >> calls
[ "$2" != venv ] || { mkdir -p "$4/bin" && cp "$0" "$4/bin/python"; }
[ "$2" != pip ] || [ ! -e no-network ]
"""


def test_the_oldest_versions_are_installed_again_only_where_they_changed_or_were_not_finished(
    tmp_path,
):
    (tmp_path / "common").mkdir()
    for name in ("test.sh", "constraints-oldest.txt", "common/pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)

    def asked() -> list[str]:
        """The modules that a call runs."""
        (tmp_path / "calls").write_text("")
        environment = {**os.environ, "PYTHON": tmp_path / "python"}
        subprocess.run(
            ["bash", tmp_path / "test.sh", "--oldest"], env=environment, capture_output=True
        )
        return [line.split()[1] for line in (tmp_path / "calls").read_text().splitlines()]

    tests = ["samplenet.ops.build", "pytest"]
    (tmp_path / "no-network").touch()
    assert asked() == ["venv", "pip"]
    (tmp_path / "no-network").unlink()
    assert asked() == ["venv", "pip", *tests]
    assert asked() == tests
    (tmp_path / "constraints-oldest.txt").write_text("torch==2.7\n")
    assert asked() == ["venv", "pip", *tests]


def test_the_library_has_the_licence_of_the_repository():
    assert (ROOT / "common" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_the_code_of_the_readme_runs():
    torch = pytest.importorskip("torch")
    task = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.AdaptiveAvgPool2d((1, 4)), torch.nn.Flatten()
    )
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    scope = {"task": task, "clouds": torch.randn(4, 256, 3), "labels": torch.tensor([0, 1, 2, 3])}
    exec(compile(block, "README.md", "exec"), scope)
    assert scope["sampled"].points.shape == (4, 32, 3)


def test_the_method_is_as_short_as_the_readme_says():
    text = (ROOT / "README.md").read_text()
    (section,) = re.findall(r"## The method is five short files\n(.*?)\n## ", text, re.S)
    files = re.findall(r"\]\(([\w/]+\.py)\)", section)
    (most,) = re.findall(r"under (\d+) lines together", section)
    assert len(files) == 5
    assert sum(len((ROOT / file).read_text().splitlines()) for file in files) < int(most)


@pytest.mark.parametrize(
    "readme",
    [
        "README.md",
        *(
            f"{name}/README.md"
            for name in ("classification", "registration", "reconstruction", "docker", "examples")
        ),
    ],
)
def test_the_files_that_the_readme_names_exist(readme):
    text = (ROOT / readme).read_text()
    assert "PLACEHOLDER" not in text
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / readme).parent.joinpath(target).exists(), target
    scripts = re.findall(r"(?:bash|python) ([\w./-]+\.(?:sh|py))", text)
    assert scripts
    for script in scripts:
        assert (ROOT / script).exists(), script
