"""What the shell scripts refuse, in one sentence."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


RUNNERS = [
    f"{e}/runner_samplenet{p}.sh"
    for e in ("classification", "registration", "reconstruction")
    for p in ("", "_progressive")
]


@pytest.mark.parametrize("command", [[RUNNERS[0]], ["reproduce.sh", "registration"]])
def test_runners_and_reproduce_refuse_flags_before_setting_up(command):
    """All that reproduce.py refuses is in tests/test_bad_input.py."""
    for flags, status, words in (
        (["--preset", "slow"], 2, "no preset 'slow', known: smoke quick paper"),
        (["--data-root", "nowhere"], 1, "nowhere is not a folder"),
    ):
        done = subprocess.run(["bash", ROOT / command[0], *command[1:], *flags], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1)
        assert words in done.stderr


@pytest.mark.parametrize("runner", RUNNERS)
def test_runners_tell_their_options(runner):
    done = subprocess.run(["bash", ROOT / runner, "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "--data-root" in done.stdout


def test_setup_links_the_checkout_again_where_pip_has_put_a_copy(tmp_path):
    """With a stand-in for Python that notes what it is asked: its samplenet is a copy, then that of the checkout."""
    shutil.copy(ROOT / "setup.sh", tmp_path)
    (tmp_path / "common" / "samplenet").mkdir(parents=True)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / ".made").touch()
    for name in ("common/pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\ncase "$*" in *samplenet.__path__*) echo "$PLACE" ;; *) echo "$*" >>calls ;; esac\n')
    python.chmod(0o755)

    def installs(place):
        (tmp_path / "calls").write_text("")
        env = {**os.environ, "PLACE": str(tmp_path / place)}
        subprocess.run(["bash", tmp_path / "setup.sh", "viz"], env=env, check=True, capture_output=True)
        return "-e common[" in (tmp_path / "calls").read_text()

    assert [installs(p) for p in ("common/samplenet", "common/samplenet", "elsewhere")] == [True, False, True]


def test_setup_refuses_an_unknown_extra():
    done = subprocess.run(["bash", ROOT / "setup.sh", "jax"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "unknown extra 'jax'" in done.stderr
