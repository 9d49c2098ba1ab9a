"""Train the task network, PointNet or your own, on ModelNet40 or the built-in shapes.

    python classification/train_classifier.py --config classification/configs/quick.yaml \\
        --out results/classifier
"""

from dataclasses import dataclass

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import tensorflow as tf

import pointnet
from samplenet.data import batches, modelnet40
from samplenet.ops.tf import serves_layers
from samplenet.runs import schedules
from samplenet.runs.script import main
from samplenet.runs.settings import DataConfig, option
from samplenet.runs.streams import Stream, generator
from samplenet.runs.training import Training
from samplenet.tf import set_momentum
from samplenet.tf.replicas import Replicas
from samplenet.tf.state import State


@dataclass
class Config(DataConfig):
    """The defaults are the published settings."""

    model: str = option("pointnet", "task network: pointnet, vanilla, or your own as FILE.py:CLASS")
    epochs: int = 250
    lr: float = 1e-3
    lr_decay: float = 0.7
    lr_decay_samples: int = 200_000
    bn_decay_samples: int = option(
        200_000, "clouds between the steps of the batch norm momentum", at_least=1
    )
    rotate: bool = option(True, "turn each training cloud about the y axis")
    jitter: float = option(
        0.01, "standard deviation of the noise on training clouds (clipped at 0.05)", at_least=0
    )
    hold_out: float = option(0.1, "share of the training set that is held out", at_least=0, below=1)
    xla: bool | None = option(
        None, "compile the step with XLA; if unset: where the native pooled layer does not serve"
    )


def train(config: Config) -> None:
    config.model = pointnet.with_absolute_path(config.model)
    peers = Replicas(config.batch_size, config.deterministic)
    keras.utils.set_random_seed(config.seed)
    folder = batches.open_set(config.data_root, config.shapes_per_class)
    clouds = modelnet40.load(folder, "train", config.num_points)
    rows, held_out = batches.hold_out(clouds, config.hold_out, config.seed)
    steps = range(config.epochs * batches.steps_per_epoch(rows, config.batch_size))
    # looked up in the compiled step: a GPU would wait while Python sets them
    lr = [schedules.learning_rate(config, step, len(steps)) for step in steps]
    bn_momentum = [schedules.bn_momentum(config, step) for step in steps]
    with peers.scope():
        net = pointnet.build(config.model, len(clouds.names), config.num_points)
        optimizer = keras.optimizers.Adam(config.lr)
        # now, not in the first step: a continued run restores these variables before it
        optimizer.build(net.trainable_variables)

    def train_step(points, labels):
        optimizer.learning_rate.assign(tf.gather(lr, optimizer.iterations))
        set_momentum(net, tf.gather(bn_momentum, optimizer.iterations))
        with tf.GradientTape() as tape:
            loss, logits = pointnet.task_loss(net, points, labels, training=True)
            share = loss / peers.count  # the devices' gradients are added up
        optimizer.apply(tape.gradient(share, net.trainable_variables))
        right = keras.metrics.sparse_categorical_accuracy(labels, logits)
        return tf.stack([loss, tf.reduce_mean(right)])

    # XLA knows no native ops, and without them it is faster than TensorFlow's own layers
    xla = not serves_layers() if config.xla is None else config.xla
    train_step = peers.compiled(train_step, xla)

    def load(step, rows):
        rng = generator(config.seed, Stream.AUGMENTATION, step)
        points = batches.augment(clouds.points[rows], rng, config.rotate, config.jitter)
        return peers.spread(points, clouds.labels[rows])

    metadata = {"names": list(clouds.names)}
    with Training(config, peers, State(net, optimizer), metadata=metadata) as training:
        for epoch in training.epochs():
            order = batches.of_epoch(rows, config.batch_size, config.seed, epoch)
            for _, batch in training.steps(order, load):
                training.add(train_step(*batch))
            scores = {}
            if training.judging and len(held_out):
                points, labels = clouds.points[held_out], clouds.labels[held_out]
                share = pointnet.accuracy(net, points, labels, config.batch_size)
                scores["held_out_accuracy"] = share
            training.end_epoch(("loss", "train_accuracy"), lr=lr[training.step - 1], **scores)


if __name__ == "__main__":
    main(train, Config, __doc__)
