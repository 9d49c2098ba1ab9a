"""The quick preset shows what the experiment is for.

One PCRNet, one sampler seed (0), n = 800 test pairs.
"""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_samplenet_registers_better_than_fps_and_random_sampling(tmp_path, read_results):
    runner = [
        "bash",
        ROOT / "registration" / "runner_samplenet.sh",
        "--sizes",
        "16",
        "--out",
        tmp_path / "out",
    ]
    subprocess.run(runner, check=True)
    rows = read_results(tmp_path / "out" / "registration" / "evaluation")["rows"]
    assert {r["n"] for r in rows} == {800}

    def read(metric):
        return {
            (r["sampler"], r["m"]): r["value"]
            for r in rows
            if (r["metric"], r["protocol"]) == (metric, "matched")
        }

    mean, spread = read("rotation_error_deg"), read("rotation_error_std_deg")

    def surely_below(one, other):
        two_errors = 2 * ((spread[one] ** 2 + spread[other] ** 2) / 800) ** 0.5
        return mean[one] + two_errors < mean[other]

    assert mean["none", 512] < 5
    assert surely_below(("samplenet", 16), ("fps", 16))
    assert surely_below(("fps", 16), ("random", 16))
