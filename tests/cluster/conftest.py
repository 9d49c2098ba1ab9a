"""A Slurm of its own for the tests: one node, in a temporary folder, on unused ports."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
# no systemd, no cgroups, no accounting: what one machine without rights over its services allows
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}({address})
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=bf_interval=1,sched_interval=2,batch_sched_delay=0
KillWait=60
MinJobAge=3600
ReturnToService=2
NodeName={host} NodeAddr={address} CPUs=2 RealMemory=9000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """A running Slurm; `env` is for the commands that use it."""

    def __init__(self, folder: Path, ports: list[int]):
        self.folder, self.env = folder, {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        host = socket.gethostname().partition(".")[0]
        about = {"host": host, "address": address(), "ports": ports, "folder": folder}
        (folder / "slurm.conf").write_text(CONFIGURATION.format(**about))
        for name in ("state", "spool", "bin"):
            (folder / name).mkdir()
        # Snakemake calls srun without the variables of Slurm
        wrapper = f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n'
        (folder / "bin" / "srun").write_text(wrapper)
        (folder / "bin" / "srun").chmod(0o755)
        self.env["PATH"] = f"{folder / 'bin'}:{os.environ['PATH']}"
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o400)
        munge = [
            "munged",
            "--foreground",
            "--force",
            f"--key-file={folder / 'munge.key'}",
            f"--socket={folder / 'munge.socket'}",
            f"--pid-file={folder / 'munged.pid'}",
            f"--log-file={folder / 'munged.log'}",
            f"--seed-file={folder / 'munged.seed'}",
        ]
        self.processes = []
        for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D", "-N", host]):
            with open(folder / "daemons.log", "a") as log:
                self.processes.append(
                    subprocess.Popen(command, env=self.env, stdout=log, stderr=log)
                )
            if command is munge:
                self.wait(lambda: (folder / "munge.socket").exists())
        self.wait(lambda: self.call("sinfo", "-h", "-o", "%t", check=False).strip() == "idle")

    def call(self, *words: str, check: bool = True) -> str:
        """Run a command of Slurm; return what it prints."""
        done = subprocess.run(words, env=self.env, capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def states(self) -> dict[str, tuple[str, str]]:
        """Return state and number of each job, by name; of the last of that name."""
        lines = self.call("squeue", "-h", "-t", "all", "-S", "i", "-o", "%j %T %i").splitlines()
        return {name: (state, number) for name, state, number in map(str.split, lines)}

    def wait(self, happened, seconds: float = 60) -> None:
        """Wait until `happened()`."""
        end = time.time() + seconds
        while not happened():
            logs = "".join(path.read_text()[-2000:] for path in self.folder.glob("*.log"))
            assert time.time() < end, f"not after {seconds} s; {logs}"
            time.sleep(0.2)

    def restart(self, number: str) -> None:
        """Wait for a job's requeue, and start it: by itself it would wait for two minutes."""

        def state():
            return self.call("squeue", "-h", "-t", "all", "-o", "%T", "-j", number).strip()

        def runs():
            self.call("scontrol", "update", f"job={number}", "starttime=now", check=False)
            return state() == "RUNNING"

        self.wait(lambda: state() == "PENDING", 180)
        time.sleep(5)  # a node refuses a job that it has only just ended
        self.wait(runs, 300)

    def close(self) -> None:
        """End the jobs, then the daemons."""
        self.call("scancel", "--full", "--signal=KILL", "-u", "root", check=False)
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()


def address() -> str:
    """Return the address of this machine that is not a loopback's, or an empty text."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            return probe.getsockname()[0]
        except OSError:
            return ""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory, free_ports):
    """A Slurm of one node with two cores; skips where it cannot run."""
    lacking = [name for name in PROGRAMS if not shutil.which(name)]
    if lacking:
        pytest.skip(f"Slurm is not installed, {', '.join(lacking)}: see tests/cluster/README.md")
    if os.getuid():
        pytest.skip("only root can start a Slurm that runs jobs")
    if not address():
        pytest.skip("Slurm needs an address other than the loopback's")
    running = Slurm(tmp_path_factory.mktemp("slurm"), free_ports(2))
    yield running
    running.close()
