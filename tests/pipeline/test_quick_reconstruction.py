"""The quick preset shows what the experiment is for.

One autoencoder, one sampler seed (0), n = 160 test shapes. A difference under two standard errors
over shapes is a tie.
"""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from samplenet.report.rows import select
from samplenet.report.ties import standard_error
from samplenet.runs.experiments import load

ROOT = Path(__file__).parents[2]
EXPERIMENT = load(ROOT / "reconstruction")


def check(results: dict) -> None:
    """Assert the order of the samplers."""
    results["rows"] = [row for row in results["rows"] if "class" not in row]
    rows = select(results["rows"], metric="nre", protocol="matched")
    assert {r["n"] for r in rows} == {160}
    assert select(results["rows"], metric="chamfer", sampler="none", m=512)[0]["value"] < 2.5e-3
    for m in (32, 16):
        for one, other in (("samplenet", "fps"), ("fps", "random")):
            better, worse = (select(rows, sampler=name, m=m) for name in (one, other))
            two_errors = 2 * np.hypot(
                *(
                    standard_error(results["rows"], EXPERIMENT, "nre", found)
                    for found in (better, worse)
                )
            )
            assert better[0]["value"] + two_errors < worse[0]["value"]


@pytest.mark.slow
def test_samplenet_reconstructs_better_than_fps_and_random_sampling(tmp_path, read_results):
    runner = ["bash", ROOT / "reconstruction" / "runner_samplenet.sh", "--out", tmp_path / "out"]
    subprocess.run(runner, check=True)
    check(read_results(tmp_path / "out" / "reconstruction" / "evaluation"))
