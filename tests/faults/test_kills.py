"""Runs that are killed or stopped at any moment and continued end as unbroken ones do, bit for bit.

A run is a fork of the server of its framework, see conftest.py; "fresh" ones start as users' do.
"""

import contextlib
import json
import os
import random
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
        "--shapes-per-class 10 --pairs 40 --num-points 32 --batch-size 4 --device cpu "
        "--lr-schedule cosine",
        "",
    ),
    "pcrnet-sampler": (
        "registration/train_samplenet.py",
        "--sample-sizes 3 6 --batch-size 4 --device cpu --checkpoint-epochs 2",
        "pcrnet",
    ),
    "autoencoder": (
        "reconstruction/train_autoencoder.py",
        "--shapes-per-class 10 --num-points 32 --batch-size 4 --lr-schedule cosine",
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
    "shapes": (
        "shape_and_pose/train_shapes.py",
        "--supervision none --shapes-per-class 48 --image-size 16 --num-views 3 --views-per-step 2 "
        "--batch-size 4 --num-points 64 --conv-width 4 --fc-width 32 --code-width 32 "
        "--grid-size 8 --kernel-size 5 --checkpoint-epochs 2",
        "",
    ),
    "features": (
        "feature_rendering/train_points.py",
        "--features rgb --shapes-per-class 48 --image-size 16 --num-points 32 --batch-size 4 "
        "--checkpoint-epochs 2",
        "",
    ),
    "images": (
        "pretraining/train_images.py",
        "--depth 10 --width 4 --shapes-per-class 6 --batch-size 8 --device cpu",
        "",
    ),
}
DRAWN = ("shapes", "features", "images")  # they learn from pictures of the built-in shapes
EPOCHS = 6
ONE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
}
# By default: of each framework a task network and a sampler; a stopped autoencoder is below.
KILLS = {"pcrnet": 2, "pcrnet-sampler": 1, "autoencoder-sampler": 1, "classifier": 1}
slow = pytest.mark.slow


class Process:
    """A run, started or continued, in a fork of the server or, without one, as users start it.

    It prints to a file beside its folder.
    """

    def __init__(self, command, out, data, server=None, prepare=""):
        self.out, self.begin, self.printed = out, time.time(), out.with_name(out.name + ".log")
        self.events = self.count_events()
        flags, data = ["--out", str(out), "--resume"], {"SAMPLENET_DATA": str(data)}
        if server:
            self.printed.unlink(missing_ok=True)
            _, script, *words = command
            self.process = server.start(
                script, *words, *flags, log=self.printed, env=data, prepare=prepare
            )
            return
        with open(self.printed, "w") as log:
            self.process = subprocess.Popen(
                [*command, *flags],
                env={**os.environ, **ONE_THREAD, **data},
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: signal.signal(
                    signal.SIGINT, signal.SIG_DFL
                ),  # ignored in a shell's background
            )

    def count_events(self):
        return len(list(self.out.glob("events/*")))

    def until(self, happened, seconds=300):
        """Wait until `happened()` or the end; return whether it happened first."""
        end = time.time() + seconds
        while self.process.poll() is None:
            if happened():
                return True
            assert time.time() < end, self.printed.read_text()
            time.sleep(0.0005)
        return False

    def opened(self):
        """Return whether the run is open: it has its event file."""
        return self.count_events() > self.events

    def saved(self):
        """Return whether the run has written a checkpoint."""
        last = self.out / "last.safetensors"
        return last.exists() and os.stat(last).st_mtime > self.begin

    def writing(self):
        """Return whether it writes a checkpoint now; an earlier kill may have left a part."""
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

    def __init__(self, folder, servers):
        self.folder, self.data, self.servers = folder, folder / "data", servers
        self.seconds = {}  # of start-up, of training, of training after the first epoch

    def start(self, name, out, fresh=False, prepare=""):
        if name in DRAWN:
            pytest.importorskip("embreex", reason="embreex is not installed: no picture is drawn")
        torch = SCRIPTS[name][0].startswith(("registration", "pretraining"))
        framework = "torch" if torch else "tf"
        server = None if fresh else self.servers(framework)
        return Process(self.command(name), out, self.data, server, prepare)

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
def unbroken(tmp_path_factory, serve_scripts):
    return Unbroken(tmp_path_factory.mktemp("unbroken"), serve_scripts)


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
    """Let a process run until its moment and kill it; return whether it still ran then."""
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
    "name, kills", [*KILLS.items(), *(pytest.param(n, 20, marks=slow) for n in SCRIPTS)]
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
        ("autoencoder", signal.SIGINT, False),
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
    assert said.startswith(f"stopped before step {meta['step'] + 1}; ")
    steps = len(arrays["within"])
    print(
        f"{name}: {number.name} in epoch {meta['epoch'] + 1} after {steps} of its steps; "
        f"{took:.1f} s to the end"
    )
    unbroken.start(name, out, fresh).finish()
    assert_same(name, out)


# It stands in for a signal before every so many steps.
STOPS = """
from samplenet.runs.run import Run
asked = 0
def stopping(run):
    global asked
    asked += 1
    return asked % {every} == 0
Run.stopping = property(stopping)
for _ in range(100):
    try:
        runpy.run_path(script, run_name="__main__")
        break
    except SystemExit:
        pass
sys.exit()
"""


@pytest.mark.parametrize(
    "name, every",
    [("pcrnet", 7), ("pcrnet-sampler", 7), *(pytest.param(n, 13, marks=slow) for n in SCRIPTS)],
)
def test_a_run_stopped_over_and_over_ends_the_same(tmp_path, unbroken, assert_same, name, every):
    process = unbroken.start(name, tmp_path / "run", prepare=STOPS.format(every=every))
    process.finish()
    lines = process.printed.read_text().splitlines()
    assert sum(line.startswith("stopped before step") for line in lines) >= 3
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


class Reproduction:
    """The results of `reproduce.py registration` in a folder, and how to start it."""

    def __init__(self, folder, out):
        self.out, self.log, self.runs = (
            folder / out,
            folder / f"{out}.log",
            folder / out / "registration",
        )
        self.env = {**os.environ, "SAMPLENET_DATA": str(folder / "data")}

    def start(self):
        flags = ["--preset", "smoke", "--samplers", "snet", "--out"]
        command = [sys.executable, ROOT / "reproduce.py", "registration", *flags, self.out]
        with open(self.log, "a") as log:
            return subprocess.Popen(command, env=self.env, stdout=log, stderr=log)

    def start_until(self, pattern):
        """Start it and wait until a run has a further file of this pattern."""
        before = self.count(pattern)
        process = self.start()
        while process.poll() is None and self.count(pattern) == before:
            time.sleep(0.01)
        return process

    def count(self, pattern):
        return len(list(self.runs.glob(pattern)))

    def finish(self):
        assert self.start().wait(timeout=300) == 0, self.log.read_text()

    def rows(self):
        return json.loads((self.runs / "evaluation" / "results.json").read_text())["rows"]


def test_reproduce_is_stopped_and_killed_and_continued(tmp_path, metrics):
    made = Reproduction(tmp_path, "out")
    process = made.start_until("pcrnet/events/*")
    stop(process)
    printed = made.log.read_text()  # it has waited for the script's checkpoint
    assert "stopped before step" in printed
    assert printed.endswith("the same command goes on from here\n")
    assert not load_checkpoint(made.runs / "pcrnet" / "last.safetensors")[1]["done"]
    assert not (made.runs / "pcrnet" / "job.json").exists()
    process = made.start_until("snet-8-seed0/events/*")
    process.kill()
    assert process.wait() == -signal.SIGKILL
    # at once, while the script that the kill left still runs
    stop(made.start_until("snet-8-seed0/job.json"))
    for run in ("pcrnet", "snet-8-seed0"):
        assert load_checkpoint(made.runs / run / "last.safetensors")[1]["done"]
        steps = [line["step"] for line in metrics(made.runs / run)]
        assert steps and steps == sorted(set(steps))


def stop(process):
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 128 + signal.SIGTERM


@slow
def test_reproduce_is_killed_and_continued(tmp_path, metrics):
    """The same command follows at once, while the script that it left may write its checkpoint."""

    def check(made):
        for run in ("pcrnet", "snet-8-seed0"):
            assert metrics(made.runs / run) == metrics(whole.runs / run)
            found, want = (
                load_checkpoint(runs / run / "last.safetensors")[0]
                for runs in (made.runs, whole.runs)
            )
            assert found.keys() == want.keys()
            for key, array in want.items():
                np.testing.assert_array_equal(found[key], array, err_msg=key)
        assert made.rows() == whole.rows()

    begin, whole = time.time(), Reproduction(tmp_path, "whole")
    whole.finish()
    seconds, rng, killed, ended = time.time() - begin, random.Random(20), 0, 0
    while killed < 20:
        made = Reproduction(tmp_path, f"killed-{ended}")
        process = made.start()
        time.sleep(rng.uniform(0.1, 0.7) * seconds)
        if process.poll() is None:
            process.kill()
            process.wait()
            killed += 1
        else:
            assert process.returncode == 0, made.log.read_text()
            check(made)
            ended += 1
    made = Reproduction(tmp_path, f"killed-{ended}")
    made.finish()
    check(made)
    print(f"reproduce.sh: {killed} kills survived, over {ended + 1} runs")


def start_two(unbroken, out, epochs):
    """Start two processes of PCRNet's training, as the README says."""
    python, *command = unbroken.command("pcrnet")
    flags = "--standalone --local-addr localhost --nproc-per-node 2"
    launch = [python, "-m", "torch.distributed.run", *flags.split()]
    return Process([*launch, *command, "--epochs", str(epochs)], out, unbroken.data)


@slow
def test_several_processes_end_at_once_and_keep_the_last_epoch(tmp_path, unbroken, metrics):
    """They would not all stop at one step, so the checkpoint of the last epoch is kept."""
    process = start_two(unbroken, tmp_path / "run", 40)
    assert process.until((tmp_path / "run" / "last.safetensors").exists)
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(timeout=40) != 0
    arrays, meta = load_checkpoint(tmp_path / "run" / "last.safetensors")
    assert "within" not in arrays and meta["epoch"] >= 1
    assert json.dumps(metrics(tmp_path / "run"))


def test_a_process_that_dies_ends_the_others(tmp_path, unbroken):
    """torchrun names the one that died; the checkpoint of the last epoch is whole."""
    process = start_two(unbroken, tmp_path / "run", 4000)
    assert process.until((tmp_path / "run" / "last.safetensors").exists)
    pid = process.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    (second,) = (c for c in children if b"\0RANK=1\0" in Path(f"/proc/{c}/environ").read_bytes())
    os.kill(int(second), signal.SIGKILL)
    assert process.process.wait(timeout=300) == 1
    said = process.printed.read_text()
    assert f"exitcode  : -9 (pid: {second})" in said and "train_pcrnet.py FAILED" in said
    assert load_checkpoint(tmp_path / "run" / "last.safetensors")[1]["epoch"] >= 1
