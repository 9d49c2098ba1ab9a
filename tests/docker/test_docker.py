"""What can be known of the images without building them; docker/verify.sh builds them."""

import fnmatch
import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
FRAMEWORKS = ("tensorflow", "pytorch")
EXTRAS = {"tensorflow": ["tf", "render"], "pytorch": ["torch", "render", "probe"]}
LOCKS = [f"{framework}-{device}" for framework in FRAMEWORKS for device in ("cpu", "cuda")]


def stages(framework: str) -> list[list[tuple[str, str]]]:
    """Return (instruction, rest) of each stage of a Dockerfile; the first is what precedes FROM."""
    text = (ROOT / "docker" / f"{framework}.Dockerfile").read_text()
    text = re.sub(r"^#.*\n", "", text, flags=re.M).replace("\\\n", " ")
    found = [[]]
    for line in filter(None, text.splitlines()):
        instruction, rest = line.split(maxsplit=1)
        if instruction == "FROM":
            found.append([])
        found[-1].append((instruction, rest))
    return found


def locked(name: str) -> dict[str, str]:
    """Return the version of each distribution in a lock file; every line must have a hash."""
    text = (ROOT / "docker/lock" / f"{name}.txt").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    pattern = re.compile(r"([a-z0-9-]+)==(\S+) --hash=sha256:[0-9a-f]{64}")
    matches = [pattern.fullmatch(line) for line in lines]
    assert all(matches) and lines == sorted(lines)
    return dict(match.groups() for match in matches)


def wanted(requirement: str) -> Requirement:
    return Requirement(re.sub(r"\s#.*", "", requirement))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_build_arguments_are_declared_where_they_are_used(framework):
    before, *rest = stages(framework)
    outer = {text.split("=")[0] for instruction, text in before if instruction == "ARG"}
    assert outer == {"BASE", "TOOLKIT"}  # what an image is made from can be chosen
    for stage in rest:
        known = {"PATH"}
        for instruction, text in stage:
            if instruction == "ARG":
                known.add(text.split("=")[0])
            names = set(re.findall(r"\$\{?([A-Z]+)", text))
            assert names <= (outer if instruction == "FROM" else known), text


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_layers(framework):
    _, toolkit, locked, build, environment, experiments, run = stages(framework)
    assert toolkit == [("FROM", "${TOOLKIT} AS toolkit")]
    assert run[0] == ("FROM", "${BASE}")
    assert [instruction for instruction, _ in run][-3:] == ["USER", "ENTRYPOINT", "CMD"]
    assert dict(run)["USER"].split(":")[0] not in ("root", "0")
    sources = [
        [text.split()[0] for word, text in stage if word == "COPY"]
        for stage in (locked, build, environment)
    ]
    assert sources == [
        [f"docker/lock/{framework}-${{DEVICE}}.txt"],
        ["common"],
        [],
    ]  # dependencies before the source
    assert [stage[0][1] for stage in (build, environment)] == [
        "locked AS build",
        "locked AS environment",
    ]
    assert [instruction for instruction, _ in experiments] == ["FROM", "WORKDIR", "COPY", "RUN"]
    copies = [text for word, text in run if word == "COPY"]
    assert copies[0].startswith("--from=environment ") and copies[1].startswith(
        "--from=build "
    )  # large ones first
    for instruction, text in locked + build + run:
        if instruction == "RUN" and "apt-get install" in text:
            assert "--no-install-recommends" in text and text.endswith(
                "rm -rf /var/lib/apt/lists/*"
            )
        if instruction == "RUN" and "pip install" in text:
            assert text.count("pip install --no-cache-dir --no-deps ") == text.count("pip install")
            assert ("-r lock.txt" in text) == ("--require-hashes" in text)
        assert instruction != "ADD"


def sent(name: str) -> bool:
    """Return whether the engine gets a file, by the last line of .dockerignore that matches it."""
    path, decision = Path(name), True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        parts = (
            path.parts if "**/" in line else [str(parent) for parent in (path, *path.parents)][:-1]
        )
        if (
            line
            and not line.startswith("#")
            and any(fnmatch.fnmatch(part, pattern) for part in parts)
        ):
            decision = line.startswith("!")
    return decision


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_is_copied_exists_and_is_sent_to_the_engine(framework):
    for stage in stages(framework)[1:]:
        for instruction, text in stage:
            if instruction == "COPY" and not text.startswith("--from") and text != ". .":
                for source in text.removeprefix("--chmod=755 ").split()[:-1]:
                    for name in (source.replace("${DEVICE}", device) for device in ("cpu", "cuda")):
                        assert (ROOT / name).exists() and sent(name), name


def test_the_engine_is_sent_what_images_are_made_of_and_nothing_large_or_private():
    folders = ["common/samplenet", *(path.parent.name for path in ROOT.glob("*/experiment.py"))]
    tracked = subprocess.run(
        ["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    needed = [name for name in tracked.split() if not name.endswith((".md", ".png"))]
    assert needed and not [name for name in needed if not sent(name)]
    kept = (
        ".git/config",
        ".venv/lib/x.so",
        ".venv-tf/lib/x.so",
        "results/quick/index.html",
        "data/modelnet40/x.h5",
    )
    kept += (
        "tests/conftest.py",
        "docs/use.md",
        "examples/features.py",
        "common/samplenet/ops/_native/x.so",
    )
    assert not [name for name in kept if sent(name)]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_image_holds_every_folder_with_an_experiment_and_no_other(framework, tmp_path):
    """The line of the Dockerfile, in a folder of its own."""
    for name in ("toy/experiment.py", "toy/configs/smoke.yaml", "other/evaluate.py"):
        (tmp_path / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "checkout" / name).touch()
    (line,) = [text for word, text in stages(framework)[5] if word == "RUN"]
    line = line.replace("/experiments", str(tmp_path / "experiments"))
    subprocess.run(["sh", "-c", line], cwd=tmp_path / "checkout", check=True)
    found = [
        path.relative_to(tmp_path / "experiments") for path in (tmp_path / "experiments").rglob("*")
    ]
    assert sorted(map(str, found)) == [
        "toy",
        "toy/configs",
        "toy/configs/smoke.yaml",
        "toy/experiment.py",
    ]


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_satisfies_pyproject_and_constraints(name):
    versions = locked(name)
    project = tomllib.loads((ROOT / "common/pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    asked = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    for extra in (*EXTRAS[name.split("-")[0]], "viz", "build"):
        asked += extras[extra]
    for requirement in map(wanted, asked):
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), (
            requirement
        )
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if not line.startswith("#"):
            pinned, version = line.split("==")
            assert (
                versions.get(canonicalize_name(pinned), version).removesuffix("+cpu") == version
            ), line
    other = {"tensorflow": "torch", "pytorch": "tensorflow"}[name.split("-")[0]]
    assert other not in versions
    assert ("cuda" in name) == any(distribution.startswith("nvidia-") for distribution in versions)


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_holds_what_its_distributions_need(name):
    """As far as the same versions are installed here, and say what they need."""
    versions, looked_at = locked(name), 0
    for distribution, version in versions.items():
        try:
            found = importlib.metadata.distribution(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
        if Version(found.version) != Version(version):
            continue
        looked_at += 1
        for requirement in map(Requirement, found.requires or []):
            if requirement.marker is None or requirement.marker.evaluate(
                {"extra": "", "python_version": "3.11"}
            ):
                needed = versions[canonicalize_name(requirement.name)]
                assert requirement.specifier.contains(needed, prereleases=True), (
                    f"{distribution} {requirement}"
                )
    if not looked_at:
        pytest.skip("no distribution of the lock is installed here in its version")


def test_the_toolkits_that_run_sh_takes_are_those_of_the_dockerfiles():
    script = (ROOT / "docker/run.sh").read_text()
    for framework in FRAMEWORKS:
        (version,) = set(re.findall(rf"{framework}\) cuda=(\S+)", script))
        assert (
            f"docker.io/nvidia/cuda:{version}-devel-ubuntu24.04"
            in (ROOT / "docker" / f"{framework}.Dockerfile").read_text()
        )


@pytest.mark.parametrize(
    "words, said",
    [
        (["segmentation"], "unknown framework 'segmentation', known: pytorch tensorflow"),
        (["pytorch", "torch"], "unknown framework 'torch', known: pytorch tensorflow"),
    ],
)
def test_verify_refuses(words, said):
    done = subprocess.run(
        ["bash", ROOT / "docker/verify.sh", *words], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
