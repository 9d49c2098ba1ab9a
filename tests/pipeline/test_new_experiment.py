"""An experiment is one folder: docs/new-experiment.md in a copy of the checkout, nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from samplenet.errors import InputError
from samplenet.runs.experiments import discover, load

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "new-experiment.md"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Copy the checkout, and write the page's files where the page says."""
    folder = tmp_path_factory.mktemp("new") / "checkout"
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in tracked.splitlines():
        if (ROOT / name).exists() and not name.endswith((".png", ".safetensors")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    files = re.findall(r"`(toy/\S+)`:\n\n```\w+\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    assert {name for name, _ in files} >= {
        "toy/experiment.py",
        "toy/evaluate.py",
        "toy/configs/smoke.yaml",
    }
    for name, text in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def call(checkout, *words, status=0):
    """Run Python in the copy; return what it prints."""
    env = {**os.environ, "PYTHONPATH": str(checkout / "common")}
    done = subprocess.run(
        [sys.executable, *words], cwd=checkout, env=env, capture_output=True, text=True
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_it_is_small(checkout):
    lines = [
        line for path in (checkout / "toy").rglob("*.*") for line in path.read_text().splitlines()
    ]
    assert len(lines) < 100


def test_reproduce_makes_its_table_and_its_part_of_the_page(checkout):
    assert call(checkout, "reproduce.py", "toy", "--frameworks") == "torch\n"
    out = checkout / "results" / "smoke"
    said = call(checkout, "reproduce.py", "toy", "--preset", "smoke", "--seeds", "1")
    assert str(out / "index.html") in said and "toy does not use --seeds\n" in said
    results = json.loads((out / "toy" / "evaluation" / "results.json").read_text())
    values = {(*row["method"].values(), row["metric"]): row["value"] for row in results["rows"]}
    assert (
        values["none", 256, "coverage"]
        == 0
        < values["fps", 32, "coverage"]
        < values["random", 32, "coverage"]
    )
    experiment = discover(checkout)["toy"]
    page, tables = (out / "index.html").read_text(), (out / "tables.md").read_text()
    assert experiment.question in page
    for text in (page, tables):
        assert (
            experiment.metrics["coverage"].title in text
            and f"{values['fps', 32, 'coverage']:.3f}" in text
        )
    assert "toy/evaluation is finished" in call(
        checkout, "reproduce.py", "toy", "--preset", "smoke"
    )


def test_it_is_part_of_everything_and_not_of_all(checkout):
    said = call(checkout, "reproduce.py", "everything", "--preset", "paper", status=2)
    assert "toy has no preset" in said
    # argparse breaks lines at hyphens too
    helped = " ".join(call(checkout, "reproduce.py", "--help").split()).replace("- ", "-")
    experiments = discover(checkout)
    words = [*experiments, *(extra for each in experiments.values() for extra in each.extras)]
    assert "toy" in words and f"{', '.join(words)}, all, everything (all is classif" in helped


def test_an_unknown_preset_and_a_missing_statement_are_one_sentence(checkout, tmp_path):
    for preset in ("full", "paper"):
        said = call(checkout, "reproduce.py", "toy", "--preset", preset, status=2)
        sentence = f"toy has no preset '{preset}', as configs/{preset}.yaml is missing"
        assert said == f"reproduce.sh: error: {sentence}; --help lists the flags\n"
    broken = checkout / "broken"
    broken.mkdir()
    (broken / "experiment.py").write_text('QUESTION = "?"\n')
    said = call(checkout, "reproduce.py", "toy", status=1)
    shutil.rmtree(broken)
    assert (
        "experiment.py must state FRAMEWORK, ITEMS, METRICS, LINES, COLUMNS, runs; see docs" in said
    )
    assert said.count("\n") == 1


def test_a_framework_that_there_is_none_of_is_refused(checkout, tmp_path):
    text = (checkout / "toy" / "experiment.py").read_text()
    (tmp_path / "experiment.py").write_text(text.replace('"torch"', '"pytorch"'))
    with pytest.raises(InputError, match="FRAMEWORK must be tf or torch, got 'pytorch'"):
        load(tmp_path)


def test_the_tests_that_nothing_is_left_out_take_it(checkout):
    tests = [
        "tests/faults/test_bad_input.py::test_no_script_is_left_out",
        "tests/docker/test_run.py",
        "-k",
        "left_out or toy",
    ]
    said = call(checkout, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    assert "2 passed" in said  # docker/run.sh runs it in the image of its framework


def test_lint_takes_it(checkout):
    pytest.importorskip("ruff")
    for words in (["check"], ["format", "--check"]):
        call(checkout, "-m", "ruff", *words, "--no-cache", "toy")
