"""The task networks: published sizes, what they must not depend on, the orthogonality loss."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import pointnet
from samplenet import InputError

CLOUD = np.random.default_rng(0).normal(size=(3, 40, 3)).astype(np.float32)


@pytest.mark.parametrize("model, count", [("pointnet", 3_480_000), ("vanilla", 820_000)])
def test_parameter_counts_are_the_published_ones(model, count):
    net = pointnet.build(model, 40)
    assert sum(int(np.prod(w.shape)) for w in net.trainable_weights) == pytest.approx(
        count, rel=0.005
    )


@pytest.mark.parametrize("model", pointnet.MODELS)
def test_the_order_of_the_points_makes_no_difference(model):
    net = pointnet.build(model, 5)
    np.testing.assert_allclose(net(CLOUD), net(CLOUD[:, ::-1]), atol=1e-5)


def test_transforms_start_as_the_identity_and_cost_nothing():
    net = pointnet.build("pointnet", 5)
    np.testing.assert_allclose(net.input_transform(CLOUD), np.tile(np.eye(3), (3, 1, 1)), atol=1e-6)
    assert float(net.forward(CLOUD)[1]) == pytest.approx(0, abs=1e-6)


def test_orthogonality_loss_is_half_the_squared_defect_over_the_batch():
    net = pointnet.build("pointnet", 5)
    net.feature_transform.last.bias.assign(2 * np.eye(64, dtype=np.float32).ravel())
    logits, own = net.forward(CLOUD)
    assert float(own) == pytest.approx(0.001 * 3 * 64 * (4 - 1) ** 2 / 2, rel=1e-5)
    labels = np.array([0, 1, 2])
    want = own + tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    assert float(pointnet.task_loss(net, CLOUD, labels, training=False)[0]) == pytest.approx(
        float(want)
    )


def test_vanilla_has_no_loss_of_its_own():
    net = pointnet.build("vanilla", 5)
    labels = np.array([0, 1, 2])
    logits = net(CLOUD)
    want = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    loss, again = pointnet.task_loss(net, CLOUD, labels, training=False)
    assert float(loss) == pytest.approx(float(want))
    np.testing.assert_array_equal(again, logits)


def test_dropout_of_both_or_of_the_last_hidden_layer():
    assert [d.rate for d in pointnet.build("pointnet", 5).dropouts] == [0.3, 0.3]
    assert [d.rate for d in pointnet.build("vanilla", 5).dropouts] == [0, 0.3]


@pytest.mark.parametrize("model", pointnet.MODELS)
def test_the_last_layer_makes_logits_of_the_descriptor(model):
    net = pointnet.build(model, 5)
    descriptor, own = net.describe(CLOUD)
    assert descriptor.shape == (3, 256) and np.min(descriptor) == 0  # after the ReLU
    logits, again = net.forward(CLOUD)
    np.testing.assert_array_equal(net.last(descriptor), logits)
    assert float(own) == float(again)


def test_greedy_samplers_see_what_the_t_nets_see():
    net, rng = pointnet.PointNet(5), np.random.default_rng(0)
    net(CLOUD)
    for t_net in (net.input_transform, net.feature_transform):  # with zeros, always the identity
        t_net.last.kernel.assign(0.01 * rng.normal(size=t_net.last.kernel.shape))
    whole = tf.reduce_max(net.late_features(net.early_features(CLOUD)), 1)
    own, first, second = tf.split(whole, 3, -1)
    np.testing.assert_allclose(net.from_pooled(own), net.describe(CLOUD)[0], atol=1e-5)
    turned = net.input_transform(CLOUD)
    np.testing.assert_allclose(net.input_transform.from_pooled(first), turned, atol=1e-5)

    # clouds that the T-Nets take for each other, and the network for themselves
    mixed = tf.concat([own, first[::-1], second[::-1]], -1)
    apart = tf.reduce_sum((turned - turned[::-1]) ** 2, [1, 2])
    inner = net.feature_transform.from_pooled(second)
    apart += tf.reduce_sum((inner - inner[::-1]) ** 2, [1, 2])
    least = net.discrepancy(whole, whole)  # the entropy of the answer
    share = tf.nn.softmax(net(CLOUD))
    np.testing.assert_allclose(least, -tf.reduce_sum(share * tf.math.log(share), 1), rtol=1e-4)
    assert np.min(np.sort(apart)[1:]) > 1e-3
    np.testing.assert_allclose(net.discrepancy(mixed, whole) - least, apart, rtol=1e-3, atol=1e-5)


def test_unknown_model():
    with pytest.raises(
        InputError, match="must be pointnet, vanilla or FILE.py:CLASS, got 'resnet'"
    ):
        pointnet.build("resnet", 5)


def test_a_training_step_has_the_same_numbers_under_xla():
    # there the pooled layers are the framework's own
    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)  # of the weights
    clouds, labels = rng.normal(size=(8, 64, 3)).astype(np.float32), np.arange(8) % 5
    net = pointnet.PointNet(5, dropout=0.0)
    net(clouds)
    for t_net in (net.input_transform, net.feature_transform):  # zeros stop their gradients
        t_net.last.kernel.assign(0.01 * rng.normal(size=t_net.last.kernel.shape))

    def step(clouds):
        with tf.GradientTape() as tape:
            loss, _ = pointnet.task_loss(net, clouds, labels, training=True)
        return loss, *tape.gradient(loss, net.trainable_variables)

    plain, compiled = tf.function(step), tf.function(step, jit_compile=True)
    for want, got in zip(plain(clouds), compiled(clouds), strict=True):
        # as a whole: rounding may send a single channel's gradient to another point
        assert tf.norm(got - want) <= 1e-2 * tf.norm(want) + 1e-4
