"""Counting a graph's work, timing in turns, peak memory, fresh processes."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from samplenet import InputError, timing
from samplenet.tf import cost
from samplenet.tf.layers import Block

MANY = 200 << 20  # bytes


def ones(*shape):
    return tf.ones(shape)


def loop(x):
    return tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y @ ones(3, 3)), (0, x))[1]


def counted_loop(x):
    turn = (lambda i, y: i < 3, lambda i, y: (i + 1, y @ ones(3, 3)))
    return tf.while_loop(*turn, (0, x), maximum_iterations=3)[1]


@tf.function
def inner(x):
    return x @ ones(3, 11)


@pytest.mark.parametrize(
    "function, shape, macs",
    [
        (lambda x: x @ ones(3, 5), (2, 3), 2 * 3 * 5),
        (lambda x: tf.matmul(x, ones(7, 2), transpose_a=True, transpose_b=True), (2, 3), 3 * 2 * 7),
        (lambda x: tf.matmul(x, ones(4, 3, 5)), (4, 2, 3), 4 * 2 * 3 * 5),
        (lambda x: tf.matmul(x, x, transpose_a=True), (4, 2, 3), 4 * 3 * 2 * 3),
        (lambda x: tf.matmul(x, x, transpose_b=True), (4, 2, 3), 4 * 2 * 3 * 2),
        (lambda x: tf.einsum("bnc,cd->bnd", x, ones(3, 5)), (4, 2, 3), 4 * 2 * 3 * 5),
        (
            lambda x: tf.nn.conv2d(x, ones(3, 3, 2, 6), 1, "VALID"),
            (1, 5, 7, 4),
            3 * 5 * 6 * (3 * 3 * 2),
        ),  # two groups
        (lambda x: tf.nn.conv1d(x, ones(1, 3, 5), 1, "SAME"), (4, 2, 3), 4 * 2 * 3 * 5),
        (lambda x: inner(x) + inner(x), (2, 3), 2 * 2 * 3 * 11),
        (counted_loop, (2, 3), 3 * 2 * 3 * 3),
        (lambda x: tf.map_fn(lambda row: row[None] @ ones(3, 5), x), (2, 3), 2 * 3 * 5),
        (lambda x: tf.add_n([x @ ones(3, 5)] * 3), (2, 3), 2 * 3 * 5),  # done once
        (lambda x: (x + 1, x @ ones(3, 5))[0], (2, 3), 0),  # the result does not need it
        (lambda x: tf.reduce_sum(tf.square(x[:, None] - x[:, :, None])), (4, 2, 3), 0),
    ],
)
def test_multiply_adds_by_hand(function, shape, macs):
    assert cost.count(function, shape) == (0, macs)


def test_parameters_are_counted_once_frozen_or_not_without_running_statistics():
    block, unused = Block(5), Block(4)
    block.build((None, 5)), unused.build((None, 5))
    wanted = 5 * 5 + 5 + 2 * 5  # kernel, bias, gamma and beta
    assert cost.count(lambda x: block(block(x)), (2, 5)) == (wanted, 2 * 2 * 5 * 5)
    block.trainable = False
    assert cost.count(block, (2, 5)).parameters == wanted


@pytest.mark.parametrize(
    "function, words",
    [
        (loop, "within a branch, or a loop of unknown length"),
        (
            lambda x: tf.nn.depthwise_conv2d(x[None, ..., None], ones(1, 1, 1, 1), [1] * 4, "SAME"),
            "DepthwiseConv2dNat",
        ),
        (lambda x: tf.einsum("...c,cd->...d", x, ones(3, 5)), "kind not known here, Einsum"),
        (
            lambda x: tf.boolean_mask(x, x[:, 0] > 0) @ ones(3, 5),
            r"unknown size \(None, 3\), \(3, 5\): not",
        ),
    ],
)
def test_what_cannot_be_counted_is_an_error(function, words):
    with pytest.raises(InputError, match=words):
        cost.count(function, (2, 3))


def test_times_are_medians_of_turns_after_a_warm_up(monkeypatch):
    calls, durations = [], {"a": [50, 50, 1, 9, 2], "b": [70, 70, 4, 5, 30]}
    clock = [0.0]

    def work(key):
        clock[0] += durations[key][calls.count(key)]
        calls.append(key)
        return np.zeros(1)

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock[0])
    assert cost.seconds({"a": lambda: work("a"), "b": lambda: work("b")}, 3) == {"a": 2, "b": 5}
    assert calls == ["a", "b"] * 5


def peaks():
    """Measure work that holds MANY bytes at once, and then work that holds nothing."""
    np.ones(2 * MANY, np.uint8)

    def work():
        for _ in range(3):  # one after the other
            np.ones(MANY, np.uint8)
        return np.zeros(1)

    return cost.peak_memory(work, lambda: None), cost.peak_memory(lambda: np.zeros(1), work)


@pytest.mark.skipif(not os.access(cost.CLEAR, os.W_OK), reason=f"{cost.CLEAR} cannot be written")
def test_peak_memory_is_what_is_held_at_once_and_forgets_what_came_before():
    # in a process of its own: scripts that other tests run keep freed memory and use it again
    much, nothing = cost.in_fresh_process(peaks)
    assert much == pytest.approx(MANY, rel=0.05)
    assert nothing < MANY / 20


def test_peak_memory_of_a_gpu_is_above_what_was_in_use(monkeypatch):
    state = {"current": 100, "peak": 5000}
    monkeypatch.setattr(
        tf.config.experimental,
        "reset_memory_stats",
        lambda gpu: state.update(peak=state["current"]),
    )
    monkeypatch.setattr(tf.config.experimental, "get_memory_info", lambda gpu: dict(state))
    warm = []

    def work():
        assert warm == [1]
        state["peak"] = 170
        return np.zeros(1)

    assert cost.peak_memory(work, lambda: warm.append(1), "GPU:0") == 70


def test_a_fresh_process_is_another_and_its_end_is_told():
    assert cost.in_fresh_process(os.getpid) != os.getpid()
    with pytest.raises(InputError, match="a process that measures was killed"):
        cost.in_fresh_process(os._exit, 9)
    with pytest.raises(ZeroDivisionError):
        cost.in_fresh_process(divmod, 1, 0)


def test_a_keras_model_counts_as_a_function():
    model = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2, use_bias=False)]
    )
    assert cost.count(model, (5, 4)) == (4 * 3 + 3 + 3 * 2, 5 * (4 * 3 + 3 * 2))
