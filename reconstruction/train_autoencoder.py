"""Train the task network: an autoencoder of four classes of ShapeNet or of the built-in shapes.

    python reconstruction/train_autoencoder.py --config reconstruction/configs/quick.yaml \\
        --out results/autoencoder
"""

from dataclasses import dataclass

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import numpy as np
import tensorflow as tf

import autoencoder
from samplenet.data import batches, shapenet
from samplenet.runs import schedules
from samplenet.runs.script import main
from samplenet.runs.settings import DataConfig, option
from samplenet.runs.training import Training
from samplenet.tf.replicas import Replicas
from samplenet.tf.state import State


@dataclass
class Config(DataConfig):
    """The defaults are the published settings."""

    epochs: int = 500
    batch_size: int = 50
    lr: float = 5e-4
    num_points: int = 2048
    shapes_per_class: int = option(
        200, "built-in shapes a class: 85 % train, 5 % validate, 10 % test", at_least=10
    )
    classes: list[str] = option(
        ["chair", "table", "car", "airplane"],
        "names of classes, or synsets (in YAML between quotes)",
    )
    skip_bad: bool = option(False, "leave out clouds that cannot be used, and say which")
    loss: str = option(
        "chamfer",
        "distance to the reconstruction; 'emd' is approximate and slow",
        choices=tuple(autoencoder.DISTANCES),
    )
    xla: bool = option(False, "compile the step with XLA, which has none of the native ops")


def train(config: Config) -> None:
    peers = Replicas(config.batch_size, config.deterministic)
    keras.utils.set_random_seed(config.seed)
    # the test split too: a damaged cloud there must not wait for the evaluation to be noticed
    splits = [autoencoder.open_clouds(config, split).points for split in shapenet.SPLITS]
    clouds, validation, _ = splits
    rows = np.arange(len(clouds))
    steps = range(config.epochs * batches.steps_per_epoch(rows, config.batch_size))
    # looked up in the compiled step: a GPU would wait while Python sets them
    lr = [schedules.learning_rate(config, step, len(steps)) for step in steps]
    with peers.scope():
        net = autoencoder.build(config.num_points)
        optimizer = keras.optimizers.Adam(config.lr)
        # now, not in the first step: a continued run restores these variables before it
        optimizer.build(net.trainable_variables)

    def train_step(points):
        optimizer.learning_rate.assign(tf.gather(lr, optimizer.iterations))
        with tf.GradientTape() as tape:
            loss = autoencoder.task_loss(net(points, training=True), points, config.loss)
            share = loss / peers.count  # the devices' gradients are added up
        optimizer.apply(tape.gradient(share, net.trainable_variables))
        return loss

    train_step = peers.compiled(train_step, config.xla)

    def load(step, rows):
        return peers.spread(clouds[rows])

    with Training(config, peers, State(net, optimizer)) as training:
        for epoch in training.epochs():
            order = batches.of_epoch(rows, config.batch_size, config.seed, epoch)
            for _, batch in training.steps(order, load):
                training.add(train_step(*batch))
            scores = {}
            if training.judging:
                errors = autoencoder.errors(net, validation, config.batch_size, config.loss)
                scores[f"validation_{config.loss}"] = errors.mean()
            training.end_epoch((f"train_{config.loss}",), lr=lr[training.step - 1], **scores)


if __name__ == "__main__":
    main(train, Config, __doc__)
