"""Time a training step of the autoencoder with native ops, framework ops, and no Chamfer distance.

    python reconstruction/bench.py --num-points 2048 --batch-size 50

Random clouds, untrained networks: the work is the same.
"""

from dataclasses import dataclass

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import numpy as np
import tensorflow as tf

import autoencoder
from samplenet.ops import use_native
from samplenet.runs.environment import environment
from samplenet.runs.script import main
from samplenet.runs.settings import option
from samplenet.timing import in_turns


@dataclass
class Config:
    num_points: int = option(2048, "points of each cloud, N", at_least=1)
    batch_size: int = option(50, "clouds a step, B", at_least=1)
    steps: int = option(3, "steps a turn", at_least=1)
    turns: int = option(5, "turns whose median is the time", at_least=1)


def squared_error(reconstruction, points):
    """Compute a loss that takes next to no time, in place of the Chamfer distance."""
    return tf.reduce_mean(tf.square(reconstruction - points))


def make_turn(config: Config, loss, native: bool):
    """Compile a training step of a new network, native ops or not; return a turn of steps."""
    net = autoencoder.build(config.num_points)
    optimizer = keras.optimizers.Adam(1e-4)
    optimizer.build(net.trainable_variables)
    shape = (config.batch_size, config.num_points, 3)
    points = tf.constant(np.random.default_rng(0).random(shape, np.float32) - 0.5)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            value = loss(net(points, training=True), points)
        optimizer.apply(tape.gradient(value, net.trainable_variables))
        return value

    use_native(native)
    step()  # traces: the choice of ops stays in the graph
    use_native(True)

    def turn():
        for _ in range(config.steps):
            value = step()
        value.numpy()  # wait until the steps are done

    return turn


def measure(config: Config) -> None:
    """Print the milliseconds of each step."""
    keras.utils.set_random_seed(0)
    turns = {
        "native": make_turn(config, autoencoder.task_loss, True),
        "framework": make_turn(config, autoencoder.task_loss, False),
        "without": make_turn(config, squared_error, True),
    }
    times = in_turns(turns, config.turns)
    native, framework, without = (1e3 * seconds.median / config.steps for seconds in times.values())
    print(
        f"B {config.batch_size}, N {config.num_points}: a step of the autoencoder "
        f"{native:.0f} ms with native ops, {framework:.0f} ms with framework ops, "
        f"{without:.0f} ms without the Chamfer distance, so its share is "
        f"{100 * (1 - without / native):.0f} % and {100 * (1 - without / framework):.0f} %; "
        f"native ops: {environment()['native_ops']}"
    )


if __name__ == "__main__":
    main(measure, Config, __doc__)
