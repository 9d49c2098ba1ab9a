"""Fixtures of the tests of classification."""

import shutil
from pathlib import Path

import pytest

import evaluate
import train_classifier
import train_samplenet
from samplenet.runs.script import main

ROOT = Path(__file__).parents[2]
SCRIPTS = {
    "train_classifier": (train_classifier, train_classifier.train),
    "train_samplenet": (train_samplenet, train_samplenet.train),
    "evaluate": (evaluate, evaluate.evaluate),
}
TINY = ["--batch-size", "8", "--epochs", "1", "--bn-decay-samples", "20"]


@pytest.fixture(scope="session", autouse=True)
def every_training_step_is_checked(gradients_in_one_order, one_operation_a_step):
    """For the order of its sums, and for what it asks of the host."""


@pytest.fixture(scope="session")
def tiny():
    """Flags of a training that takes seconds."""
    return TINY


@pytest.fixture(scope="session")
def results(read_results):
    """Function of an evaluation folder: its results.json."""
    return read_results


@pytest.fixture
def script(monkeypatch, shapes_folder, without_figures):
    """Run a script in this process; returns nothing, or raises SystemExit with the message."""

    def run(name, *flags, data_root=shapes_folder):
        module, action = SCRIPTS[name]
        points = (
            ["--num-points", "64"] if name == "train_classifier" else []
        )  # a sampler takes its classifier's
        flags = [*points, *map(str, flags), *(["--data-root", str(data_root)] if data_root else [])]
        monkeypatch.setattr("sys.argv", [str(ROOT / "classification" / f"{name}.py"), *flags])
        main(action, module.Config)

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory, shapes_folder, call_script):
    """A classifier, and samplers in front of it, each trained for one epoch."""
    folder, base = tmp_path_factory.mktemp("runs"), [*TINY, "--data-root", shapes_folder]
    flags = ["--num-points", 64, "--model", "vanilla", "--no-xla", "--out", folder / "cls"]
    call_script(train_classifier, *base, *flags)
    for name, flags in {
        "samplenet": "--sample-sizes 8",
        "snet": "--sample-sizes 8 --no-projection",
        "progressive": "--sample-sizes 4 8",
    }.items():
        task = ["--task", folder / "cls", "--out", folder / name]
        call_script(train_samplenet, *base, flags, *task)
    return folder


@pytest.fixture(scope="session")
def broken_copy():
    """Function: a data set folder copied and changed."""

    def copy(folder, target, change):
        shutil.copytree(folder, target)
        file = target / "ply_data_train0.h5"
        change(target, file)
        return target

    return copy
