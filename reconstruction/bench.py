"""Time a training step of the autoencoder and its Chamfer distance: native ops, framework ops, none, in turns.

python reconstruction/bench.py --num-points 2048 --batch-size 50

Random clouds, untrained networks: the work is the same.
"""

import argparse
import statistics
import time

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import numpy as np
import tensorflow as tf

import autoencoder
from samplenet.ops import use_native
from samplenet.runs import settings
from samplenet.runs.environment import environment
from samplenet.runs.script import main


def squared_error(reconstruction, points):
    """A loss that costs next to nothing, in place of the Chamfer distance."""
    return tf.reduce_mean(tf.square(reconstruction - points))


def make_step(flags, loss, native: bool):
    """A compiled training step of a network of its own, traced with or without native ops."""
    net = autoencoder.build(flags.num_points)
    optimizer = keras.optimizers.Adam(1e-4)
    optimizer.build(net.trainable_variables)
    points = tf.constant(np.random.default_rng(0).random((flags.batch_size, flags.num_points, 3), np.float32) - 0.5)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            value = loss(net(points, training=True), points)
        optimizer.apply(tape.gradient(value, net.trainable_variables), net.trainable_variables)
        return value

    use_native(native)
    step()  # traced here
    use_native(True)
    return step


def measure(flags) -> None:
    keras.utils.set_random_seed(0)
    steps = {
        "native": make_step(flags, autoencoder.task_loss, True),
        "framework": make_step(flags, autoencoder.task_loss, False),
        "without": make_step(flags, squared_error, True),
    }
    found = {name: [] for name in steps}
    for _ in range(flags.turns):
        for name, step in steps.items():
            begin = time.perf_counter()
            for _ in range(flags.steps):
                value = step()
            value.numpy()
            found[name].append(1e3 * (time.perf_counter() - begin) / flags.steps)
    native, framework, without = (statistics.median(times) for times in found.values())
    print(
        f"B {flags.batch_size}, N {flags.num_points}: a step of the autoencoder {native:.0f} ms with native ops, "
        f"{framework:.0f} ms with framework ops, {without:.0f} ms without the Chamfer distance, so its share is "
        f"{100 * (1 - without / native):.0f} % and {100 * (1 - without / framework):.0f} %; "
        f"native ops: {environment()['native_ops']}"
    )


def arguments() -> argparse.Namespace:
    """The flags, checked."""
    parser = settings.Parser(description=__doc__.splitlines()[0])
    for name, value in (("num-points", 2048), ("batch-size", 50), ("steps", 3), ("turns", 5)):
        parser.add_argument(f"--{name}", type=int, default=value, help="(default: %(default)s)")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    flags = parser.parse_args()
    settings.at_least(flags, num_points=1, batch_size=1, steps=1, turns=1)
    return flags


if __name__ == "__main__":
    main(lambda: measure(arguments()))
