"""The sampler's training in front of the autoencoder: sizes, losses, edge sizes."""

import numpy as np
import pytest

from samplenet import InputError
from samplenet.ops import check_inputs, reference
from samplenet.runs import settings
from samplenet.runs.checkpoint import load_checkpoint
from samplenet.runs.experiments import PRESETS
from samplenet.tf.state import State

TINY = "--batch-size 8 --epochs 2 --sample-sizes 6"


@pytest.fixture
def train(scripts, task, call_script):
    """Train a sampler in this process."""
    return lambda out, *flags: call_script(
        scripts.train_samplenet, TINY, "--task", task, "--out", out, *flags
    )


@pytest.mark.parametrize(
    "served, kind",
    [
        (False, "--projection"),
        pytest.param(True, "--projection", marks=pytest.mark.slow),
        pytest.param(False, "--no-projection", marks=pytest.mark.slow),
        pytest.param(True, "--no-projection", marks=pytest.mark.slow),
    ],
    indirect=["served"],
)
def test_gradients_of_several_sizes_are_added_in_one_order(train, tmp_path, served, kind):
    train(tmp_path, "--sample-sizes", 3, 6, 12, "--epochs", 1, "--k", 4, kind)


@pytest.mark.slow
def test_xla_compiles_the_step(train, tmp_path):
    train(tmp_path, "--epochs", 1, "--xla")


def test_layer_sizes_are_the_published_ones(scripts):
    config = scripts.train_samplenet.Config(sample_sizes=[64])
    arrays = State(scripts.train_samplenet.build(config, 2048)).arrays()
    kernels = [
        arrays[f"{layer}/fc/kernel"].size
        for layer in (*(f"conv{i}" for i in range(1, 6)), "fc1", "fc2", "fc3")
    ]
    assert kernels == [192, 8192, 16384, 32768, 32768, 32768, 65536, 49152]
    assert arrays["fc3/fc/bias"].size == 192
    assert {name.split("/")[0] for name in arrays if "/bn/" in name} == {
        f"conv{i}" for i in range(1, 6)
    }


def test_the_defaults_are_the_published_settings(scripts, monkeypatch):
    script = scripts.train_samplenet
    monkeypatch.setattr("sys.argv", [script.__file__])
    for preset in PRESETS:
        config = settings.load(
            script.Config, ["--config", str(scripts.folder / "configs" / f"{preset}.yaml")]
        )
    assert (config.epochs, config.batch_size, config.lr) == (400, 50, 5e-4)
    names = ("k", "alpha", "lmbda", "beta", "gamma", "delta", "min_sigma")
    assert [getattr(config, name) for name in names] == [16, 0.01, 1e-4, 1, 0, 1 / 64, 1e-4]
    sampler = script.build(config, 2048)
    assert (sampler.project.k, sampler.project.min_sigma) == (16, 1e-4)
    assert (sampler.settings.bn_epsilon, sampler.settings.bn_momentum) == (1e-5, 0.9)
    assert sampler.settings.output_order == "m3"


def test_a_run_learns_and_leaves_what_explains_it(tmp_path, train, metrics):
    train(tmp_path, "--epochs", 5)
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines] == [4, 8, 12, 16, 20]
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert (
        lines[-1]["projection_loss"] < lines[0]["projection_loss"] < 1
    )  # the temperature falls from 1
    _, meta = load_checkpoint(tmp_path / "last.safetensors")
    assert meta["done"]
    assert all(line["validation_nre"] > 0 for line in lines)


def test_the_loss_is_the_sum_of_its_parts(scripts, task):
    """The task loss compares the full input with the reconstruction from the sample."""
    script = scripts.train_samplenet
    net, task_config = scripts.autoencoder.load_task(str(task))
    config = script.Config(
        sample_sizes=[5], k=4, alpha=0.3, lmbda=0.2, beta=2.0, gamma=0.5, delta=0.1
    )
    sampler = script.build(config, 32)
    points = scripts.autoencoder.open_clouds(task_config, "train").points[:8]
    loss, *parts = script.losses(config, sampler, net, points, "chamfer").numpy()
    sampled = sampler(points, training=True)
    assert sampled.points.shape == (8, 5, 3)
    rebuilt = reference.chamfer(net(sampled.points, training=False).numpy(), points)
    near = reference.chamfer(sampled.queries.numpy(), points)
    simplify = near.a2b.mean() + 2.0 * near.a2b.max(1).mean() + (0.5 + 0.1 * 5) * near.b2a.mean()
    expected = [rebuilt.a2b.mean() + rebuilt.b2a.mean(), simplify, 1]  # the first temperature is 1
    np.testing.assert_allclose(parts, expected, rtol=1e-4)
    assert loss == pytest.approx(parts[0] + 0.3 * parts[1] + 0.2, rel=1e-5)


@pytest.mark.parametrize("over, share", [("sum", 1), ("mean", 1 / 3)])
def test_a_progressive_loss_adds_up_those_of_its_first_points(scripts, task, over, share):
    script = scripts.train_samplenet
    net, task_config = scripts.autoencoder.load_task(str(task))
    options = {"k": 4, "alpha": 0.3, "lmbda": 0.2, "gamma": 0.5, "delta": 0.1}
    sampler = script.build(script.Config(sample_sizes=[7]), 32)
    points = scripts.autoencoder.open_clouds(task_config, "train").points[:8]
    sampled = sampler(points, training=True)

    class First:
        """A sampler that gives the first m points of the same sample."""

        project = sampler.project

        def __init__(self, m):
            self.sampled = sampled._replace(
                points=sampled.points[:, :m], queries=sampled.queries[:, :m]
            )

        def __call__(self, points, training):
            return self.sampled

    def losses(sizes):
        config = script.Config(sample_sizes=sizes, over_sizes=over, **options)
        return script.losses(config, First(max(sizes)), net, points, "chamfer").numpy()

    together, apart = losses([2, 4, 7]), np.array([losses([m]) for m in (2, 4, 7)])
    np.testing.assert_allclose(together[1:3], share * apart[:, 1:3].sum(0), rtol=1e-5)
    assert together[3] == apart[0, 3]  # the projection loss counts once
    assert together[0] == pytest.approx(
        together[1] + 0.3 * together[2] + 0.2 * together[3], rel=1e-6
    )


def test_the_autoencoder_stays_as_it_is(scripts, task, train, tmp_path, monkeypatch):
    nets, load = [], scripts.autoencoder.load_task
    monkeypatch.setattr(
        scripts.autoencoder, "load_task", lambda folder: nets.append(load(folder)) or nets[-1]
    )
    train(tmp_path / "run")
    arrays, _ = load_checkpoint(task / "last.safetensors")
    for name, array in State(nets[0][0]).arrays().items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=name)


def test_the_clouds_are_the_autoencoders(scripts, task, train, tmp_path, monkeypatch):
    asked, load = [], scripts.autoencoder.open_clouds
    monkeypatch.setattr(
        scripts.autoencoder,
        "open_clouds",
        lambda c, split: asked.append((c, split)) or load(c, split),
    )
    train(tmp_path / "run", "--epochs", 1)
    assert [split for _, split in asked] == ["train", "val"]
    config = asked[0][0]
    assert (config.classes, config.shapes_per_class, config.num_points) == (
        ["chair", "car"],
        20,
        32,
    )


@pytest.mark.parametrize(
    "flags",
    [
        ["--no-projection"],
        ["--sample-sizes", "1", "--k", "1"],
        ["--k", "32"],
    ],
)
def test_options(tmp_path, train, flags, metrics):
    train(tmp_path / "run", *flags, "--epochs", 1)
    (line,) = metrics(tmp_path / "run")
    assert np.isfinite(line["loss"])
    assert load_checkpoint(tmp_path / "run" / "last.safetensors")[1]["done"]
    if "--no-projection" in flags:
        assert line["projection_loss"] == 0


def test_all_points_sampled_are_reconstructed_as_the_cloud_is(tmp_path, train, metrics):
    train(
        tmp_path / "run", "--sample-sizes", 32, "--epochs", 1
    )  # matched and completed: the whole cloud
    assert metrics(tmp_path / "run")[0]["validation_nre"] == pytest.approx(1, abs=1e-5)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(tmp_path, train):
    check_inputs(False)  # as in training
    with pytest.raises(
        InputError, match=r"the loss became (nan|inf) at step [1-3]; try a lower --lr"
    ):
        train(tmp_path / "run", "--lr", 1e30)
    assert not (tmp_path / "run" / "last.safetensors").exists()
