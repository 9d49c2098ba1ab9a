"""The autoencoder: published sizes, what it must not depend on, and its losses, its benchmark."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

import autoencoder
from samplenet.ops import reference
from samplenet.tf.layers import BatchNorm
from samplenet.tf.state import State

CLOUD = np.random.default_rng(0).normal(size=(5, 40, 3)).astype(np.float32)


def test_layer_sizes_are_the_published_ones():
    sizes = {name: array.size for name, array in State(autoencoder.build(2048)).arrays().items()}
    expected = {}
    for i, (kernel, width) in enumerate(
        ((192, 64), (8192, 128), (16384, 128), (32768, 256), (32768, 128)), 1
    ):
        expected |= {f"conv{i}/fc/kernel": kernel, f"conv{i}/fc/bias": width}
        expected |= {
            f"conv{i}/bn/{part}": width
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        }
    for name, kernel, bias in (
        ("fc1/fc", 32768, 256),
        ("fc2/fc", 65536, 256),
        ("points", 1572864, 6144),
    ):
        expected |= {f"{name}/kernel": kernel, f"{name}/bias": bias}
    assert sizes == expected


def test_batch_norm_constants_are_the_published_ones():
    norms = [
        layer for layer in autoencoder.build(8)._flatten_layers() if isinstance(layer, BatchNorm)
    ]
    assert [(norm.epsilon, norm.momentum) for norm in norms] == [(1e-5, 0.9)] * 5


def test_any_number_of_points_in_any_order_becomes_n_points():
    net = autoencoder.build(24)
    assert net(CLOUD).shape == net(CLOUD[:, :7]).shape == (5, 24, 3)
    np.testing.assert_allclose(net(CLOUD), net(CLOUD[:, ::-1]), atol=1e-6)
    assert np.abs(net(CLOUD) - net(CLOUD[:, :7])).max() > 1e-3
    assert net(CLOUD).numpy().min() < 0 < net(CLOUD).numpy().max()  # the last layer is linear


def test_chamfer_is_the_sum_of_both_means_of_squared_distances():
    near, far = [[[0.0, 0, 0]]], [[[1.0, 0, 0], [2.0, 0, 0]]]
    np.testing.assert_allclose(autoencoder.chamfer_distance(near, far), [1 + (1 + 4) / 2])


def test_chamfer_of_clouds_against_the_reference():
    other = CLOUD[::-1, :30]
    expected = reference.chamfer(CLOUD, other)
    expected = expected.a2b.mean(1) + expected.b2a.mean(1)
    np.testing.assert_allclose(autoencoder.chamfer_distance(CLOUD, other), expected, rtol=1e-5)
    assert float(autoencoder.task_loss(other, CLOUD)) == pytest.approx(expected.mean(), rel=1e-5)


def test_the_other_loss_is_emd():
    moved = CLOUD[:, ::-1] + np.float32([0, 0.6, 0.8])
    assert float(autoencoder.task_loss(moved, CLOUD, "emd")) == pytest.approx(1, rel=1e-2)


@pytest.mark.parametrize("loss", autoencoder.DISTANCES)
def test_errors_are_of_every_cloud_whatever_the_batch_size(loss):
    net = autoencoder.build(40)
    expected = autoencoder.DISTANCES[loss](net(CLOUD), CLOUD)
    for batch_size in (2, 5, 100):
        # TensorFlow rounds differently in another batch size, and EMD's last temperature
        # multiplies the difference by 1000
        np.testing.assert_allclose(
            autoencoder.errors(net, CLOUD, batch_size, loss), expected, rtol=1e-3
        )


def test_errors_of_samples_are_of_their_reconstructions_against_all_points():
    net = autoencoder.build(40)
    found = autoencoder.errors(net, CLOUD, 2, samples=CLOUD[:, :6])
    np.testing.assert_allclose(
        found, autoencoder.chamfer_distance(net(CLOUD[:, :6]), CLOUD), rtol=1e-5
    )


def test_the_benchmark_prints_its_figures(scripts, capsys):
    scripts.bench.measure(SimpleNamespace(num_points=32, batch_size=4, steps=1, turns=2))
    assert re.search(
        r"B 4, N 32: a step of the autoencoder \d+ ms with native ops, \d+ ms",
        capsys.readouterr().out,
    )
