"""Soft projection, SampleNet and losses: the paper's equations, round trips, frozen networks."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from samplenet import InputError, Prefix, random_indices
from samplenet.ops import check_inputs, reference
from samplenet.runs.checkpoint import load_checkpoint, save_checkpoint
from samplenet.tf import (
    BatchNorm,
    FarthestPointSampler,
    RandomSampler,
    SampleNet,
    SoftProjection,
    projection_loss,
    set_momentum,
    simplification_loss,
)
from samplenet.tf.state import State

CLOUD = np.random.default_rng(0).normal(size=(4, 50, 3)).astype(np.float32)
SMALL = {"conv_widths": (8, 8), "fc_widths": (16,), "k": 4}


# projection


def test_projection_of_the_released_worked_example():
    points = np.array(
        [[1, 0, 0], [0, 1, 0], [0, 0, 1], [5, 4, 4], [4, 5, 4], [4, 4, 5], [8, 7, 7]], np.float32
    )
    out = SoftProjection(k=3)(points[None], np.zeros((1, 1, 3), np.float32))
    np.testing.assert_allclose(out, [[[1 / 3] * 3]], rtol=1e-6)


def test_projection_weights_are_the_softmax_of_distance_over_sigma():
    points, query = (
        np.array([[[0, 0, 0], [1, 0, 0]]], np.float32),
        np.array([[[0.25, 0, 0]]], np.float32),
    )
    out = SoftProjection(k=2, temperature=0.5)(points, query)
    near, far = np.exp(-(0.25**2) / 0.25), np.exp(-(0.75**2) / 0.25)
    np.testing.assert_allclose(out[0, 0, 0], far / (near + far), rtol=1e-6)


def test_features_are_propagated_by_the_weights_that_project_the_points():
    layer, queries, linear = (
        SoftProjection(k=4),
        CLOUD[:, :6] + 0.1,
        np.float32([[1, 0], [0, 2], [3, -1]]),
    )
    features = CLOUD @ linear  # what is linear in the points stays so
    np.testing.assert_allclose(
        layer.propagate(CLOUD, features, queries), layer(CLOUD, queries) @ linear, atol=1e-5
    )


def test_a_cold_projection_is_the_nearest_point():
    out = SoftProjection(k=5, temperature=1e-2)(CLOUD, CLOUD[:, :7] + 1e-3)
    np.testing.assert_allclose(out, CLOUD[:, :7], atol=1e-4)


def test_min_sigma_bounds_sigma():
    layer = SoftProjection(k=2, temperature=1e-3, min_sigma=0.04)
    layer(CLOUD, CLOUD[:, :2])
    assert float(layer.sigma) == pytest.approx(0.04)


def test_temperature_and_queries_get_gradients():
    layer = SoftProjection(k=4)
    layer(CLOUD, CLOUD[:, :3])
    queries = tf.Variable(CLOUD[:, :3] + 0.1)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(CLOUD, queries) ** 2)
    gradients = tape.gradient(loss, [queries, layer.trainable_variables[0]])
    assert all(float(tf.reduce_max(tf.abs(g))) > 0 for g in gradients)


# losses


def test_simplification_loss_by_eye():
    queries, points = (
        np.array([[[0, 0, 0], [3, 0, 0]]], np.float32),
        np.array([[[0, 0, 0], [1, 0, 0]]], np.float32),
    )
    # L_a(Q,P) = (0 + 4) / 2, L_m(Q,P) = 4, L_a(P,Q) = (0 + 1) / 2
    assert float(simplification_loss(queries, points)) == pytest.approx(2 + 4 + 0.5)
    assert float(
        simplification_loss(queries, points, beta=0, gamma=0.25, delta=0.5)
    ) == pytest.approx(2 + 1.25 * 0.5)


def test_maximum_is_taken_for_each_cloud_and_averaged():
    queries = np.array([[[2, 0, 0]], [[0, 0, 0]]], np.float32)
    assert float(
        simplification_loss(queries, np.zeros((2, 1, 3), np.float32), gamma=0)
    ) == pytest.approx(2 + 2)


def test_projection_loss_is_sigma_and_nothing_for_snet():
    sampler, snet = SampleNet(3, **SMALL), SampleNet(3, projection=False, **SMALL)
    sampler(CLOUD), snet(CLOUD)
    assert float(projection_loss(sampler)) == 1
    assert float(projection_loss(snet)) == 0


# SampleNet


def test_layer_sizes_are_the_published_ones():
    sampler = SampleNet(32)
    sampler(CLOUD)
    assert sum(int(np.prod(w.shape)) for w in sampler.trainable_weights) == pytest.approx(
        225_000, rel=0.01
    )
    shapes = {w.path.split("/", 1)[1]: tuple(w.shape) for w in sampler.weights}
    assert shapes["conv5/fc/kernel"] == (128, 128)
    assert shapes["fc4/fc/kernel"] == (256, 96)
    assert shapes["fc4/bn/gamma"] == (96,)


def test_training_projects_and_inference_matches():
    sampler = SampleNet(6, **SMALL)
    trained = sampler(CLOUD, training=True)
    assert trained.idx is None
    np.testing.assert_allclose(trained.points, sampler.project(CLOUD, trained.queries), rtol=1e-6)
    out = sampler(CLOUD, training=False)
    _, nearest = reference.knn(np.asarray(out.queries), CLOUD, 1)
    want = reference.farthest_points(CLOUD, 6, chosen=nearest[..., 0])
    np.testing.assert_array_equal(out.idx, want)
    np.testing.assert_array_equal(out.points, reference.gather(CLOUD, want))


def test_an_order_holds_every_sample_as_its_first_points():
    sampler = SampleNet(6, **SMALL)
    ordered, queries = sampler.order(CLOUD), sampler(CLOUD).queries
    idx = np.asarray(ordered.idx)
    assert (np.sort(idx) == np.arange(50)).all()  # the whole cloud, every point once
    np.testing.assert_array_equal(
        ordered.points, np.take_along_axis(np.asarray(CLOUD), idx[..., None], 1)
    )
    for size in (1, 3, 6, 20):
        np.testing.assert_array_equal(idx[:, :size], sampler.match(CLOUD, queries, size))
        one = Prefix(sampler, size)(CLOUD)
        np.testing.assert_array_equal(one.idx, idx[:, :size])
        np.testing.assert_array_equal(one.points, ordered.points[:, :size])
        if size <= 6:
            np.testing.assert_array_equal(one.queries, queries[:, :size])
        else:  # no simplified points beyond the m of the network
            assert one.queries is None
    with pytest.raises(InputError, match=r"SampleNet: points must have shape \(B, N, 3\)"):
        sampler.order(CLOUD[0])


def test_snet_hands_the_queries_to_the_task():
    out = SampleNet(6, projection=False, **SMALL)(CLOUD, training=True)
    np.testing.assert_array_equal(out.points, out.queries)


def test_output_orders_differ_by_a_transpose():
    first, second = SampleNet(5, **SMALL), SampleNet(5, output_order="3m", **SMALL)
    first(CLOUD), second(CLOUD)
    second.set_weights(first.get_weights())
    a, b = first.simplify(CLOUD), second.simplify(CLOUD)
    np.testing.assert_array_equal(np.reshape(a, (4, 3, 5)).transpose(0, 2, 1), b)


def test_the_whole_cloud_may_be_sampled():
    out = SampleNet(50, **SMALL)(CLOUD)
    assert [sorted(row) for row in np.asarray(out.idx).tolist()] == [list(range(50))] * 4


def test_eager_and_graph_agree():
    sampler = SampleNet(6, **SMALL)
    eager = sampler(CLOUD)
    graph = tf.function(lambda p: sampler(p), input_signature=[tf.TensorSpec((None, None, 3))])(
        CLOUD
    )
    np.testing.assert_array_equal(eager.idx, graph.idx)
    np.testing.assert_allclose(eager.queries, graph.queries, atol=1e-6)


@pytest.mark.parametrize(
    "changes", [{}, {"projection": False}, {"output_order": "3m", "fc_batch_norm": False}]
)
def test_keras_file_and_config_round_trip(tmp_path, changes):
    sampler = SampleNet(6, **SMALL, min_sigma=0.01, **changes)
    want = sampler(CLOUD)
    sampler.save(tmp_path / "sampler.keras")
    loaded = keras.models.load_model(tmp_path / "sampler.keras")
    assert loaded.get_config() == sampler.get_config()
    np.testing.assert_array_equal(loaded(CLOUD).idx, want.idx)
    sampler.save_weights(tmp_path / "sampler.weights.h5")
    fresh = SampleNet.from_config(sampler.get_config())
    fresh(CLOUD)
    fresh.load_weights(tmp_path / "sampler.weights.h5")
    np.testing.assert_allclose(fresh(CLOUD).queries, want.queries, atol=1e-6)


def test_state_round_trip_and_refusal_of_another_model(tmp_path):
    sampler, other = SampleNet(6, **SMALL), SampleNet(6, **SMALL)
    sampler(CLOUD), other(CLOUD)
    path = tmp_path / "s.safetensors"
    save_checkpoint(path, State(sampler).arrays(), {})
    State(other).restore(load_checkpoint(path)[0])
    np.testing.assert_array_equal(other(CLOUD).queries, sampler(CLOUD).queries)
    wider = SampleNet(7, **SMALL)
    wider(CLOUD)
    before = State(wider).arrays()
    with pytest.raises(
        InputError, match=r"s.safetensors does not fit this network: fc2.*\(16, 18\).*\(16, 21\)"
    ):
        State(wider).restore(load_checkpoint(path)[0], "s.safetensors")
    for name, value in State(wider).arrays().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("networks", [1, 2])
def test_every_variable_has_a_name_of_its_own(networks):
    for _ in range(networks):  # Keras numbers seed generators by process
        layers = [keras.layers.Dropout(0.3), keras.layers.Dense(2), keras.layers.Dropout(0.3)]
        net = keras.Sequential(layers, name="net")
        net(np.zeros((1, 3), np.float32))
    optimizer = keras.optimizers.SGD()
    optimizer.build(net.trainable_variables)
    assert len(State(net).arrays()) == 2
    state = State(net, optimizer).arrays()
    assert len(state) == len(net.variables) + len(optimizer.variables)
    assert {"seed/0", "seed/1"} <= set(state)


def test_a_frozen_task_network_stays_as_it_is():
    task = keras.Sequential([keras.layers.Dense(4), BatchNorm(), keras.layers.GlobalMaxPooling1D()])
    task(CLOUD)
    task.trainable = False
    sampler = SampleNet(6, **SMALL)
    sampler(CLOUD)
    before = [w.numpy().copy() for w in task.weights]
    optimizer = keras.optimizers.Adam(0.1)
    for _ in range(2):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(task(sampler(CLOUD, training=True).points, training=True) ** 2)
        gradients = tape.gradient(loss, sampler.trainable_variables)
        assert all(g is not None for g in gradients)
        optimizer.apply(gradients, sampler.trainable_variables)
    for old, new in zip(before, task.weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_few_steps_lower_the_loss():
    keras.utils.set_random_seed(0)
    sampler = SampleNet(6, **SMALL)
    sampler(CLOUD)
    optimizer, losses = keras.optimizers.Adam(0.02), []
    for _ in range(40):
        with tf.GradientTape() as tape:
            queries = sampler(CLOUD, training=True).queries
            loss = simplification_loss(queries, CLOUD)
        optimizer.apply(
            tape.gradient(
                loss, w := [v for v in sampler.trainable_variables if "project" not in v.path]
            ),
            w,
        )
        losses.append(float(loss))
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: SampleNet(0), "m must be.* got 0"),
        (
            lambda: SampleNet(2)(CLOUD.transpose(0, 2, 1)),
            r"^SampleNet: points must have shape .*got \(4, 3, 50\)$",
        ),
        (lambda: SampleNet(2)(CLOUD[0]), r"^SampleNet: points must have shape .*got \(50, 3\)$"),
        (
            lambda: SampleNet(51, **SMALL)(CLOUD),
            "^SampleNet: m must be at most N, got m = 51 for clouds of N = 50 points$",
        ),
        (
            lambda: SampleNet(4, k=51)(CLOUD, training=True),
            r"k must be in \[1, N\] = \[1, 50\], got 51",
        ),
        (lambda: SampleNet(4, output_order="xyz"), "xyz"),
        (lambda: SoftProjection(k=0), "k must be.* got 0"),
        (lambda: SoftProjection(min_sigma=-1.0), "min_sigma.* got -1"),
        (lambda: RandomSampler(51)(CLOUD), "got 51"),
        (lambda: FarthestPointSampler(51)(CLOUD), "got 51"),
    ],
)
def test_errors_name_the_value(make, words):
    with pytest.raises(InputError, match=words):
        make()


def test_inference_refuses_points_that_are_not_finite_and_training_does_not_look():
    check_inputs(False)
    sampler = SampleNet(6, **SMALL)
    for value in (np.nan, np.inf):
        points = CLOUD.copy()
        points[2, 3] = value
        for refusing in (sampler, Prefix(sampler, 3), RandomSampler(6), FarthestPointSampler(6)):
            with pytest.raises(
                InputError, match="^[A-Za-z]+: points holds NaN or infinite coordinates"
            ):
                refusing(points)
        assert sampler(points, training=True).idx is None
        assert tf.function(sampler)(points).idx.shape == (4, 6)


# batch norm


@pytest.mark.parametrize("shape", [(4, 10, 5), (8, 5)])
def test_batch_norm_equals_keras(shape):
    x = np.random.default_rng(1).normal(2, 3, shape).astype(np.float32)
    ours, theirs = (
        BatchNorm(epsilon=1e-3, momentum=0.8),
        keras.layers.BatchNormalization(epsilon=1e-3, momentum=0.8),
    )
    np.testing.assert_allclose(ours(x, training=True), theirs(x, training=True), atol=1e-5)
    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, rtol=1e-5)
    count = np.prod(shape[:-1])  # the fused kernel keeps the unbiased variance, as PyTorch does
    unbiased = 0.8 + (np.asarray(theirs.moving_variance) - 0.8) * count / (count - 1)
    np.testing.assert_allclose(ours.moving_variance, unbiased, rtol=1e-5)


def test_set_momentum_reaches_every_layer_of_a_traced_model():
    sampler = SampleNet(3, **SMALL)
    sampler(CLOUD)
    step = tf.function(lambda: sampler(CLOUD, training=True).queries)
    set_momentum(sampler, 1.0)
    before = State(sampler).arrays()["fc1/bn/moving_mean"].copy()
    step()
    np.testing.assert_array_equal(State(sampler).arrays()["fc1/bn/moving_mean"], before)
    set_momentum(sampler, 0.5)
    step()
    assert not np.array_equal(State(sampler).arrays()["fc1/bn/moving_mean"], before)


# baselines


def test_random_draws_depend_on_seed_and_cloud_only():
    whole = RandomSampler(5, seed=3)(CLOUD, np.arange(10, 14)).idx.numpy()
    alone = RandomSampler(5, seed=3)(CLOUD[2:3], np.array([12])).idx.numpy()
    np.testing.assert_array_equal(whole[2:3], alone)
    assert not np.array_equal(whole, RandomSampler(5, seed=4)(CLOUD, np.arange(10, 14)).idx.numpy())
    np.testing.assert_array_equal(random_indices(50, 3, 3, np.arange(10, 14)), whole[:, :3])


def test_samplers_return_input_points():
    for sampler in (RandomSampler(5), FarthestPointSampler(5)):
        out = sampler(CLOUD)
        np.testing.assert_array_equal(out.points, reference.gather(CLOUD, out.idx.numpy()))
        assert out.queries is None
        assert all(len(set(row)) == 5 for row in out.idx.numpy().tolist())
