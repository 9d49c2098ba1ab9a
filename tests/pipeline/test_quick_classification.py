"""The quick preset shows what the experiment is for.

One classifier, three sampler seeds (0, 1, 2; random and FPS: 0), n = 840 test shapes, m = 32,
matched points. A difference under two standard errors, over shapes and seeds, is a tie.
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from samplenet.report.rows import select
from samplenet.report.ties import standard_error
from samplenet.runs.experiments import load

ROOT = Path(__file__).parents[2]
EXPERIMENT = load(ROOT / "classification")
FEW = 0.05  # "a few points"


def check(results: dict) -> None:
    """Assert the order of the samplers."""
    rows = select(results["rows"], metric="accuracy", protocol="matched")
    found = {
        name: select(rows, sampler=name, m=32) for name in {r["sampler"] for r in rows} - {"none"}
    }
    mean = {name: np.mean([r["value"] for r in mine]) for name, mine in found.items()}

    def two_errors(one, other):
        return 2 * np.hypot(
            *(
                standard_error(results["rows"], EXPERIMENT, "accuracy", found[name])
                for name in (one, other)
            )
        )

    assert {r["n"] for r in rows} == {840}
    assert all(len(mine) == (1 if name in ("random", "fps") else 3) for name, mine in found.items())
    assert 0.85 <= select(rows, sampler="none")[0]["value"] <= 0.98
    assert mean["samplenet"] > mean["snet"] - two_errors("samplenet", "snet")
    assert mean["samplenet"] > mean["fps"] + max(0.15, two_errors("samplenet", "fps"))
    assert mean["fps"] > mean["random"] + two_errors("fps", "random")
    assert abs(mean["samplenet_progressive"] - mean["samplenet"]) < FEW
    assert abs(mean["progressivenet"] - mean["snet"]) < FEW


@pytest.mark.slow
def test_learned_samplers_keep_the_accuracy_that_fps_and_random_sampling_lose(
    tmp_path, read_results
):
    env = {**os.environ, "SAMPLENET_DATA": str(tmp_path / "data")}
    flags = ["classification", "--seeds", "0", "1", "2", "--sizes", "32", "--out", tmp_path / "out"]
    subprocess.run(["bash", ROOT / "reproduce.sh", *flags], env=env, check=True)
    check(read_results(tmp_path / "out" / "classification" / "evaluation"))
