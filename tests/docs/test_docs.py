"""What the pages say: their code runs, their commands and flags exist."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml

import samplenet
from samplenet.console import cli
from samplenet.data import ply

ROOT = Path(__file__).parents[2]
EXPERIMENTS = [path.parent for path in sorted(ROOT.glob("*/experiment.py"))]
READMES = [f"{folder.name}/README.md" for folder in EXPERIMENTS if (folder / "README.md").exists()]
READMES += ["README.md", "CONTRIBUTING.md", "docker/README.md", "common/samplenet/ops/README.md"]
PAGES = [*READMES, *(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").glob("*.md")))]


def code(page: str) -> list[str]:
    """The Python blocks of a page."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / f"{page}.md").read_text(), re.S)
    assert blocks
    return blocks


def test_the_code_of_the_pages_runs_in_tensorflow(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        samplenet.pretrained, "PACKAGES", {"tf": "tensorflow"}
    )  # the other tests import both
    (start,) = code("get-started")
    start = start.replace("import torch  # or: import tensorflow as tf", "import tensorflow as tf")
    start = start.replace("samplenet.torch", "samplenet.tf").replace(
        "torch.from_numpy", "tf.constant"
    )
    exec(compile(start, "docs/get-started.md", "exec"), {})
    assert np.loadtxt("chair-64.xyz").shape == (64, 3)
    (keras,) = (block for block in code("use") if "import keras" in block)
    scope = {
        "clouds": np.random.default_rng(0).normal(size=(4, 256, 3)).astype(np.float32),
        "labels": np.arange(4),
    }
    exec(compile(keras, "docs/use.md", "exec"), scope)
    assert scope["sampled"].idx.shape == (4, 32)


def test_the_code_of_the_pages_runs(beside_a_scan):
    torch = pytest.importorskip("torch")
    clouds, labels = torch.randn(4, 256, 3), torch.tensor([0, 1, 2, 3])
    Path("scan.ply").write_bytes(ply.encode(clouds[0].numpy()))

    class Task(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 4)

        def forward(self, points):
            return self.layer(points).amax(1)

    scope = {"task": Task(), "clouds": clouds, "labels": labels, "features": torch.randn(4, 32, 8)}
    scope["task_loss"] = lambda points: points.square().mean()
    scopes = {"get-started": {}, "use": scope, "faq": scope, "own": {}}  # faq follows on from use
    scopes |= {"ops": {}, "rendering": {}}
    scopes["data-formats"] = {
        "points": np.zeros((2, 5, 3), np.float32),
        "labels": [0, 1],
        "names": ["a", "b"],
    }
    for page, scope in scopes.items():
        for block in code(page):
            if "import keras" not in block:
                exec(compile(block, f"docs/{page}.md", "exec"), scope)
    assert np.loadtxt("chair-64.xyz").shape == (64, 3)
    assert scopes["use"]["sampled"].idx.shape == (4, 32) and scopes["use"]["per_point"].shape == (
        4,
        256,
        8,
    )
    assert Path("my-shapes", "test_files.txt").exists()


def commands(page: str):
    """The shell commands of a page, as lists of words: lines of bash blocks, and code in a line."""
    text = (ROOT / page).read_text()
    blocks = "".join(re.findall(r"```bash\n(.*?)```", text, re.S)).replace("\\\n", " ")
    rest = re.sub(r"```.*?```", "", text, flags=re.S)
    for line in [*blocks.splitlines(), *re.findall(r"`([^`]+)`", rest)]:
        for part in re.split(r"&&|;", line):
            try:
                words = shlex.split(part.replace("…", ""), comments=True)
            except ValueError:  # an apostrophe: no command
                continue
            if words:
                yield words


def sources(words: list[str]) -> tuple[list[Path], list[str]]:
    """The files that decide what flags a command takes, and the words after the script's name."""
    for i, word in enumerate(words):
        if (
            word == "-m"
            and i
            and words[i - 1].endswith("python")
            and words[i + 1].startswith("samplenet")
        ):
            base = ROOT / "common" / words[i + 1].replace(".", "/")
            return [base / "__main__.py" if base.is_dir() else base.with_suffix(".py")], words[
                i + 2 :
            ]
        if re.fullmatch(r"[\w./-]+\.(py|sh)", word) and (i or word.startswith("docker/")):
            script = ROOT / word
            if re.search(r"runner_|reproduce\.sh|docker/run\.sh", word):
                return [script, ROOT / "reproduce.py", *ROOT.glob("*/experiment.py")], words[
                    i + 1 :
                ]
            settings = [
                ROOT / "common/samplenet/runs/settings.py",
                *script.parent.glob("options.py"),
            ]
            return [script, *settings], words[i + 1 :]
    return [], []


def understood(words: list[str]) -> bool:
    """Whether the console command takes these arguments."""
    try:
        cli._parser().parse_args(words)
    except SystemExit as end:
        return not end.code  # 0 after --help
    return True


def flags(files: list[Path]) -> set[str]:
    """Flags that the files spell out, and those of their settings."""
    text = "".join(file.read_text() for file in files)
    fields = [
        name.replace("_", "-") for name in re.findall(r"^    (\w+): .*= option\(", text, re.M)
    ]
    of_settings = (f"--{no}{name}" for name in fields for no in ("", "no-"))
    return {*re.findall(r"--[a-z][a-z0-9-]*", text), *of_settings, "--help"}


@pytest.mark.parametrize("page", PAGES)
def test_commands_name_files_and_flags_that_exist(page):
    for words in commands(page):
        if words[0] == "samplenet" and len(words) > 2:
            assert understood(words[1:]), f"{page}: {' '.join(words)}"
        if words[0] not in ("bash", "python", "torchrun", ".venv/bin/python", "docker/run.sh"):
            continue
        files, rest = sources(words)
        for file in files:
            assert file.is_file(), f"{page}: {' '.join(words)}"
        if not files or files[0].name == "test.sh":  # whose flags are pytest's
            continue
        known = flags(files)
        for word in rest:
            if word.startswith("--"):
                assert word.split("=")[0] in known, f"{page}: {word} in {' '.join(words)}"
        if files[0].name == "setup.sh":
            (extras,) = re.findall(r'known="([a-z ]+)"', files[0].read_text())
            assert {*rest} <= {*extras.split()}, f"{page}: {' '.join(words)}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != "docker/README.md"]
)  # which names pip's
def test_flags_named_alone_exist(page):
    folders = ("", *(folder.name for folder in EXPERIMENTS))
    files = [*ROOT.glob("*.sh"), *(ROOT / "common/samplenet").rglob("*.py")]
    files += [file for folder in folders for file in (ROOT / folder).glob("*.py")]
    known = flags(files)
    for words in commands(page):
        if words[0].startswith("--"):
            assert {word.rstrip(",:") for word in words if word.startswith("--")} <= known, (
                f"{page}: {' '.join(words)}"
            )


def test_the_tests_that_reliability_names_exist():
    named = re.findall(r"`(tests/.*?)`", (ROOT / "docs/reliability.md").read_text())
    assert named
    for words in named:
        files, _, names = words.partition(" -k ")
        text = "".join((ROOT / file).read_text() for file in files.split())
        for name in set(re.findall(r"\w+", names)) - {"or"}:
            assert re.search(rf"def test_\w*{name}", text), words


def test_the_check_of_commands_finds_what_does_not_exist():
    files, rest = sources(shlex.split("python classification/evaluate.py --task a --sampler fps"))
    assert "--task" in flags(files) and "--sampler" not in flags(files) and rest[0] == "--task"
    files, _ = sources(shlex.split("python -m samplenet.data.modelnet --root data"))
    assert not files[0].is_file()
    assert understood(["sample", "a.ply", "-m", "8", "-o", "b.ply"])
    assert not understood(["sample", "a.ply", "-n", "8", "-o", "b.ply"])


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == samplenet.__version__
    assert re.search(
        rf"^## .*\b{re.escape(samplenet.__version__)}\b", (ROOT / "CHANGELOG.md").read_text(), re.M
    )
    assert [len(paper["authors"]) for paper in citation["references"]] == [3, 3]
