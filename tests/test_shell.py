"""What the shell scripts refuse, in one sentence."""

import subprocess
from pathlib import Path

import pytest

from samplenet.runs.experiments import discover

ROOT = Path(__file__).parents[1]


RUNNERS = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("*/runner_*.sh"))]
EXPERIMENTS = discover(ROOT)


def test_every_experiment_has_a_runner():
    assert {runner.split("/")[0] for runner in RUNNERS} == EXPERIMENTS.keys()


@pytest.mark.parametrize("command", [[RUNNERS[0]], ["reproduce.sh", "registration"]])
def test_runners_and_reproduce_refuse_flags_before_setting_up(command):
    """All that reproduce.py refuses is in tests/faults/test_bad_input.py."""
    for flags, status, words in (
        (["--preset", "slow"], 2, "no preset 'slow', known: smoke quick full paper"),
        (["--data-root", "nowhere"], 1, "nowhere is not a folder"),
    ):
        done = subprocess.run(
            ["bash", ROOT / command[0], *command[1:], *flags], capture_output=True, text=True
        )
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1)
        assert words in done.stderr


@pytest.mark.parametrize("runner", RUNNERS)
def test_runners_tell_their_options(runner):
    done = subprocess.run(["bash", ROOT / runner, "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "--data-root" in done.stdout
