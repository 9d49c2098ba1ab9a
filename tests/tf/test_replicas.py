"""Batches shared by two devices or two processes train what one device alone does."""

import functools
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest

from samplenet import InputError
from samplenet.runs.checkpoint import load_checkpoint, save_checkpoint
from samplenet.tf.replicas import Replicas

ROOT = Path(__file__).parents[2]
CLASSIFIER = "--num-points 32 --batch-size 32 --shapes-per-class 4 --epochs 2 --no-xla --lr 1e-4"
SCRIPTS = {
    # Several devices have other layers than one, `samplenet.tf.layers`, which round otherwise. A
    # high learning rate magnifies that, as does the orthogonality loss, where batches are small.
    "classifier": ("classification/train_classifier.py", CLASSIFIER),
    # without that loss, traced in a third of the time
    "vanilla": ("classification/train_classifier.py", f"{CLASSIFIER} --model vanilla"),
    "autoencoder": (
        "reconstruction/train_autoencoder.py",
        "--num-points 32 --batch-size 8 --shapes-per-class 10 --epochs 3",
    ),
    "points": (
        "feature_rendering/train_points.py",
        "--num-points 16 --batch-size 8 --shapes-per-class 10 --epochs 3 --image-size 8 "
        "--num-views 2 --views-per-step 2",
    ),
    # each device chooses its own points to draw, so here all of them are
    "shapes": (
        "shape_and_pose/train_shapes.py",
        "--num-points 16 --batch-size 4 --shapes-per-class 10 --epochs 3 --image-size 8 "
        "--num-views 2 --views-per-step 2 --grid-size 8 --kernel-size 5 --fc-width 16 "
        "--code-width 16 --supervision none --keep 1",
    ),
}
SAMPLERS = {
    "classifier": (
        "classification/train_samplenet.py",
        "--batch-size 32 --epochs 2 --lr 1e-4 --sample-sizes 6",
    ),
    "autoencoder": (
        "reconstruction/train_samplenet.py",
        "--batch-size 8 --epochs 3 --lr 1e-4 --sample-sizes 6",
    ),
}
# A processor counts as two devices, as TensorFlow lets it be divided before it is used.
TWO_DEVICES = """
import tensorflow as tf
from samplenet.tf import replicas
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
replicas._gpus = lambda: ["CPU:0", "CPU:1"]
"""


class Starts:
    """Ways to run a script: alone, in two processes, with two devices."""

    def __init__(self, server, free_ports):
        self.server, self.free_ports = server, free_ports

    def start(self, script, *flags, **options):
        return self.server.start(ROOT / script, *flags, **options)

    def start_two(self, script, *flags):
        """Start two processes of a script, the first one first."""
        hosts = [f"localhost:{port}" for port in self.free_ports(2)]
        tasks = [
            {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": i}} for i in range(2)
        ]
        return [self.start(script, *flags, env={"TF_CONFIG": json.dumps(task)}) for task in tasks]

    def alone(self, script, *flags):
        return [self.start(script, *flags).printed()]

    def two_processes(self, script, *flags):
        return self.server.finish(self.start_two(script, *flags))

    def two_devices(self, script, *flags):
        return [self.start(script, *flags, prepare=TWO_DEVICES).printed()]


@pytest.fixture(scope="module")
def starts(serve_scripts, free_ports):
    return Starts(serve_scripts("tf"), free_ports)


TWO = '"cluster": {"worker": ["a:1", "b:1"]}'
BAD = {
    "no JSON": "worker",
    "no task": f"{{{TWO}}}",
    "another number": f'{{{TWO}, "task": {{"type": "worker", "index": 2}}}}',
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
    """Check that the curves of two runs agree to 1e-3, and the statistics they end with."""
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
def trained(tmp_path_factory, starts):
    """Return a function that trains a task network, or its sampler, once and on one device.

    It returns the run folder.
    """
    folder = tmp_path_factory.mktemp("alone")

    @functools.cache
    def train(name, sampler=False):
        out = folder / (f"{name}-sampler" if sampler else name)
        task = ["--task", train(name)] if sampler else []
        starts.alone(*(SAMPLERS if sampler else SCRIPTS)[name], *task, "--out", out)
        return out

    return train


PARTED = """
import keras
from samplenet.tf import replicas
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


def test_devices_whose_weights_differ_are_noticed(tmp_path, starts):
    (tmp_path / "parted.py").write_text(PARTED)
    assert starts.two_devices(tmp_path / "parted.py") == [
        "noticed: the weights of 1 of 2 devices differ from the first one's\n"
    ]


slow = pytest.mark.slow  # one of each kind is enough by default


@pytest.mark.parametrize(
    "several, name",
    [
        (Starts.two_devices, "vanilla"),
        pytest.param(Starts.two_devices, "classifier", marks=slow),
        pytest.param(Starts.two_processes, "classifier", marks=slow),
        pytest.param(Starts.two_processes, "autoencoder", marks=slow),  # continued below
        pytest.param(Starts.two_devices, "autoencoder", marks=slow),
        pytest.param(Starts.two_devices, "points", marks=slow),
        pytest.param(Starts.two_devices, "shapes", marks=slow),
    ],
)
def test_a_task_network_trains_as_on_one_device(tmp_path, starts, trained, name, several):
    printed = several(starts, *SCRIPTS[name], "--out", tmp_path / "run")
    assert "epoch 1/" in printed[0] and not any(printed[1:])  # the first process speaks for all
    assert_close(trained(name), tmp_path / "run")


@pytest.mark.parametrize("name", ["autoencoder", pytest.param("classifier", marks=slow)])
def test_a_sampler_trains_as_on_one_device(tmp_path, starts, trained, name):
    task = ["--task", trained(name)]
    printed = starts.two_processes(*SAMPLERS[name], *task, "--out", tmp_path / "run")
    assert "epoch 1/" in printed[0] and not printed[1]
    assert_close(trained(name, sampler=True), tmp_path / "run")


def test_two_processes_continue_a_run(tmp_path, starts, trained):
    """The first process reads the checkpoint alone; both go on from it."""
    whole = trained("autoencoder")
    arrays, meta = load_checkpoint(whole / "last.safetensors")
    arrays["optimizer/000"] //= 3  # the steps of one epoch: the first variable counts them
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        settings = (whole / "config.yaml").read_text().replace(str(whole), str(tmp_path / name))
        (tmp_path / name / "config.yaml").write_text(settings)
        begun = {**meta, "epoch": 1, "done": False}
        save_checkpoint(tmp_path / name / "last.safetensors", arrays, begun)
    command = [*SCRIPTS["autoencoder"], "--resume", "--out"]
    starts.alone(*command, tmp_path / "one")
    starts.two_processes(*command, tmp_path / "two")
    assert len(losses(tmp_path / "one")) == 2
    assert_close(tmp_path / "one", tmp_path / "two")
    said = starts.two_processes(*command, tmp_path / "two")
    assert said == [f"{tmp_path / 'two'} is finished\n", ""]


def test_a_batch_that_cannot_be_divided(tmp_path, starts):
    words = "--batch-size 7 is no multiple of the 2 devices that share a batch"
    with pytest.raises(AssertionError, match=words):
        starts.two_devices(*SCRIPTS["autoencoder"], "--batch-size 7 --out", tmp_path / "run")


@pytest.mark.parametrize("dying", [1, pytest.param(0, marks=slow)])
def test_a_process_that_dies_ends_the_other_one(tmp_path, starts, dying):
    """It does not wait for ever for gradients that never come."""
    last = tmp_path / "run" / "last.safetensors"
    two = starts.start_two(*SCRIPTS["autoencoder"], "--epochs 4000 --out", tmp_path / "run")
    other = two[1 - dying]
    try:
        while not last.exists():
            assert all(one.poll() is None for one in two)
            time.sleep(0.05)
        two[dying].kill()
        assert other.wait() == 1
    finally:
        for one in two:
            one.kill()
    errors = other.errors.read_text()
    sentence = "error: another process of this training has ended or cannot be reached "
    assert (
        errors.splitlines()[-1].startswith(f"train_autoencoder.py: {sentence}")
        and "Traceback" not in errors
    )
    assert load_checkpoint(last)[1]["epoch"] >= 1
