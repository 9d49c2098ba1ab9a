"""What the shell scripts refuse, in one sentence."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--preset", "slow"], "no preset 'slow', known: smoke quick paper"),
        (["--presets", "quick"], "unknown option '--presets'"),
        (["--preset"], "--preset needs a value"),
        (["--seeds", ""], "--seeds needs a value"),
        (["--sizes", "32,16"], "got '32,16' and '0'"),
        (["--preset", "paper"], "give its folder with --data-root"),
    ],
)
@pytest.mark.parametrize("experiment", ["classification", "registration", "reconstruction"])
def test_runners_refuse_unknown_options(experiment, flags, words):
    for command in ([ROOT / experiment / "runner_samplenet.sh"], [ROOT / "reproduce.sh", experiment]):
        done = subprocess.run(["bash", *command, *flags], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr


def test_reproduce_refuses_an_unknown_experiment():
    done = subprocess.run(["bash", ROOT / "reproduce.sh", "segmentation"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "unknown experiment 'segmentation'" in done.stderr


def test_several_experiments_do_not_share_a_folder(tmp_path):
    command = ["bash", ROOT / "reproduce.sh", "all", "--preset", "smoke", "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--out is for one experiment; several write to results/" in done.stderr


def test_experiments_of_different_data_do_not_share_a_root(tmp_path):
    command = ["bash", ROOT / "reproduce.sh", "all", "--preset", "smoke", "--data-root", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "reconstruction reads ShapeNetCore, the others ModelNet40; run them apart" in done.stderr


def test_runners_tell_their_options():
    for experiment in ("classification", "registration", "reconstruction"):
        command = ["bash", ROOT / experiment / "runner_samplenet.sh", "--help"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout.startswith(f"{experiment.capitalize()} from set-up to table")


def test_setup_refuses_an_unknown_extra():
    done = subprocess.run(["bash", ROOT / "setup.sh", "jax"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "unknown extra 'jax'" in done.stderr


def test_a_switch_of_one_experiment_is_refused_by_the_others():
    for experiment, words in (("classification", "'--skip-bad'"), ("reconstruction", "'--skip-good'")):
        command = ["bash", ROOT / experiment / "runner_samplenet.sh", "--skip-bad", "--skip-good"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 2 and f"unknown option {words}" in done.stderr
