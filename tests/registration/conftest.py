"""What the tests of registration share."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from samplenet.checkpoint import load_checkpoint

REGISTRATION = Path(__file__).parents[2] / "registration"


@pytest.fixture(scope="session")
def scripts():
    """The modules of registration/ by name: `scripts.train_pcrnet`; and its `folder`.

    Classification has scripts of the same names, and `import` finds those; here each finds its own neighbours.
    """
    names = [file.stem for file in sorted(REGISTRATION.glob("*.py"))]
    twins = [name for name in names if (REGISTRATION.parent / "classification" / f"{name}.py").exists()]
    others = {name: sys.modules.pop(name) for name in twins if name in sys.modules}
    sys.path.insert(0, str(REGISTRATION))
    try:
        found = {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(REGISTRATION))
        for name in twins:
            sys.modules.pop(name, None)
        sys.modules.update(others)
    return SimpleNamespace(folder=REGISTRATION, **found)


@pytest.fixture
def torchrun():
    """Run a script of registration/ in two processes on the CPU; returns what the processes printed."""

    def run(script, *flags):
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        launch += ["--local-addr", "localhost"]  # else it asks for this machine's name, which may lead nowhere
        command = [*launch, str(REGISTRATION / script), *map(str, flags)]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def _metrics(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "time"} for line in lines]


@pytest.fixture
def metrics():
    """Read what a run logged, without its times."""
    return _metrics


@pytest.fixture
def assert_same():
    """Check that two run folders ended with the same weights, bit for bit, and logged the same."""

    def check(one, two):
        (first, meta), (second, _) = (load_checkpoint(folder / "last.safetensors") for folder in (one, two))
        assert meta["done"] and first.keys() == second.keys()
        for name, array in first.items():
            np.testing.assert_array_equal(second[name], array, err_msg=name)
        assert _metrics(one) == _metrics(two)

    return check
