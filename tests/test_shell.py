"""What the shell scripts refuse, in one sentence."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


RUNNERS = [
    f"{e}/runner_samplenet{p}.sh"
    for e in ("classification", "registration", "reconstruction")
    for p in ("", "_progressive")
]


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--preset", "slow"], "no preset 'slow', known: smoke quick paper"),
        (["--presets", "quick"], "unrecognized arguments: --presets"),
        (["--preset"], "argument --preset: expected one argument"),
        (["--seeds", "-1"], "--seeds must be at least 0, got -1"),
        (["--sizes", "32,16"], "invalid int value: '32,16'"),
        (["--sizes", "0"], "--sizes must be at least 1, got 0"),
        (
            ["--samplers", "fps"],
            "--samplers: unknown 'fps', known: snet, progressivenet, samplenet, samplenet_progressive",
        ),
        (["--jobs", "0"], "--jobs must be at least 1, got 0"),
        (["--preset", "paper"], "give its folder with --data-root"),
    ],
)
def test_runners_and_reproduce_refuse_flags_before_setting_up(flags, words):
    for command in ([ROOT / RUNNERS[0]], [ROOT / "reproduce.sh", "registration"]):
        done = subprocess.run(["bash", *command, *flags], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr


@pytest.mark.parametrize(
    "flags, words",
    [
        (["segmentation"], "unknown experiment 'segmentation'"),
        (["all", "--data-root", "."], "give both --data-root and --shapenet-root"),
        (["registration", "--shapenet-root", "."], "--shapenet-root is for reconstruction"),
        (["ablation", "--sizes", "8"], "the ablation has its own size and samplers"),
        (["classification", "--skip-bad"], "--skip-bad is for reconstruction"),
    ],
)
def test_reproduce_refuses(flags, words):
    done = subprocess.run(["bash", ROOT / "reproduce.sh", *flags], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


@pytest.mark.parametrize("runner", RUNNERS)
def test_runners_tell_their_options(runner):
    done = subprocess.run(["bash", ROOT / runner, "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "--data-root" in done.stdout


def test_setup_refuses_an_unknown_extra():
    done = subprocess.run(["bash", ROOT / "setup.sh", "jax"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "unknown extra 'jax'" in done.stderr
