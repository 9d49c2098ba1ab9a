"""What the tests of registration share."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from samplenet.runs.checkpoint import load_checkpoint

REGISTRATION = Path(__file__).parents[2] / "registration"


@pytest.fixture(scope="session")
def scripts(import_scripts):
    """The modules of registration/ by name: `scripts.train_pcrnet`; and its `folder`."""
    return import_scripts("registration")


@pytest.fixture
def torchrun():
    """Run a script of registration/ in two processes on the CPU; returns what the processes printed."""

    def run(script, *flags):
        launch = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            "2",
        ]
        launch += [
            "--local-addr",
            "localhost",
        ]  # else it asks for this machine's name, which may lead nowhere
        command = [*launch, str(REGISTRATION / script), *map(str, flags)]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def assert_same(metrics):
    """Check that two run folders ended with the same weights, bit for bit, and logged the same."""

    def check(one, two):
        (first, meta), (second, _) = (
            load_checkpoint(folder / "last.safetensors") for folder in (one, two)
        )
        assert meta["done"] and first.keys() == second.keys()
        for name, array in first.items():
            np.testing.assert_array_equal(second[name], array, err_msg=name)
        assert metrics(one) == metrics(two)

    return check
