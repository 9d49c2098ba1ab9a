"""Classification's smoke preset on a Slurm of this machine gives the local runner's tables.

One run is killed and one is requeued in the middle. Takes about as long as three times
`bash reproduce.sh classification --preset smoke`, and only on a machine as in README.md.
"""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from samplenet.runs.checkpoint import load_checkpoint

ROOT = Path(__file__).parents[2]
SNAKEMAKE = ROOT / ".venv-cluster" / "bin" / "snakemake"
SAMPLERS = ("snet-8-seed0", "samplenet-8-seed0")
SAMPLERS += ("progressivenet-seed0", "samplenet_progressive-seed0")
KILLED, REQUEUED = (f"classification/{name}" for name in SAMPLERS[:2])
LONGEST = 3000.0  # seconds for a whole preset
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]


class Reproduction:
    """The runs of one results folder, and the calls of reproduce.py for it."""

    def __init__(self, folder: Path, data: Path):
        self.folder, self.out, self.env = folder, folder / "out", {"SAMPLENET_DATA": str(data)}

    def call(self, *flags, env=None):
        """Call reproduce.py; return what it prints."""
        words = [sys.executable, ROOT / "reproduce.py", "classification", "--preset", "smoke"]
        env = {**(env or os.environ), **self.env}
        done = subprocess.run(
            [*words, "--out", self.out, *flags], env=env, cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def tables(self):
        """Return the numbers of the evaluation, and its table."""
        evaluation = self.out / "classification" / "evaluation"
        rows = json.loads((evaluation / "results.json").read_text())["rows"]
        return rows, (evaluation / "table.md").read_text().replace(str(self.out), "out")

    def log(self, run):
        """Return what the attempts of a run have printed."""
        return (self.out / "logs" / f"{run.replace('/', '.')}.log").read_text()

    def freeze(self, run, file):
        """Wait until a run's script has this file, and stop it there; return its process id."""
        folder, end = self.out / run, time.time() + LONGEST
        while not list(folder.glob(file)):
            assert time.time() < end, f"no {file} in {folder}"
            time.sleep(0.002)
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode().split("\0")
            except OSError:  # it has just ended
                continue
            if str(folder) in words and any("train_samplenet.py" in word for word in words):
                os.kill(process := int(path.parent.name), signal.SIGSTOP)
                return process
        raise AssertionError(f"no process trains {run}")


def job_of(process: int) -> str:
    """Return the number of the Slurm job that a process belongs to."""
    variables = Path(f"/proc/{process}/environ").read_bytes().decode().split("\0")
    (number,) = (v.partition("=")[2] for v in variables if v.startswith("SLURM_JOB_ID="))
    return number


def kill_one(made: Reproduction) -> None:
    """Kill a sampler's training after its first epoch."""
    process = made.freeze(KILLED, "last.safetensors")
    assert not load_checkpoint(made.out / KILLED / "last.safetensors")[1]["done"]
    os.kill(process, signal.SIGKILL)


def requeue_one(made: Reproduction, slurm) -> None:
    """Requeue a sampler's training in the middle, and wait until it runs again."""
    number = job_of(made.freeze(REQUEUED, "events/*"))
    slurm.call("scontrol", "requeue", number)  # sends SIGCONT, then SIGTERM
    slurm.wait(lambda: "stopped before step" in made.log(REQUEUED), 120)
    slurm.restart(number)


def disturb(made: Reproduction, slurm) -> None:
    """Do both, whichever run is first."""
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(kill_one, made), pool.submit(requeue_one, made, slurm)]
    for one in both:
        one.result()


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """The results of the local runner, and the folder of its data."""
    folder = tmp_path_factory.mktemp("local")
    made = Reproduction(folder, folder / "data")
    made.call()
    return made


@pytest.fixture
def check(local, metrics):
    """Return a function that compares results with the local runner's: two runs were continued."""

    def compare(made: Reproduction) -> None:
        assert (made.out / "index.html").is_file()
        assert made.tables() == local.tables()
        for name in ("classifier", *SAMPLERS):
            run = Path("classification", name)
            assert metrics(made.out / run) == metrics(local.out / run)
        assert "stopped before step" in made.log(REQUEUED)
        assert made.log(KILLED).count("epoch 1/2") == made.log(KILLED).count("epoch 2/2") == 1

    return compare


def test_slurm_without_an_engine(tmp_path, slurm, local, check):
    made = Reproduction(tmp_path, local.folder / "data")
    scripts = tmp_path / "scripts"
    made.call("--sbatch", scripts)

    def submit():
        env = {**slurm.env, **made.env}
        subprocess.run([scripts / "submit.sh"], env=env, check=True)

    def ended():
        states = [state for state, _ in slurm.states().values()]
        return not {*states} & {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING"}

    submit()
    disturb(made, slurm)
    slurm.wait(ended, LONGEST)
    states = {name: state for name, (state, _) in slurm.states().items()}
    failed = {KILLED.replace("/", "."), "page"}  # the page is written, and says what it lacks
    assert {name for name, state in states.items() if state != "COMPLETED"} == failed
    rows = made.tables()[0]  # a failed sampler does not stop the evaluation of the others
    found = {row["method"]["sampler"] for row in rows}
    assert "samplenet" in found and "snet" not in found
    submit()
    slurm.wait(ended, LONGEST)
    assert {state for state, _ in slurm.states().values()} == {"COMPLETED"}
    check(made)


def test_snakemake_on_slurm(tmp_path, slurm, local, check):
    if not SNAKEMAKE.exists():
        pytest.skip("there is no .venv-cluster: bash setup.sh cluster")
    made = Reproduction(tmp_path, local.folder / "data")
    (tmp_path / "plan.jsonl").write_text(made.call("--list"))
    command = [SNAKEMAKE, "-s", ROOT / "cluster/Snakefile", "--profile", ROOT / "cluster/slurm"]
    command += ["--slurm-init-seconds-before-status-checks", "5"]
    command += ["--slurm-status-command", "squeue"]  # as there is no accounting
    command += ["--config", f"plan={tmp_path / 'plan.jsonl'}"]
    with open(tmp_path / "log", "w") as log:
        env = {**slurm.env, **made.env}
        process = subprocess.Popen(command, env=env, cwd=tmp_path, stdout=log, stderr=log)
    try:
        disturb(made, slurm)
        status = process.wait(LONGEST)
    finally:
        process.kill()
    assert status == 0, (tmp_path / "log").read_text()
    check(made)
    marks = {path.name: path.read_text() for path in (tmp_path / "plan.marks").iterdir()}
    assert {*marks.values()} == {"finished\n"} and len(marks) == 8
