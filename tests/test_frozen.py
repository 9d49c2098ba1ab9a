"""The library's task networks in NumPy, and the greedy rule: as the frameworks have them."""

import importlib

import numpy as np
import pytest

import samplenet
from samplenet import InputError, frozen
from samplenet.console import pick
from samplenet.data import shapes
from samplenet.pretrained import task_card, task_folder
from samplenet.runs.checkpoint import load_checkpoint, save_checkpoint

NAMES = tuple(frozen.KINDS)
PACKAGES = {
    "classification": ("pointnet", "tensorflow"),
    "reconstruction": ("autoencoder", "tensorflow"),
    "registration": ("pcrnet", "torch"),
}


def clouds(name):
    """Return two clouds (2, N, 3) as the task network `name` takes them, in float64."""
    n, kinds = task_card(name)["num_points"], ("chair", "car")
    points = [shapes.generate(kind, 0, split="test", num_points=n) for kind in kinds]
    return samplenet.normalise(points, task_card(name)["normalisation"]).astype(np.float64)


class Frozen:
    """The experiment's own network with the library's weights, in float64; NumPy in and out."""

    def __init__(self, name):
        module, self.package = PACKAGES[name]
        self.framework = pytest.importorskip(self.package, reason=f"{module} needs it")
        module = importlib.import_module(module)
        if self.package == "torch":
            self.network = module.load_task(task_folder(name))[0].double()
            return
        keras = importlib.import_module("keras")
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy("float64")
        try:
            self.network = module.load_task(task_folder(name))[0]
        finally:
            keras.config.set_dtype_policy(policy)

    def array(self, tensor):
        return (tensor.detach() if self.package == "torch" else tensor).numpy()

    def tensor(self, array):
        return self.framework.as_tensor(array) if self.package == "torch" else array

    def choose(self, points, m):
        kind = "torch" if self.package == "torch" else "tf"
        sampler = importlib.import_module(f"samplenet.{kind}").GreedySampler(self.network, m)
        return np.asarray(sampler(self.tensor(points)).idx)


@pytest.mark.parametrize("name", NAMES)
def test_the_numpy_network_and_its_choice_are_those_of_the_framework(name):
    own, points, net = Frozen(name), clouds(name), frozen.load(name, np.float64)
    early = own.network.early_features(own.tensor(points))
    expected = own.array(own.network.late_features(early))  # (2, N, F)
    features = np.stack([net.late_features(net.early_features(cloud)) for cloud in points])
    np.testing.assert_allclose(features, expected, atol=1e-9)
    pooled, whole = features[:, :16].max(1), features.max(1)
    expected = own.array(own.network.discrepancy(own.tensor(pooled), own.tensor(whole)))
    found = [net.discrepancy(*pair)[0] for pair in zip(pooled, whole, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    chosen = np.stack([frozen.choose(net, cloud, 24) for cloud in points])
    assert all(len({*row}) == 24 for row in chosen.tolist())
    np.testing.assert_array_equal(chosen, own.choose(points, 24))


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_that_of_finite_differences(name):
    net, rng, step = frozen.load(name, np.float64), np.random.default_rng(0), 1e-6
    features = net.late_features(net.early_features(clouds(name)[0]))
    whole, pooled = features.max(0), features[:8].max(0) + rng.uniform(0, 0.01, features.shape[1])
    _, gradient = net.discrepancy(pooled, whole)
    assert np.abs(gradient).max() > 0
    for _ in range(5):
        direction = rng.normal(size=len(pooled))
        up, down = (net.discrepancy(pooled + s * direction, whole)[0] for s in (step, -step))
        np.testing.assert_allclose((up - down) / (2 * step), gradient @ direction, rtol=1e-4)


def test_a_choice_begins_with_that_of_fewer_points_and_serves_better_than_farthest_points():
    """In float32, as the console has it."""
    net, (cloud, _) = frozen.load("classification"), clouds("classification")
    cloud = cloud.astype(np.float32)
    chosen = frozen.choose(net, cloud, 16)
    assert net.early_features(cloud).dtype == np.float32
    features = net.late_features(net.early_features(cloud))
    left, before = (
        net.discrepancy(features[idx].max(0), features.max(0))[0]
        for idx in (chosen, pick.farthest_points(cloud, 16))
    )
    assert left < before
    np.testing.assert_array_equal(frozen.choose(net, cloud, 4), chosen[:4])


def test_a_network_with_other_parts_is_refused(tmp_path):
    path = task_folder("classification") / "last.safetensors"
    with pytest.raises(InputError, match="lacks 'points/kernel' of Reconstruction"):
        frozen.Reconstruction(path)
    arrays, meta = load_checkpoint(path)
    save_checkpoint(tmp_path / "more.safetensors", {**arrays, "t_net/fc/kernel": np.eye(3)}, meta)
    with pytest.raises(InputError, match="has t_net/fc/kernel, which Classification has not"):
        frozen.Classification(tmp_path / "more.safetensors")
    with pytest.raises(InputError, match="no task network 'cars'"):
        frozen.load("cars")
