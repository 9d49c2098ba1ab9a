"""The scripts end to end on tiny shapes: the runner, same seed same numbers, kill and continue."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from samplenet.runs.checkpoint import load_checkpoint

ROOT = Path(__file__).parents[2]
SMOKE = str(ROOT / "classification" / "configs" / "smoke.yaml")


# the whole pipeline


def test_runner_twice_gives_the_same_numbers_and_needs_no_pytorch(tmp_path, results, metrics):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('the TensorFlow side imported torch')")
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "SAMPLENET_DATA": str(tmp_path / "data")}
    runner = ["bash", str(ROOT / "classification" / "runner_samplenet.sh"), "--preset", "smoke"]
    for out in ("a", "b"):
        done = subprocess.run([*runner, "--out", tmp_path / out], env=env, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    first, second = (tmp_path / out / "classification" for out in ("a", "b"))
    for run in ("classifier", "samplenet-8-seed0", "snet-8-seed0"):
        assert metrics(first / run) == metrics(second / run)
        assert len(metrics(first / run)) == 2
    first, second = (results(folder / "evaluation") for folder in (first, second))
    assert first["rows"] == second["rows"]
    assert {(r["sampler"], r["m"], r["protocol"]) for r in first["rows"]} == {
        ("none", 128, "matched"),
        *((s, m, "matched") for s in ("random", "fps") for m in (32, 8)),
        *(("samplenet", 8, p) for p in ("matched", "soft", "generated")),
        *(("snet", 8, p) for p in ("matched", "generated")),
    }
    for name in ("table.md", "accuracy.png", "gallery.png", "retrieval.png"):
        assert (tmp_path / "a" / "classification" / "evaluation" / name).stat().st_size > 100


@pytest.mark.parametrize("model", ["vanilla", "pointnet"])
def test_gradients_are_added_in_one_order(script, tmp_path, tiny, served, most_added, model):
    script("train_classifier", *tiny, "--model", model, "--no-xla", "--out", tmp_path / "task")
    sizes = ["--sample-sizes", 4, 8, 16]
    for kind in ("--projection", "--no-projection"):
        script("train_samplenet", *tiny, *sizes, kind, "--task", tmp_path / "task", "--out", tmp_path / kind)
    assert len(most_added) == 3 and max(most_added) <= 2


@pytest.mark.parametrize(
    "name, extra",
    [
        # compiled by XLA; tests/test_kills.py has it without
        ("train_classifier", ["--model", "vanilla", "--num-points", "64"]),
        ("train_samplenet", ["--sample-sizes", "8"]),
    ],
)
def test_a_killed_run_continues_to_the_same_weights(tmp_path, trained, shapes_folder, name, extra, metrics, tiny):
    flags = [*tiny, "--epochs", "3", "--deterministic", "--data-root", shapes_folder]
    flags += extra + (["--task", trained / "cls"] if name == "train_samplenet" else [])
    command = [sys.executable, ROOT / "classification" / f"{name}.py", *flags]
    subprocess.run([*command, "--out", tmp_path / "whole"], check=True, capture_output=True)
    victim = subprocess.Popen([*command, "--out", tmp_path / "cut"], stdout=subprocess.PIPE, text=True)
    for line in victim.stdout:
        if line.startswith("epoch 2/3"):  # printed before that epoch's checkpoint is written
            victim.send_signal(signal.SIGKILL)
            break
    victim.wait()
    victim.stdout.close()
    assert len(metrics(tmp_path / "cut")) < 3
    subprocess.run([*command, "--out", tmp_path / "cut", "--resume"], check=True, capture_output=True)
    whole, cut = (load_checkpoint(tmp_path / run / "last.safetensors") for run in ("whole", "cut"))
    assert whole[1]["epoch"] == cut[1]["epoch"] == 3
    for key, value in whole[0].items():
        np.testing.assert_array_equal(cut[0][key], value, err_msg=key)
    assert metrics(tmp_path / "cut") == metrics(tmp_path / "whole")


# a damaged run; tests/test_bad_input.py has the rest


def test_a_damaged_own_checkpoint_is_kept_and_named(script, tmp_path, trained, tiny):
    shutil.copytree(trained / "cls", tmp_path / "cls")
    last = tmp_path / "cls" / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-100])
    before = (tmp_path / "cls" / "metrics.jsonl").read_bytes()
    with pytest.raises(SystemExit, match=r"last\.safetensors is damaged"):
        flags = [*tiny, "--model", "vanilla", "--no-xla", "--out", tmp_path / "cls", "--resume"]
        script("train_classifier", *flags)
    assert (tmp_path / "cls" / "metrics.jsonl").read_bytes() == before
