"""What the tests of classification share."""

import shutil
import sys
from pathlib import Path

import pytest

import evaluate
import train_classifier
import train_samplenet
from samplenet.runs import settings
from samplenet.runs.script import main

ROOT = Path(__file__).parents[2]
SCRIPTS = {
    "train_classifier": (train_classifier, train_classifier.train),
    "train_samplenet": (train_samplenet, train_samplenet.train),
    "evaluate": (evaluate, evaluate.evaluate),
}
TINY = ["--batch-size", "8", "--epochs", "1", "--bn-decay-samples", "20"]


@pytest.fixture(scope="session")
def tiny():
    """Flags of a training that takes seconds."""
    return TINY


@pytest.fixture(scope="session")
def results(read_results):
    """Function of an evaluation folder: its results.json."""
    return read_results


@pytest.fixture
def script(monkeypatch, shapes_folder):
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
def trained(tmp_path_factory, shapes_folder):
    """A classifier, a SampleNet-8 and an S-NET-8, trained for one epoch each."""
    folder, base = tmp_path_factory.mktemp("runs"), [*TINY, "--data-root", str(shapes_folder)]
    load = settings.load

    def argv(name):
        sys.argv = [str(ROOT / "classification" / f"{name}.py")]

    old = sys.argv
    try:
        argv("train_classifier")
        flags = [
            *base,
            "--num-points",
            "64",
            "--model",
            "vanilla",
            "--no-xla",
            "--out",
            str(folder / "cls"),
        ]
        train_classifier.train(load(train_classifier.Config, flags))
        argv("train_samplenet")
        for name, flag in (("samplenet", "--projection"), ("snet", "--no-projection")):
            flags = [
                *base,
                "--task",
                str(folder / "cls"),
                "--sample-sizes",
                "8",
                flag,
                "--out",
                str(folder / name),
            ]
            train_samplenet.train(load(train_samplenet.Config, flags))
    finally:
        sys.argv = old
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
