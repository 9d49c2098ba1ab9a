"""A job script on a real Slurm whose time is nearly up, and one that is cancelled."""

import subprocess
import sys

import pytest

from samplenet.runs import cluster

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]
# stands for a training: at SIGTERM it says that it writes a checkpoint, and ends as trainings do
CODE = """
import signal, sys, time
def stop(*_):
    print("checkpoint", flush=True)
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
print("begin", flush=True)
time.sleep(600)
"""


def test_the_end_of_the_time_is_a_requeue_and_a_cancellation_is_none(tmp_path, slurm, monkeypatch):
    monkeypatch.setattr(cluster, "GRACE_SECONDS", 40)
    resources = {**cluster.RESOURCES["smoke"]._asdict(), "minutes": 1, "exclusive": False}
    entry = {"name": "limit", "needs": [], "wants": [], "resumes": True, "resources": resources}
    entry["command"] = [sys.executable, "-c", CODE]
    submit = cluster.write_slurm(tmp_path, [entry], tmp_path)
    subprocess.run([submit], env=slurm.env, check=True)
    _, number = slurm.states()["limit"]
    log = tmp_path / "logs" / f"limit.{number}.log"

    slurm.wait(lambda: log.exists() and "checkpoint" in log.read_text(), 120)
    slurm.restart(number)
    slurm.wait(lambda: log.read_text().count("begin") == 2)
    slurm.call("scancel", number)
    slurm.wait(lambda: log.read_text().count("checkpoint") == 2)
    slurm.wait(lambda: slurm.states()["limit"][0] == "CANCELLED")
