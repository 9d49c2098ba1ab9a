"""The quick preset shows what the experiment is for. One classifier and one sampler seed (0), n = 840 test shapes."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_samplenet_keeps_the_accuracy_that_fps_and_random_sampling_lose(tmp_path):
    env = {**os.environ, "SAMPLENET_DATA": str(tmp_path / "data")}
    subprocess.run(["bash", ROOT / "reproduce.sh", "--out", tmp_path / "out"], env=env, check=True)
    rows = json.loads((tmp_path / "out" / "classification" / "evaluation" / "results.json").read_text())["rows"]
    accuracy = {(r["sampler"], r["m"], r["protocol"]): 100 * r["value"] for r in rows if r["metric"] == "accuracy"}
    assert {r["n"] for r in rows} == {840}
    two_errors = 2 * 100 * (2 * 0.25 / 840) ** 0.5  # of a difference of two accuracies: 4.9 points at most
    assert 85 <= accuracy["none", 1024, "matched"] <= 98
    assert accuracy["samplenet", 32, "matched"] >= accuracy["fps", 32, "matched"] + 15
    assert accuracy["fps", 32, "matched"] > accuracy["random", 32, "matched"] + two_errors
