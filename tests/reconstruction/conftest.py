"""What the tests of reconstruction share."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from samplenet.runs import settings
from samplenet.runs.checkpoint import load_checkpoint

RECONSTRUCTION = Path(__file__).parents[2] / "reconstruction"


@pytest.fixture(scope="session")
def scripts(import_scripts):
    """The modules of reconstruction/ by name: `scripts.train_autoencoder`; and its `folder`."""
    return import_scripts("reconstruction")


@pytest.fixture(scope="session")
def task(tmp_path_factory, scripts):
    """The run folder of a tiny autoencoder of chairs and cars."""
    folder, old = tmp_path_factory.mktemp("task") / "autoencoder", sys.argv
    flags = [
        "--classes",
        "chair",
        "car",
        "--shapes-per-class",
        "20",
        "--num-points",
        "32",
        "--batch-size",
        "8",
    ]
    sys.argv = [scripts.train_autoencoder.__file__]
    try:
        flags = [*flags, "--epochs", "2", "--out", str(folder)]
        scripts.train_autoencoder.train(settings.load(scripts.train_autoencoder.Config, flags))
    finally:
        sys.argv = old
    return folder


CUT = """
import sys
sys.path.insert(0, {folder!r})
import {name} as script
from samplenet.runs import settings
from samplenet.runs.run import Run

def train(out, *flags):
    sys.argv = [script.__file__]
    script.train(settings.load(script.Config, [*{flags!r}, "--deterministic", "--out", out, *flags]))

def stop_after_the_first(run, *args, **more):
    checkpoint(run, *args, **more)
    raise KeyboardInterrupt

train("whole")
checkpoint, Run.checkpoint = Run.checkpoint, stop_after_the_first
try:
    train("cut")
except KeyboardInterrupt:
    print("cut")
Run.checkpoint = checkpoint
train("cut", "--resume")
"""


@pytest.fixture
def assert_resumes(tmp_path, metrics):
    """Check that a run that is cut after its first epoch and resumed ends like an unbroken one, bit for bit.

    In a process of its own, as TensorFlow's determinism cannot be switched off again.
    """

    def check(name, *flags):
        program = CUT.format(folder=str(RECONSTRUCTION), name=name, flags=[*map(str, flags)])
        command = [sys.executable, "-c", program]
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        assert "\ncut\n" in done.stdout
        whole, cut = (
            load_checkpoint(tmp_path / run / "last.safetensors") for run in ("whole", "cut")
        )
        assert whole[1]["done"] and cut[1]["done"] and whole[0].keys() == cut[0].keys()
        for key, array in whole[0].items():
            np.testing.assert_array_equal(cut[0][key], array, err_msg=key)
        assert metrics(tmp_path / "cut") == metrics(tmp_path / "whole")

    return check
