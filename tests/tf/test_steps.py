"""A training step that sets its learning rate and batch norm's momentum itself, compiled."""

from types import SimpleNamespace

import keras
import numpy as np
import tensorflow as tf

from samplenet.runs import schedules
from samplenet.tf import SampleNet, set_momentum
from samplenet.tf.replicas import Replicas
from samplenet.tf.state import State

STEPS = range(6)
# both change at every step
CONFIG = SimpleNamespace(lr_schedule="cosine", lr=1e-2, batch_size=4, bn_decay_samples=4)
LR = [schedules.learning_rate(CONFIG, step, len(STEPS)) for step in STEPS]
BN_MOMENTUM = [schedules.bn_momentum(CONFIG, step) for step in STEPS]
CLOUDS = np.random.default_rng(0).normal(size=(6, 4, 20, 3)).astype(np.float32)


def train(host_work, looks_up):
    """Train a sampler; return its state, and what the last step asked of the host."""
    keras.utils.set_random_seed(0)
    sampler = SampleNet(3, k=4, conv_widths=(16, 24), fc_widths=(16,))
    sampler(CLOUDS[0])
    optimizer = keras.optimizers.Adam(CONFIG.lr)
    optimizer.build(sampler.trainable_variables)
    peers = Replicas(CONFIG.batch_size)

    @peers.compiled
    def train_step(points):
        if looks_up:
            optimizer.learning_rate.assign(tf.gather(LR, optimizer.iterations))
            set_momentum(sampler, tf.gather(BN_MOMENTUM, optimizer.iterations))
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(sampler(points, training=True).points))
        optimizer.apply(tape.gradient(loss, sampler.trainable_variables))
        return loss

    for step in STEPS:
        with host_work() as work:
            batch = peers.spread(CLOUDS[step])
            if not looks_up:  # as the training scripts did it before
                optimizer.learning_rate.assign(LR[step])
                set_momentum(sampler, BN_MOMENTUM[step])
            train_step(*batch)
    return State(sampler, optimizer).arrays(), work


def test_a_step_that_looks_its_numbers_up_trains_the_same_and_asks_a_third_of_the_host(host_work):
    (before, asked), (after, asks) = train(host_work, False), train(host_work, True)
    assert before.keys() == after.keys() and len({*LR}) == len({*BN_MOMENTUM}) == len(STEPS)
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array, err_msg=name)
    assert asks == {"operations": 1, "tensors": 1}  # the step and its batch
    assert 3 * asks.total() <= asked.total()
