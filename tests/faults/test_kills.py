"""Runs that are killed or stopped, at whatever moment, and continued end as unbroken ones do, bit for bit.

Importing a framework takes most of a tiny run's time. So a script is imported once, and each run of it is a process
forked from there, which nothing but its run folder outlives; those marked fresh are started as users start them.
"""

import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from samplenet.runs.checkpoint import load_checkpoint

ROOT = Path(__file__).parents[2]
# name: script, its flags, the run that it needs
SCRIPTS = {
    "pcrnet": (
        "registration/train_pcrnet.py",
        "--shapes-per-class 10 --pairs 40 --num-points 32 --batch-size 4 --device cpu",
        "",
    ),
    "pcrnet-sampler": (
        "registration/train_samplenet.py",
        "--sample-sizes 3 6 --batch-size 4 --device cpu --checkpoint-epochs 2",
        "pcrnet",
    ),
    "autoencoder": (
        "reconstruction/train_autoencoder.py",
        "--shapes-per-class 10 --num-points 32 --batch-size 4",
        "",
    ),
    "autoencoder-sampler": (
        "reconstruction/train_samplenet.py",
        "--sample-sizes 6 --batch-size 4",
        "autoencoder",
    ),
    "classifier": (  # the whole PointNet: with dropout
        "classification/train_classifier.py",
        "--shapes-per-class 3 --num-points 32 --batch-size 8 --bn-decay-samples 20 --no-xla",
        "",
    ),
    "classifier-sampler": (
        "classification/train_samplenet.py",
        "--batch-size 8 --bn-decay-samples 20 --sample-sizes 8",
        "classifier",
    ),
}
EPOCHS = 6
ONE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
}
IN_CI = ("pcrnet", "pcrnet-sampler", "autoencoder", "classifier")
slow = pytest.mark.slow


FORKS = """
import json, os, signal, sys
sys.path.insert(0, os.path.dirname(sys.argv[1]))
script = __import__(os.path.basename(sys.argv[1]).removesuffix(".py"))
from samplenet.runs.script import main

for line in sys.stdin:
    flags, log = json.loads(line)
    if child := os.fork():
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = [sys.argv[1], *flags]
    main(script.train, script.Config)
    break
"""


class Forks:
    """A process that has imported a script and forks one for each run, one at a time."""

    def __init__(self, script):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
        env = {**os.environ, **ONE_THREAD}
        self.process = subprocess.Popen([sys.executable, "-c", FORKS, script], env=env, **pipes)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Forked:
    """One of them, with the methods of `subprocess.Popen` that are needed here."""

    def __init__(self, forks, flags, log):
        self.answers, self.returncode = forks.process.stdout, None
        forks.process.stdin.write(json.dumps([flags, str(log)]).encode() + b"\n")
        self.pid = int(self.answers.readline())

    def poll(self):
        if self.returncode is None and select.select([self.answers], [], [], 0)[0]:
            self.returncode = int(self.answers.readline())
        return self.returncode

    def wait(self, timeout=60):
        end = time.time() + timeout
        while self.poll() is None:
            assert time.time() < end, f"still there after {timeout} s"
            time.sleep(0.005)
        return self.returncode

    def send_signal(self, number):
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class Process:
    """A run, started or continued, of the command or, if given, in a fork; it prints to a file beside its folder."""

    def __init__(self, command, out, forks=None):
        self.out, self.begin, self.printed = out, time.time(), out.with_name(out.name + ".log")
        self.events = self.count_events()
        flags = ["--out", str(out), "--resume"]
        if forks:
            self.process = Forked(forks, [*command[2:], *flags], self.printed)
            return
        with open(self.printed, "w") as log:
            self.process = subprocess.Popen(
                [*command, *flags],
                env={**os.environ, **ONE_THREAD},
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: signal.signal(
                    signal.SIGINT, signal.SIG_DFL
                ),  # ignored in a shell's background
            )

    def count_events(self):
        return len(list(self.out.glob("events/*")))

    def until(self, happened, seconds=300):
        """Wait for something or for the end; whether it happened first."""
        end = time.time() + seconds
        while self.process.poll() is None:
            if happened():
                return True
            assert time.time() < end, self.printed.read_text()
            time.sleep(0.0005)
        return False

    def opened(self):
        """Whether the run is open: it has an event file of its own."""
        return self.count_events() > self.events

    def saved(self):
        """Whether the run has written a checkpoint."""
        last = self.out / "last.safetensors"
        return last.exists() and os.stat(last).st_mtime > self.begin

    def writing(self):
        """Whether a checkpoint is being written: not one that an earlier kill left half-written."""
        with contextlib.suppress(FileNotFoundError):
            return os.stat(self.out / "last.safetensors.part").st_mtime > self.begin
        return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def finish(self):
        status = self.process.wait(timeout=300)
        assert status == 0, self.printed.read_text()


class Unbroken:
    """The runs without a kill, each made once, and how to start another of the same settings."""

    def __init__(self, folder):
        self.folder, self.forks = folder, {}
        self.seconds = {}  # of start-up, of training, of training after the first epoch

    def start(self, name, out, fresh=False):
        command = self.command(name)
        if not fresh and name not in self.forks:
            self.forks[name] = Forks(command[1])
        return Process(command, out, None if fresh else self.forks[name])

    def command(self, name):
        script, flags, task = SCRIPTS[name]
        task = ["--task", str(self.run(task))] if task else []
        return [
            sys.executable,
            str(ROOT / script),
            *flags.split(),
            *task,
            "--epochs",
            str(EPOCHS),
            "--deterministic",
        ]

    def run(self, name):
        out = self.folder / name
        if name not in self.seconds:
            process = self.start(name, out)
            process.until(process.opened)
            opened = time.time()
            process.until(process.saved)
            saved = time.time()
            process.finish()
            self.seconds[name] = (opened - process.begin, time.time() - opened, time.time() - saved)
        return out


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder, old = tmp_path_factory.mktemp("unbroken"), os.environ.get("SAMPLENET_DATA")
    os.environ["SAMPLENET_DATA"] = str(folder / "data")
    runs = Unbroken(folder)
    yield runs
    for forks in runs.forks.values():
        forks.close()
    if old is None:
        del os.environ["SAMPLENET_DATA"]
    else:
        os.environ["SAMPLENET_DATA"] = old


@pytest.fixture
def assert_same(unbroken, metrics):
    """Check that a run ended as the unbroken one did: weights, optimizer, seeds, metrics."""

    def check(name, out):
        whole = unbroken.run(name)
        (found, meta), (want, its) = (
            load_checkpoint(folder / "last.safetensors") for folder in (out, whole)
        )
        assert found.keys() == want.keys()
        for key, array in want.items():
            np.testing.assert_array_equal(found[key], array, err_msg=key)
        assert [meta[key] for key in ("epoch", "step", "done")] == [
            its[key] for key in ("epoch", "step", "done")
        ]
        assert metrics(out) == metrics(whole)

    return check


# SIGKILL


def kill_once(process, moment, rng, startup, training, later):
    """Let a process run until its moment and kill it; whether it still ran then."""
    if moment == "anywhere":
        end = process.begin + rng.uniform(0, startup + training)
        return _kill(process, process.until(lambda: time.time() > end))
    if not process.until(process.opened):
        return False
    if moment == "training":
        end = time.time() + rng.uniform(0, training)
        return _kill(process, process.until(lambda: time.time() > end))
    if moment == "after an epoch":
        process.until(process.saved)
        end = time.time() + rng.uniform(0, later / 2)
        return _kill(process, process.until(lambda: time.time() > end))
    for _ in range(rng.randrange(3)):  # of some checkpoints, the next ones
        if not (process.until(process.writing) and process.until(lambda: not process.writing())):
            return False
    there = process.until(process.writing)
    time.sleep(rng.uniform(0, 0.02))
    return _kill(process, there)


def _kill(process, there):
    if there:
        process.kill()
    return there and process.process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    "name, kills", [*((n, 2) for n in IN_CI), *(pytest.param(n, 20, marks=slow) for n in SCRIPTS)]
)
def test_kills_are_survived(tmp_path, unbroken, assert_same, name, kills):
    unbroken.run(name)
    rng, survived, torn, runs = random.Random(name), 0, 0, [tmp_path / "run"]
    moments = ["writing", "after an epoch", "writing", "training", "anywhere"]
    while survived < kills:
        process = unbroken.start(name, runs[-1])
        if kill_once(process, moments[survived % len(moments)], rng, *unbroken.seconds[name]):
            survived += 1
            torn += process.writing()
        else:
            process.finish()
            runs.append(tmp_path / f"run{len(runs)}")
    if runs[-1].exists():
        unbroken.start(name, runs[-1]).finish()
    for run in filter(Path.exists, runs):
        assert_same(name, run)
    print(
        f"{name}: kills survived {survived}/{kills}, {torn} of them while a checkpoint was written"
    )


# SIGTERM and SIGINT


@pytest.mark.parametrize(
    "name, number, fresh",
    [
        ("pcrnet", signal.SIGTERM, True),
        ("autoencoder", signal.SIGINT, True),
        *(
            pytest.param(n, s, False, marks=slow)
            for n in SCRIPTS
            for s in (signal.SIGTERM, signal.SIGINT)
        ),
    ],
)
def test_a_stopped_run_continues_to_the_same_weights(
    tmp_path, unbroken, assert_same, name, number, fresh
):
    unbroken.run(name)
    for attempt in range(5):
        out = tmp_path / f"run{attempt}"
        process = unbroken.start(name, out, fresh)
        process.until(process.saved)
        time.sleep(
            random.Random(f"{name} {number} {attempt}").uniform(
                0, unbroken.seconds[name][2] / 2 ** (attempt + 1)
            )
        )
        process.process.send_signal(number)
        sent = time.time()
        status, took = process.process.wait(timeout=60), time.time() - sent
        if status == 128 + number:  # else it finished just before
            break
    assert process.process.returncode == 128 + number, process.printed.read_text()
    said = process.printed.read_text().splitlines()[-1]
    arrays, meta = load_checkpoint(out / "last.safetensors")
    assert (
        said
        == f"stopped before step {meta['step'] + 1}; the same command with --resume goes on from there"
    )
    steps = len(arrays["within"])
    print(
        f"{name}: {number.name} in epoch {meta['epoch'] + 1}, {steps} of its steps done; {took:.1f} s to the end"
    )
    unbroken.start(name, out, fresh).finish()
    assert_same(name, out)


STOPS = """
import sys
sys.path.insert(0, sys.argv[1])
import {module} as script
from samplenet.runs import settings
from samplenet.runs.run import Run

asked, flags, script_file = 0, sys.argv[2:], script.__file__

def stopping(run):
    global asked
    asked += 1
    return asked % {every} == 0

Run.stopping, ended = property(stopping), False
sys.argv = [script_file]
while not ended:
    try:
        script.train(settings.load(script.Config, flags))
        ended = True
    except SystemExit:
        pass
"""


@pytest.mark.parametrize(
    "name, every",
    [("pcrnet", 7), ("pcrnet-sampler", 7), *(pytest.param(n, 13, marks=slow) for n in SCRIPTS)],
)
def test_a_run_stopped_over_and_over_ends_the_same(tmp_path, unbroken, assert_same, name, every):
    """In one process; the asking for a signal is what stops it, before every seventh step."""
    _, script, *flags = unbroken.command(name)
    program = STOPS.format(module=Path(script).stem, every=every)
    command = [sys.executable, "-c", program, str(Path(script).parent), *flags]
    process = Process(command, tmp_path / "run")
    process.finish()
    said = [
        line
        for line in process.printed.read_text().splitlines()
        if line.startswith("stopped before step")
    ]
    assert len(said) >= 3
    assert_same(name, tmp_path / "run")


HEARING = """
import time
from samplenet.runs.interrupt import Interrupt
interrupt = Interrupt()
print("ready", flush=True)
while not interrupt.number:
    time.sleep(0.01)
print(interrupt.number, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once_but_not_the_same_one_passed_on(number):
    process = subprocess.Popen(
        [sys.executable, "-c", HEARING],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.readline() == f"{number.value}\n"
        process.send_signal(signal.SIGTERM)
        time.sleep(1.2)
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(timeout=10) == -number


def test_reproduce_waits_for_what_it_stops(tmp_path):
    """The training script that runs leaves a checkpoint of the step it is at; the same command then goes on."""
    command = [
        sys.executable,
        str(ROOT / "reproduce.py"),
        "registration",
        "--preset",
        "smoke",
        "--samplers",
        "snet",
    ]
    env = {**os.environ, "SAMPLENET_DATA": str(tmp_path / "data")}
    run = tmp_path / "out" / "registration" / "pcrnet"
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(
            [*command, "--out", tmp_path / "out"], env=env, stdout=log, stderr=log
        )
    while process.poll() is None and not list(run.glob("events/*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    printed = (tmp_path / "log").read_text()
    assert "stopped before step" in printed and printed.endswith(
        "the same command goes on from here\n"
    )
    assert not load_checkpoint(run / "last.safetensors")[1]["done"]
    assert not (run / "job.json").exists()


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=slow)])
def test_reproduce_is_killed_and_continued(tmp_path, metrics, kills):
    """Each time the same command follows at once, while the script that it left may still write its checkpoint."""
    command = [
        sys.executable,
        str(ROOT / "reproduce.py"),
        "registration",
        "--preset",
        "smoke",
        "--samplers",
        "snet",
    ]
    env = {**os.environ, "SAMPLENET_DATA": str(tmp_path / "data")}

    def start(out):
        with open(tmp_path / f"{out}.log", "a") as log:
            return subprocess.Popen(
                [*command, "--out", tmp_path / out], env=env, stdout=log, stderr=log
            )

    def check(out):
        whole, continued = (tmp_path / folder / "registration" for folder in ("whole", out))
        for run in ("pcrnet", "snet-8-seed0"):
            assert metrics(continued / run) == metrics(whole / run)
            found, want = (
                load_checkpoint(folder / run / "last.safetensors")[0]
                for folder in (continued, whole)
            )
            assert found.keys() == want.keys()
            for key, array in want.items():
                np.testing.assert_array_equal(found[key], array, err_msg=key)
        found, want = (
            json.loads((f / "evaluation" / "results.json").read_text()) for f in (continued, whole)
        )
        assert found["rows"] == want["rows"]

    begin = time.time()
    assert start("whole").wait(timeout=300) == 0
    seconds, rng, killed, ended = time.time() - begin, random.Random(kills), 0, 0
    while killed < kills:
        process = start(f"killed-{ended}")
        time.sleep(rng.uniform(0.1, 0.7) * seconds)
        if process.poll() is None:
            process.kill()
            process.wait()
            killed += 1
        else:
            assert process.returncode == 0, (tmp_path / f"killed-{ended}.log").read_text()
            check(f"killed-{ended}")
            ended += 1
    assert start(f"killed-{ended}").wait(timeout=300) == 0, (
        tmp_path / f"killed-{ended}.log"
    ).read_text()
    check(f"killed-{ended}")
    print(f"reproduce.sh: {killed} of {kills} kills survived, over {ended + 1} runs")


@slow
def test_several_processes_end_at_once_and_keep_the_last_epoch(tmp_path, unbroken, metrics):
    """They would not all leave at one step: what is kept is the checkpoint of the last epoch."""
    _, script, *flags = unbroken.command("pcrnet")
    launch = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--local-addr",
        "localhost",
        "--nproc-per-node",
        "2",
    ]
    process = Process([sys.executable, *launch, script, *flags, "--epochs", "40"], tmp_path / "run")
    assert process.until((tmp_path / "run" / "last.safetensors").exists)
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(timeout=40) != 0
    arrays, meta = load_checkpoint(tmp_path / "run" / "last.safetensors")
    assert "within" not in arrays and meta["epoch"] >= 1
    assert json.dumps(metrics(tmp_path / "run"))


def test_a_process_that_dies_ends_the_others(tmp_path, unbroken):
    """torchrun tells which one it was; the checkpoint of the last epoch is whole."""
    _, script, *flags = unbroken.command("pcrnet")
    launch = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--local-addr",
        "localhost",
        "--nproc-per-node",
        "2",
    ]
    process = Process(
        [sys.executable, *launch, script, *flags, "--epochs", "4000"], tmp_path / "run"
    )
    assert process.until((tmp_path / "run" / "last.safetensors").exists)
    pid = process.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    (second,) = (c for c in children if b"\0RANK=1\0" in Path(f"/proc/{c}/environ").read_bytes())
    os.kill(int(second), signal.SIGKILL)
    assert process.process.wait(timeout=300) == 1
    said = process.printed.read_text()
    assert f"exitcode  : -9 (pid: {second})" in said and f"{Path(script).name} FAILED" in said
    assert load_checkpoint(tmp_path / "run" / "last.safetensors")[1]["epoch"] >= 1
