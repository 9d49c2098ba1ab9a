"""The training script of the autoencoder: what a run leaves, losses, options."""

import re

import numpy as np
import pytest

from samplenet import InputError
from samplenet.data import ply
from samplenet.ops import check_inputs
from samplenet.runs import settings
from samplenet.runs.checkpoint import load_checkpoint
from samplenet.runs.experiments import PRESETS
from samplenet.runs.training import Training
from samplenet.tf.state import State

TINY = "--shapes-per-class 10 --num-points 32 --batch-size 8 --epochs 2"


@pytest.fixture
def load(scripts, monkeypatch):
    """Settings from flags, looked up by the script's name."""
    monkeypatch.setattr("sys.argv", [scripts.train_autoencoder.__file__])
    return lambda *flags: settings.load(
        scripts.train_autoencoder.Config, [*TINY.split(), *map(str, flags)]
    )


@pytest.fixture
def train(scripts, load):
    return lambda out, *flags: scripts.train_autoencoder.train(load("--out", out, *flags))


@pytest.mark.parametrize(
    "served, loss",
    [(False, "chamfer"), pytest.param(False, "emd", marks=pytest.mark.slow)],
    indirect=["served"],
)
def test_framework_operations_add_gradients_in_one_order(tmp_path, train, served, loss):
    """Those of native ops are checked by every other training here, see conftest.py."""
    train(tmp_path, "--epochs", 1, "--loss", loss)


@pytest.mark.slow
def test_xla_compiles_the_step_to_the_same_curve(tmp_path, train, metrics):
    for flag in ("--no-xla", "--xla"):
        train(tmp_path / flag, flag)
    curves = [metrics(tmp_path / flag) for flag in ("--no-xla", "--xla")]
    for own, compiled in zip(*curves, strict=True):
        assert compiled == pytest.approx(own, rel=1e-2)


def test_a_run_learns_and_leaves_what_explains_it(tmp_path, scripts, train, load, metrics, capsys):
    train(tmp_path, "--epochs", 5)
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines] == [
        4,
        8,
        12,
        16,
        20,
    ]  # 4 classes, 8 of 10 shapes to train on
    assert lines[-1]["train_chamfer"] < lines[0]["train_chamfer"]
    for name in ("config.yaml", "environment.json", "last.safetensors"):
        assert (tmp_path / name).stat().st_size > 100
    arrays, _ = load_checkpoint(tmp_path / "last.safetensors")
    net = scripts.autoencoder.build(32)
    State(net).restore(arrays)
    validation = scripts.autoencoder.open_clouds(load(), "val").points
    judged = scripts.autoencoder.errors(net, validation, 3).mean()
    assert judged == pytest.approx(lines[-1]["validation_chamfer"], rel=1e-4)
    printed = capsys.readouterr().out
    assert re.search(
        r"epoch 5/5  train chamfer \S+  lr \S+  validation chamfer \S+  [\d.]+ ms a step", printed
    )


def test_the_splits_share_no_cloud(scripts, load):
    clouds = [
        scripts.autoencoder.open_clouds(load("--shapes-per-class", 20), s)
        for s in ("train", "val", "test")
    ]
    assert [len(c) for c in clouds] == [4 * 17, 4 * 1, 4 * 2]
    assert len({points.tobytes() for c in clouds for points in c.points}) == 80
    assert clouds[0].names == ("chair", "table", "car", "airplane")


def test_emd_as_the_loss(tmp_path, train, metrics):
    train(tmp_path / "run", "--loss", "emd")
    first, last = metrics(tmp_path / "run")
    assert last["train_emd"] < first["train_emd"] and "validation_chamfer" not in last


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(tmp_path, train):
    check_inputs(False)  # as in training
    with pytest.raises(
        InputError, match=r"the loss became (nan|inf) at step [1-3]; try a lower --lr"
    ):
        train(tmp_path / "run", "--lr", 1e30)
    assert not (tmp_path / "run" / "last.safetensors").exists()


def test_a_ply_damaged_in_the_middle_of_an_epoch_is_in_memory_by_then(
    tmp_path, scripts, train, metrics, monkeypatch
):
    (chairs := tmp_path / "data" / "03001627").mkdir(parents=True)
    for number in range(20):
        points = np.random.default_rng(number).normal(size=(32, 3)).astype(np.float32)
        (chairs / f"{number:02d}.ply").write_bytes(ply.encode(points))
    add, steps_done = Training.add, []

    def damaging(training, measured):
        steps_done.append(1)
        if len(steps_done) == 3:  # of two steps an epoch
            for path in chairs.iterdir():
                path.write_bytes(b"hello")
        add(training, measured)

    monkeypatch.setattr(Training, "add", damaging)
    flags = ["--data-root", tmp_path / "data", "--classes", "chair", "--epochs", 3]
    train(tmp_path / "run", *flags)
    assert len(steps_done) == 6 and len(metrics(tmp_path / "run")) == 3
    with pytest.raises(InputError, match=r"03001627/\d\d\.ply is not a PLY file"):
        train(tmp_path / "next", *flags)


def test_a_finished_run_is_kept(tmp_path, train, capsys):
    train(tmp_path / "run", "--epochs", 1)
    before = (tmp_path / "run" / "last.safetensors").read_bytes()
    train(tmp_path / "run", "--epochs", 1, "--resume")
    assert "is finished" in capsys.readouterr().out
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == before
    with pytest.raises(InputError, match="already holds a run"):
        train(tmp_path / "run", "--epochs", 1)


def test_the_defaults_are_the_published_settings(scripts, monkeypatch):
    monkeypatch.setattr("sys.argv", [scripts.train_autoencoder.__file__])
    for preset in PRESETS:
        path = scripts.folder / "configs" / f"{preset}.yaml"
        config = settings.load(scripts.train_autoencoder.Config, ["--config", str(path)])
    assert (config.epochs, config.batch_size, config.lr, config.num_points) == (500, 50, 5e-4, 2048)
    assert config.loss == "chamfer" and config.classes == ["chair", "table", "car", "airplane"]
    assert {
        scripts.train_autoencoder.schedules.learning_rate(config, s, 10) for s in (0, 9, 10**6)
    } == {5e-4}
