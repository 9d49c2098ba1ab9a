"""The scripts end to end on tiny shapes: the runner, same seed same numbers, kill and continue, bad input."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from samplenet.checkpoint import load_checkpoint, save_checkpoint

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


@pytest.mark.parametrize(
    "name, extra",
    [
        ("train_classifier", ["--model", "vanilla"]),  # compiled by XLA; tests/test_kills.py has it without
        ("train_samplenet", ["--sample-sizes", "8"]),
    ],
)
def test_a_killed_run_continues_to_the_same_weights(tmp_path, trained, shapes_folder, name, extra, metrics, tiny):
    flags = [*tiny[:4], "--epochs", "3", "--bn-decay-samples", "20", "--deterministic", "--data-root", shapes_folder]
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


# bad input: one sentence, no traceback, nothing half-written


def unfinished(run, target):
    """A copy of a run as a kill after its first of nine epochs leaves it."""
    shutil.copytree(run, target)
    arrays, meta = load_checkpoint(target / "last.safetensors")
    save_checkpoint(target / "last.safetensors", arrays, {**meta, "done": False})
    config = (target / "config.yaml").read_text()
    (target / "config.yaml").write_text(config.replace("epochs: 1", "epochs: 9"))
    return target


def put_nan(_, file):
    with h5py.File(file, "r+") as h5:
        h5["data"][3, 5, 1] = np.nan


def shuffle_names(folder, _):
    names = (folder / "shape_names.txt").read_text().split()
    (folder / "shape_names.txt").write_text("\n".join(reversed(names)))


BAD_DATA = {
    "NaN cloud": (put_nan, r"ply_data_train0\.h5.*not finite in cloud 3"),
    "empty file": (lambda _, f: f.write_bytes(b""), r"ply_data_train0\.h5"),
    "truncated h5": (lambda _, f: f.write_bytes(f.read_bytes()[:-2000]), r"ply_data_train0\.h5"),
    "unknown class": (lambda d, _: (d / "shape_names.txt").write_text("chair\n"), r"ply_data_train0\.h5 has labels"),
    "missing file": (lambda _, f: f.unlink(), r"ply_data_train0\.h5"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_is_named(script, tmp_path, shapes_folder, case, tiny, broken_copy):
    change, words = BAD_DATA[case]
    data = broken_copy(shapes_folder, tmp_path / "data", change)
    with pytest.raises(SystemExit, match=f"train_classifier.py: error: .*{words}"):
        script("train_classifier", *tiny, "--no-xla", "--out", tmp_path / "out", data_root=data)
    assert not (tmp_path / "out").exists()


BAD_FLAGS = {
    "missing data root": ("train_classifier", ["--data-root", "nowhere"], "nowhere is not a folder"),
    "more points than there are": ("train_classifier", ["--num-points", "4096"], "2048 points a cloud.*got 4096"),
    "no points": ("train_classifier", ["--num-points", "0"], "--num-points must be at least 1, got 0"),
    "batch too large": ("train_classifier", ["--batch-size", "4000"], "--batch-size 4000 is larger"),
    "unknown model": ("train_classifier", ["--model", "resnet"], "--model must be.*got 'resnet'"),
    "unknown schedule": ("train_classifier", ["--lr-schedule", "x"], "--lr-schedule must be.*got 'x'"),
    "negative seed": ("train_classifier", ["--seed", "-1"], "--seed must be at least 0, got -1"),
    "large seed": ("train_classifier", ["--seed", "4294967296"], "--seed must be at most 4294967295"),
    "empty data root": ("train_classifier", ["--data-root", ""], "--data-root is empty"),
    "other points than the task": (
        "train_samplenet",
        ["--num-points", "32"],
        "--num-points must be the classifier's, 64",
    ),
    "unfinished sampler": ("evaluate", ["--samplers", "{cut}"], "stands at epoch 1 of 9; continue it with --resume"),
    "unfinished task": ("train_samplenet", ["--task", "{cut}"], "stands at epoch 1 of 9; continue it with --resume"),
    "the same sampler twice": (
        "evaluate",
        ["--samplers", "{twin}", "{samplenet}"],
        "are both samplenet, m = 8, seed 0",
    ),
    "all held out": ("train_classifier", ["--hold-out", "1"], r"--hold-out must be in \[0, 1\), got 1"),
    "not finite": ("train_classifier", ["--lr", "nan"], "--lr must be.* got nan"),
    "no task": ("train_samplenet", ["--task", ""], "--task is empty"),
    "no such task": ("train_samplenet", ["--task", "nowhere"], "nowhere is no run folder"),
    "m above N": ("train_samplenet", ["--sample-sizes", "65"], r"--sample-sizes must be in .*64\], got 65"),
    "k above N": ("train_samplenet", ["--k", "65"], r"--k must be in .*64\], got 65"),
    "a size twice": ("train_samplenet", ["--sample-sizes", "4", "8", "4"], r"sizes that differ, got \[4, 8, 4\]"),
    "unknown reduction": (
        "train_samplenet",
        ["--over-sizes", "max"],
        "--over-sizes must be one of sum, mean",
    ),
    "size above N": ("evaluate", ["--sizes", "65"], "--sizes must be at most N = 64.*got 65"),
    "size zero": ("evaluate", ["--sizes", "0"], "--sizes must be at least 1"),
    "unknown sampler": ("evaluate", ["--samplers", "poisson"], "'poisson' is neither random nor fps nor a run folder"),
    "task as sampler": ("evaluate", ["--samplers", "{cls}"], "another kind of run"),
    "unknown key": ("evaluate", ["--config", "{yaml}"], "unknown key 'epoch'"),
}


@pytest.mark.parametrize("case", BAD_FLAGS)
def test_bad_flags_are_named(script, tmp_path, trained, case, tiny):
    name, flags, words = BAD_FLAGS[case]
    (tmp_path / "bad.yaml").write_text("epoch: 3\n")
    shutil.copytree(trained / "samplenet", tmp_path / "twin")
    cut = unfinished(trained / ("cls" if name == "train_samplenet" else "samplenet"), tmp_path / "cut")
    paths = {"cls": trained / "cls", "samplenet": trained / "samplenet", "twin": tmp_path / "twin", "cut": cut}
    flags = [f.format(yaml=tmp_path / "bad.yaml", **paths) for f in flags]
    base = {"evaluate": ["--task", trained / "cls", "--sizes", "8"]}.get(name, tiny)
    if name == "train_samplenet" and "--task" not in flags:
        flags += ["--task", trained / "cls"]
    with pytest.raises(SystemExit, match=f"{name}.py: error: .*{words}"):
        root = {} if "--data-root" not in flags else {"data_root": None}
        script(name, *base, "--out", tmp_path / "out", *flags, **root)
    assert not (tmp_path / "out").exists()


def test_fewer_points_than_m(script, tmp_path, trained):
    with pytest.raises(SystemExit, match=r"--sample-sizes must be in \[1, --num-points\] = \[1, 16\], got 32"):
        flags = ["--num-points", "16", "--task", trained / "cls", "--out", tmp_path / "out"]
        script("train_samplenet", *flags)


def test_other_classes_than_the_task_was_trained_on(script, tmp_path, trained, shapes_folder, tiny, broken_copy):
    data = broken_copy(shapes_folder, tmp_path / "data", shuffle_names)
    with pytest.raises(SystemExit, match="trained on other classes"):
        script("evaluate", "--task", trained / "cls", "--sizes", "8", "--out", tmp_path / "out", data_root=data)
    with pytest.raises(SystemExit, match="trained on other classes"):
        script("train_samplenet", *tiny, "--task", trained / "cls", "--out", tmp_path / "out", data_root=data)


def test_a_damaged_task_checkpoint_is_named(script, tmp_path, trained):
    shutil.copytree(trained / "cls", tmp_path / "cls")
    last = tmp_path / "cls" / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-100])
    with pytest.raises(SystemExit, match=r"last\.safetensors is damaged"):
        script("evaluate", "--task", tmp_path / "cls", "--sizes", "8", "--out", tmp_path / "out")


def test_a_damaged_own_checkpoint_is_kept_and_named(script, tmp_path, trained, tiny):
    shutil.copytree(trained / "cls", tmp_path / "cls")
    last = tmp_path / "cls" / "last.safetensors"
    last.write_bytes(last.read_bytes()[:-100])
    before = (tmp_path / "cls" / "metrics.jsonl").read_bytes()
    with pytest.raises(SystemExit, match=r"last\.safetensors is damaged"):
        flags = [*tiny, "--model", "vanilla", "--no-xla", "--out", tmp_path / "cls", "--resume"]
        script("train_classifier", *flags)
    assert (tmp_path / "cls" / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("name", ["train_classifier", "train_samplenet", "evaluate"])
def test_an_out_folder_that_cannot_be_written(script, tmp_path, trained, name, tiny):
    (tmp_path / "file").touch()
    flags = {"train_classifier": [*tiny, "--no-xla"], "train_samplenet": [*tiny, "--sample-sizes", "8"]}
    flags = flags.get(name, ["--sizes", "8"])
    flags += [] if name == "train_classifier" else ["--task", trained / "cls"]
    for out in (tmp_path / "file" / "out", Path("/proc/no-such-folder")):
        with pytest.raises(SystemExit, match=rf"{name}.py: error: .*({out.name}|{out.parent.name}).*: \w+"):
            script(name, *flags, "--out", out)


def test_without_out(script, trained, tiny):
    for name in ("train_classifier", "train_samplenet", "evaluate"):
        with pytest.raises(SystemExit, match="--out is needed"):
            flags = [*tiny] if name != "evaluate" else []
            script(name, *flags, *([] if name == "train_classifier" else ["--task", trained / "cls"]))


def test_the_shell_sees_one_line_and_a_code(tmp_path):
    command = [sys.executable, ROOT / "classification" / "train_classifier.py", "--data-root", "nowhere"]
    done = subprocess.run([*command, "--out", tmp_path / "out"], capture_output=True, text=True)
    assert done.returncode == 1
    assert re.match("train_classifier.py: error: .*nowhere is not a folder", done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stderr
    loud = subprocess.run([*command, "--debug", "--out", tmp_path / "out"], capture_output=True, text=True)
    assert "Traceback" in loud.stderr
