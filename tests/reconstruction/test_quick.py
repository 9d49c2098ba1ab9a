"""The quick preset shows what the experiment is for. One autoencoder and one sampler seed (0), n = 160 test shapes."""

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_samplenet_reconstructs_better_than_fps_and_random_sampling(tmp_path):
    runner = ["bash", ROOT / "reconstruction" / "runner_samplenet.sh", "--out", tmp_path / "out"]
    subprocess.run(runner, check=True)
    rows = json.loads((tmp_path / "out" / "reconstruction" / "evaluation" / "results.json").read_text())["rows"]
    assert {r["n"] for r in rows} == {160}
    nre = {(r["sampler"], r["m"]): r["value"] for r in rows if (r["metric"], r["protocol"]) == ("nre", "matched")}
    chamfer = {r["sampler"]: r["value"] for r in rows if r["metric"] == "chamfer" and r["m"] == 512}
    assert chamfer["none"] < 2.5e-3
    for m in (32, 16):
        assert nre["samplenet", m] < nre["fps", m] < nre["random", m]
