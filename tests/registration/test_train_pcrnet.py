"""The training script of PCRNet: what a run leaves, several processes, options."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import rigid
import train_pcrnet
from samplenet import InputError
from samplenet.ops import check_inputs
from samplenet.runs import settings
from samplenet.runs.checkpoint import load_checkpoint
from samplenet.runs.experiments import PRESETS
from samplenet.torch.state import State

ROOT = Path(__file__).parents[2]
SCRIPT = str(ROOT / "registration" / "train_pcrnet.py")
TINY = (
    "--shapes-per-class 10 --pairs 40 --num-points 32 --batch-size 8 --epochs 2 --deterministic "
    "--device cpu"
)


@pytest.fixture(autouse=True)
def one_argv(monkeypatch):
    """Settings are looked up by the script's name; what it set for the process is put back."""
    monkeypatch.setattr("sys.argv", [SCRIPT])
    yield
    torch.use_deterministic_algorithms(False)


def train(out, *flags):
    train_pcrnet.train(
        settings.load(train_pcrnet.Config, [*TINY.split(), "--out", str(out), *map(str, flags)])
    )


def test_a_run_leaves_what_explains_it(tmp_path, metrics):
    train(tmp_path / "a")
    first, second = metrics(tmp_path / "a")
    assert (first["step"], second["step"]) == (
        4,
        8,
    )  # 36 pairs to train on, 4 of the one held-out cloud
    assert second["loss"] < first["loss"]
    assert 0 < second["held_out_rotation_error_deg"] < 180
    for name in ("config.yaml", "environment.json", "last.safetensors"):
        assert (tmp_path / "a" / name).stat().st_size > 100
    arrays, _ = load_checkpoint(tmp_path / "a" / "last.safetensors")
    assert arrays["feat.conv5.weight"].shape == (1024, 128, 1)


def test_two_processes_give_the_loss_curve_of_one(tmp_path, torchrun, metrics):
    train(tmp_path / "one", "--epochs", 4)
    printed = torchrun(SCRIPT, TINY, "--epochs", 4, "--out", tmp_path / "two")
    assert printed.count("epoch 4/4") == 1  # only the first process speaks
    one, two = ([line["loss"] for line in metrics(tmp_path / run)] for run in ("one", "two"))
    assert len(one) == 4
    np.testing.assert_allclose(two, one, atol=1e-4)


def test_errors_are_those_of_the_trained_network(tmp_path, metrics):
    train(tmp_path / "run")
    config = settings.load(train_pcrnet.Config, TINY.split())
    net = train_pcrnet.build(config)
    arrays, _ = load_checkpoint(tmp_path / "run" / "last.safetensors")
    State(net).restore(arrays)
    _, judged = train_pcrnet.make_pairs(config)
    judged = judged.to("cpu")
    errors = train_pcrnet.rotation_errors(net, judged, 3)
    assert errors.shape == (4,)
    assert errors.mean().item() == pytest.approx(
        metrics(tmp_path / "run")[-1]["held_out_rotation_error_deg"], abs=1e-4
    )
    perfect = train_pcrnet.rotation_errors(
        lambda template, source: (judged.quaternion, None), judged, 4
    )
    assert perfect.max() < 1e-3
    still = train_pcrnet.rotation_errors(
        lambda t, _: (torch.eye(4)[:1].expand(len(t), 4), None), judged, 2
    )
    torch.testing.assert_close(still, rigid.angle_between(torch.eye(4)[0], judged.quaternion))


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:torch.*"
)  # PyTorch's compiler of its own parts
@pytest.mark.parametrize(
    "flags",
    [
        ["--translation", "--noise", "0.01", "--independent", "--iterations", "2"],
        ["--amp", "--init", "he"],
        ["--hold-out", "0", "--checkpoint-epochs", "5"],
        pytest.param(["--compile"], marks=pytest.mark.slow),
    ],
)
def test_options(tmp_path, flags, metrics):
    train(tmp_path / "run", *flags)
    assert len(metrics(tmp_path / "run")) == 2
    assert load_checkpoint(tmp_path / "run" / "last.safetensors")[1]["done"]


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(tmp_path):
    check_inputs(False)  # as in training
    with pytest.raises(
        InputError, match=r"the loss became (nan|inf) at step [1-3]; try a lower --lr"
    ):
        train(tmp_path / "run", "--lr", 1e30)
    assert not (tmp_path / "run" / "last.safetensors").exists()


def test_a_state_that_does_not_fit_is_named_and_changes_nothing():
    net = train_pcrnet.build(settings.load(train_pcrnet.Config, TINY.split()))
    arrays = State(net).arrays()
    before = {name: array.copy() for name, array in arrays.items()}
    for change, words in (
        ({"fc6.bias": np.zeros(3, np.float32)}, r"fc6.bias has shape \(3,\), needed \(7,\)"),
        ({}, "fc6.bias is missing"),
    ):
        damaged = {
            name: np.zeros_like(array) for name, array in arrays.items() if name != "fc6.bias"
        } | change
        with pytest.raises(InputError, match=f"run/x does not fit this network: {words}"):
            State(net).restore(damaged, "run/x")
    for name, array in State(net).arrays().items():
        np.testing.assert_array_equal(array, before[name])


def test_data_damaged_in_the_middle_of_an_epoch_is_in_memory_by_then(
    tmp_path, shapes_folder, monkeypatch, assert_same
):
    data = shutil.copytree(shapes_folder, tmp_path / "data")
    train(tmp_path / "whole", "--data-root", data)
    learning_rate = train_pcrnet.schedules.learning_rate

    def damaging(config, step, steps):
        if step == steps // 2 + 1:
            (data / "ply_data_train0.h5").write_bytes(b"hello")
        return learning_rate(config, step, steps)

    monkeypatch.setattr(train_pcrnet.schedules, "learning_rate", damaging)
    train(tmp_path / "run", "--data-root", data)
    assert_same(tmp_path / "whole", tmp_path / "run")
    with pytest.raises(InputError, match=r"ply_data_train0\.h5 cannot be read as HDF5"):
        train(tmp_path / "next", "--data-root", data)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_where_one_is_asked_for(tmp_path):
    with pytest.raises(InputError, match="--device cuda: process 0 here has no GPU"):
        train(tmp_path / "out", "--device", "cuda")


def test_processes_that_cannot_share_a_batch(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(InputError, match="--batch-size 8 is no multiple of the 3 processes"):
        train(tmp_path / "out")


def test_a_finished_run_is_kept(tmp_path, capsys):
    train(tmp_path / "run")
    before = (tmp_path / "run" / "last.safetensors").read_bytes()
    train(tmp_path / "run", "--resume")
    assert "is finished" in capsys.readouterr().out
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == before
    with pytest.raises(InputError, match="already holds a run"):
        train(tmp_path / "run")


def test_presets_are_read():
    for preset in PRESETS:
        path = ROOT / "registration" / "configs" / f"{preset}.yaml"
        config = settings.load(train_pcrnet.Config, ["--config", str(path)])
    assert (config.epochs, config.batch_size, config.lr, config.pairs) == (500, 32, 1e-3, 5000)
