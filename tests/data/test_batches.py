"""From a data set to batches."""

from pathlib import Path

import numpy as np
import pytest

from samplenet.data import batches
from samplenet.data.clouds import Clouds

CLOUDS = Clouds(np.zeros((20, 4, 3), np.float32), np.zeros(20, np.int64), ("a",), [""] * 20)


def test_every_cloud_is_held_out_or_trained_on():
    train, held_out = batches.hold_out(CLOUDS, 0.1, seed=0)
    assert len(held_out) == 2
    assert sorted([*train, *held_out]) == list(range(20))
    assert not np.array_equal(held_out, batches.hold_out(CLOUDS, 0.1, seed=1)[1])
    assert len(batches.hold_out(CLOUDS, 0, seed=0)[1]) == 0


def test_batches_are_full_distinct_and_shuffled_anew_by_epoch():
    rows = np.arange(10, 20)
    first, second = (batches.of_epoch(rows, 4, 0, epoch) for epoch in (0, 1))
    assert first.shape == (2, 4) == (batches.steps_per_epoch(rows, 4), 4)
    assert len(set(first.ravel())) == 8 and set(first.ravel()) <= set(rows)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, batches.of_epoch(rows, 4, 0, 0))


def test_turning_keeps_height_and_distance_from_the_axis():
    points = np.random.default_rng(0).normal(size=(5, 30, 3)).astype(np.float32)
    turned = batches.augment(points, np.random.default_rng(1), rotate=True, jitter=0)
    np.testing.assert_array_equal(turned[..., 1], points[..., 1])
    radius = [np.linalg.norm(p[..., [0, 2]], axis=-1) for p in (points, turned)]
    np.testing.assert_allclose(*radius, rtol=1e-5)
    gram, turned_gram = points[0] @ points[0].T, turned[0] @ turned[0].T
    np.testing.assert_allclose(turned_gram, gram, atol=1e-5)  # one rotation a cloud
    assert not np.allclose(turned, points)


def test_jitter_is_small_and_clipped():
    points = np.zeros((2, 5000, 3), np.float32)
    noise = batches.augment(points, np.random.default_rng(0), rotate=False, jitter=0.01)
    assert noise.std() == pytest.approx(0.01, rel=0.05)
    clipped = batches.augment(points, np.random.default_rng(0), rotate=False, jitter=1.0)
    assert np.abs(clipped).max() == np.float32(0.05)
    assert noise.dtype == np.float32


def test_the_built_in_shapes_go_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("SAMPLENET_DATA", str(tmp_path))
    folder = batches.open_set(None, 1)
    assert folder.parent == tmp_path and (folder / "train_files.txt").is_file()
    assert batches.open_set("elsewhere", 1).name == "elsewhere"


def test_only_scripts_of_a_checkout_make_data_beside_themselves(tmp_path, monkeypatch):
    monkeypatch.delenv("SAMPLENET_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = Path(__file__).parents[2]
    monkeypatch.setattr("sys.argv", [str(root / "classification" / "train_classifier.py")])
    assert batches.own_folder() == root / "data"
    monkeypatch.setattr("sys.argv", [str(tmp_path / "bin" / "samplenet")])
    assert batches.own_folder() == tmp_path / "cache" / "samplenet"
