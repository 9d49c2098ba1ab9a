"""Batches shared by two devices of a process or by two processes: what one device alone would have trained."""

import functools
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from samplenet import InputError
from samplenet.runs.checkpoint import load_checkpoint, save_checkpoint
from samplenet.tf.replicas import Replicas

ROOT = Path(__file__).parents[2]
SIZES = ["--num-points", "32", "--batch-size", "8"]
SCRIPTS = {
    # the whole PointNet, so that dropout and the orthogonality loss are divided too; with small batches or a high
    # learning rate it magnifies rounding
    "classifier": (
        "classification/train_classifier.py",
        [
            "--num-points",
            "32",
            "--batch-size",
            "32",
            "--shapes-per-class",
            "4",
            "--epochs",
            "2",
            "--no-xla",
            "--lr",
            "1e-4",
        ],
    ),
    "autoencoder": (
        "reconstruction/train_autoencoder.py",
        [*SIZES, "--shapes-per-class", "10", "--epochs", "3"],
    ),
}
SAMPLERS = {
    "classifier": (
        "classification/train_samplenet.py",
        ["--batch-size", "32", "--epochs", "2", "--lr", "1e-4"],
    ),
    "autoencoder": ("reconstruction/train_samplenet.py", ["--batch-size", "8", "--epochs", "3"]),
}
TWO_DEVICES = """
import runpy, sys
import tensorflow as tf
from samplenet.tf import replicas
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
replicas._gpus = lambda: ["CPU:0", "CPU:1"]
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def start(script, flags, task=None, program=()):
    """A script in a process of its own; `task` is its part of TF_CONFIG."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1"}
    if task is not None:
        env["TF_CONFIG"] = json.dumps(task)
    command = [sys.executable, *program, str(ROOT / script), *map(str, flags)]
    return subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(processes):
    try:
        found = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, errors) in zip(processes, found, strict=True):
        assert process.returncode == 0, errors
    return [out for out, _ in found]


def alone(script, flags):
    return finish([start(script, flags)])


def start_two(script, flags):
    """Two processes of a script, the first one first."""
    holders = [socket.socket() for _ in range(2)]
    for holder in holders:
        holder.bind(("localhost", 0))
    hosts = [f"localhost:{holder.getsockname()[1]}" for holder in holders]
    for holder in holders:
        holder.close()
    tasks = [
        {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": i}} for i in range(2)
    ]
    return [start(script, flags, task) for task in tasks]


def two_processes(script, flags):
    return finish(start_two(script, flags))


def two_devices(script, flags):
    return finish([start(script, flags, program=["-c", TWO_DEVICES])])


BAD = {
    "no JSON": "worker",
    "no task": '{"cluster": {"worker": ["a:1", "b:1"]}}',
    "another number": '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
    "a list": "[]",
}


@pytest.mark.parametrize("case", BAD)
def test_a_damaged_tf_config_is_named(monkeypatch, case):
    monkeypatch.setenv("TF_CONFIG", BAD[case])
    with pytest.raises(
        InputError, match=rf"TF_CONFIG of the environment names no task.*got {re.escape(BAD[case])}"
    ):
        Replicas(8)


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("time", "step")} for line in lines]


def assert_close(folder, other):
    """The curves of two runs, and the weights they end with, agree to 1e-3."""
    for one, two in zip(losses(folder), losses(other), strict=True):
        assert one.keys() == two.keys()
        for name, value in one.items():
            assert two[name] == pytest.approx(value, rel=1e-3, abs=1e-6), name
    (one, _), (two, _) = (load_checkpoint(f / "last.safetensors") for f in (folder, other))
    for name, array in one.items():
        if "moving_" in name:
            # of values around 3 in the transform's net, where rounding grows most
            np.testing.assert_allclose(two[name], array, rtol=1e-2, atol=1e-2, err_msg=name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Function of a task's name: the folder of its network, trained by one device; made at the first call.

    With `sampler` that of a sampler of 6 points in front of it.
    """
    folder = tmp_path_factory.mktemp("alone")

    @functools.cache
    def train(name, sampler=False):
        script, flags = (SAMPLERS if sampler else SCRIPTS)[name]
        more = ["--task", train(name), "--sample-sizes", 6] if sampler else []
        out = folder / (f"{name}-sampler" if sampler else name)
        alone(script, [*flags, *more, "--out", out])
        return out

    return train


PARTED = """
import keras
import tensorflow as tf
from samplenet.tf import replicas
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
replicas._gpus = lambda: ["CPU:0", "CPU:1"]
peers = replicas.Replicas(4)
with peers.scope():
    net = keras.Sequential([keras.layers.Dense(2)])
    net.build((None, 3))
peers.check_identical(net)
kernel = net.trainable_variables[0].value
_, copy = peers.strategy.experimental_local_results(kernel)
copy.assign(copy + 1e-3)
try:
    peers.check_identical(net)
except RuntimeError as error:
    print(f"noticed: {error}")
"""


def test_devices_whose_weights_differ_are_noticed(tmp_path):
    (tmp_path / "parted.py").write_text(PARTED)
    assert finish([start(tmp_path / "parted.py", [])]) == [
        "noticed: the weights of 1 of 2 devices differ from the first one's\n"
    ]


slow = pytest.mark.slow  # one of each kind is enough by default


@pytest.mark.parametrize(
    "several, name",
    [
        (two_processes, "autoencoder"),
        (two_devices, "classifier"),
        pytest.param(two_processes, "classifier", marks=slow),
        pytest.param(two_devices, "autoencoder", marks=slow),
    ],
)
def test_a_task_network_trains_as_on_one_device(tmp_path, trained, name, several):
    script, flags = SCRIPTS[name]
    printed = several(script, [*flags, "--out", tmp_path / "run"])
    assert "epoch 1/" in printed[0] and not any(printed[1:])  # the first process speaks for all
    assert_close(trained(name), tmp_path / "run")


@pytest.mark.parametrize("name", ["autoencoder", pytest.param("classifier", marks=slow)])
def test_a_sampler_trains_as_on_one_device(tmp_path, trained, name):
    script, flags = SAMPLERS[name]
    two_processes(
        script, [*flags, "--task", trained(name), "--sample-sizes", 6, "--out", tmp_path / "run"]
    )
    assert_close(trained(name, sampler=True), tmp_path / "run")


def test_two_processes_continue_a_run(tmp_path, trained):
    """A checkpoint is read by the first process alone; both go on from it."""
    script, flags = SCRIPTS["autoencoder"]
    arrays, meta = load_checkpoint(trained("autoencoder") / "last.safetensors")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        settings = (trained("autoencoder") / "config.yaml").read_text()
        (tmp_path / name / "config.yaml").write_text(
            settings.replace(str(trained("autoencoder")), str(tmp_path / name))
        )
        save_checkpoint(
            tmp_path / name / "last.safetensors", arrays, {**meta, "epoch": 1, "done": False}
        )
    alone(script, [*flags, "--resume", "--out", tmp_path / "one"])
    two_processes(script, [*flags, "--resume", "--out", tmp_path / "two"])
    assert len(losses(tmp_path / "one")) == 2
    assert_close(tmp_path / "one", tmp_path / "two")
    assert two_processes(script, [*flags, "--resume", "--out", tmp_path / "two"]) == [
        f"{tmp_path / 'two'} is finished\n",
        "",
    ]


def test_a_batch_that_cannot_be_divided(tmp_path):
    script, flags = SCRIPTS["autoencoder"]
    with pytest.raises(
        AssertionError, match="--batch-size 7 is no multiple of the 2 devices that share a batch"
    ):
        two_devices(script, [*flags, "--batch-size", 7, "--out", tmp_path / "run"])


@pytest.mark.parametrize("dying", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_a_process_that_dies_ends_the_other_one(tmp_path, dying):
    """It does not wait for ever for gradients that never come."""
    script, flags = SCRIPTS["autoencoder"]
    processes = start_two(script, [*flags, "--epochs", 4000, "--out", tmp_path / "run"])
    try:
        while not (tmp_path / "run" / "last.safetensors").exists():
            assert all(process.poll() is None for process in processes)
            time.sleep(0.05)
        processes[dying].kill()
        _, errors = processes[1 - dying].communicate(timeout=300)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert processes[1 - dying].returncode == 1
    told = "train_autoencoder.py: error: another process of this training has ended or cannot be reached "
    assert errors.splitlines()[-1].startswith(told) and "Traceback" not in errors
    assert load_checkpoint(tmp_path / "run" / "last.safetensors")[1]["epoch"] >= 1
