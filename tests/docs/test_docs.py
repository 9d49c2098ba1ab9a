"""The documentation: its site builds without warnings and needs no network, its code runs."""

import importlib.util
import logging
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

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


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The built site; without the extra `docs` its tests are skipped."""
    pytest.importorskip("mkdocs", reason="the extra docs is not installed: bash setup.sh docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def hooks():
    pytest.importorskip("mkdocs", reason="the extra docs is not installed: bash setup.sh docs")
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Loaded(HTMLParser):
    """The addresses of all that a browser fetches to show a page."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag != "a":  # a link is followed only by who clicks it
            self.found += [
                value for key in ("src", "href", "srcset", "data") if (value := attributes.get(key))
            ]
        self.found += re.findall(r"url\(([^)]*)\)", attributes.get("style") or "")


def test_pages_fetch_nothing_from_the_network(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > len(PAGES)  # and 404.html
    for page in pages:
        loaded = Loaded(page.read_text()).found
        assert any(address.endswith(".css") for address in loaded)
        for address in loaded:
            assert not re.match(r"['\"]?(\w+:)?//", address), f"{page}: {address}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", sheet.read_text()), sheet


def test_equations_are_mathml(site):
    method = (site / "method.html").read_text()
    assert method.count('display="block"') == method.count("qquad") + 9  # no LaTeX is left over
    assert "arithmatex" not in method and "\\frac" not in method


def test_the_reference_names_both_frameworks(site):
    text = (site / "samplers.html").read_text() + (site / "ops.html").read_text()
    for framework in ("torch", "tf"):
        for name in ("SampleNet", "SoftProjection", "simplification_loss", "RandomSampler"):
            assert f'id="samplenet.{framework}.{name}"' in text
        for name in ("knn", "chamfer", "farthest_points", "gather"):
            assert f'id="samplenet.ops.{framework}.{name}"' in text


@pytest.mark.parametrize(
    "uri, link, shown",
    [
        ("README.md", "[a](docs/method.md#4-match)", "[a](method.md#4-match)"),
        ("method.md", "![a](../registration/images/x.png)", "![a](registration/images/x.png)"),
        ("registration/README.md", "[a](../SECURITY.md)", "[a](../SECURITY.md)"),
        ("SECURITY.md", "[a](docker)", "[a](docker/README.md)"),
        ("README.md", "[a](plan.py)", "a"),
        (
            "README.md",
            "[a](https://arxiv.org/abs/1912.03663)",
            "[a](https://arxiv.org/abs/1912.03663)",
        ),
        ("README.md", "```\nx[a](nothing.md)\n```", "```\nx[a](nothing.md)\n```"),
    ],
)
def test_links_between_files_become_links_between_pages(hooks, caplog, uri, link, shown):
    there = ["method.md", "registration/images/x.png", "SECURITY.md", "docker/README.md"]
    files = SimpleNamespace(get_file_from_path=lambda name: name in there)
    page = SimpleNamespace(file=SimpleNamespace(src_uri=uri))
    assert hooks.on_page_markdown(link, page, None, files) == shown
    assert not caplog.records


@pytest.mark.parametrize("link", ["[a](nothing.md)", "![a](nothing.png)", "[a](plan.py#there)"])
def test_a_broken_link_is_a_warning(hooks, caplog, link):
    files = SimpleNamespace(get_file_from_path=lambda name: None)
    page = SimpleNamespace(file=SimpleNamespace(src_uri="README.md"))
    hooks.on_page_markdown(link, page, None, files)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and record.name.startswith(
        "mkdocs"
    )  # which --strict counts


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
            return [script, ROOT / "common/samplenet/runs/settings.py"], words[i + 1 :]
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
    folders = ("", "classification", "registration", "reconstruction")
    files = [*ROOT.glob("*.sh"), *(ROOT / "common/samplenet").rglob("*.py")]
    files += [file for folder in folders for file in (ROOT / folder).glob("*.py")]
    known = flags(files)
    for words in commands(page):
        if words[0].startswith("--"):
            assert {word.rstrip(",:") for word in words if word.startswith("--")} <= known, (
                f"{page}: {' '.join(words)}"
            )


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
