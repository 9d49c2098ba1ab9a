"""Train SampleNet (or S-NET with --no-projection) in front of a frozen, trained classifier.

    python classification/train_samplenet.py --config classification/configs/quick.yaml \\
        --task results/classifier --sample-sizes 32 --out results/samplenet-32

Several sizes (--sample-sizes 8 16 32 --gamma 0.5 --delta 0.0333333, as published) train
SampleNet-Progressive, or ProgressiveNet: one sampler whose first c points serve every size c.

The sampler is trained on the classifier's own training clouds.
"""

from dataclasses import dataclass, field

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import numpy as np
import tensorflow as tf

import pointnet
from samplenet.data import batches
from samplenet.ops.tf import fan_out
from samplenet.runs import schedules
from samplenet.runs.script import main
from samplenet.runs.settings import SamplerConfig, option
from samplenet.runs.training import Training
from samplenet.sampled import in_order
from samplenet.tf import SampleNet, projection_loss, set_momentum, simplification_loss
from samplenet.tf.replicas import Replicas
from samplenet.tf.state import State


@dataclass
class Config(SamplerConfig):
    """The defaults are the published settings."""

    sample_sizes: list[int] = field(default_factory=lambda: [32])
    k: int = 7
    alpha: float = 30.0
    lmbda: float = 1.0
    output_batch_norm: bool = option(True, "batch norm after the sampler's last layer")
    epochs: int = 500
    lr: float = 1e-2
    lr_decay: float = 0.7
    lr_decay_samples: int = 600_000
    bn_decay_samples: int = option(
        600_000, "clouds between the steps of the batch norm momentum", at_least=1
    )
    xla: bool = option(False, "compile the step with XLA, which has none of the native ops")


def build(config: Config, num_points: int) -> SampleNet:
    """Build the sampler that the settings describe, for clouds of `num_points`."""
    sampler = SampleNet(
        config.largest_size(num_points),
        config.k,
        projection=config.projection,
        output_batch_norm=config.output_batch_norm,
        name="sampler",
    )
    sampler(np.zeros((1, num_points, 3), np.float32))  # Keras makes the weights at the first call
    return sampler


def train(config: Config) -> None:
    peers = Replicas(config.batch_size, config.deterministic)
    with peers.scope():
        net, names, task_config = pointnet.load_task(config.task)
        # here: the sampler's first weights do not depend on how many the classifier drew
        keras.utils.set_random_seed(config.seed)
        sampler = build(config, task_config.num_points)
        optimizer = keras.optimizers.Adam(config.lr)
        # now, not in the first step: a continued run restores these variables before it
        optimizer.build(sampler.trainable_variables)
    clouds, _ = pointnet.open_clouds(config, task_config, names, "train")
    # the classifier's own split: no network was trained on what is held out
    rows, held_out = batches.hold_out(clouds, task_config.hold_out, task_config.seed)
    steps = range(config.epochs * batches.steps_per_epoch(rows, config.batch_size))
    # looked up in the compiled step: a GPU would wait while Python sets them
    lr = [schedules.learning_rate(config, step, len(steps)) for step in steps]
    bn_momentum = [schedules.bn_momentum(config, step) for step in steps]
    sizes = config.sample_sizes
    size_weight = 1 / len(sizes) if config.over_sizes == "mean" else 1.0

    def train_step(points, labels):
        optimizer.learning_rate.assign(tf.gather(lr, optimizer.iterations))
        set_momentum(sampler, tf.gather(bn_momentum, optimizer.iterations))
        with tf.GradientTape() as tape:
            sampled = sampler(points, training=True)
            samples = fan_out(sampled.points, len(sizes))
            queries = fan_out(sampled.queries, len(sizes))
            size_losses = []
            for m, sample, simplified in zip(sizes, samples, queries, strict=True):
                task, logits = pointnet.task_loss(net, sample[:, :m], labels, training=False)
                simplify = simplification_loss(
                    simplified[:, :m], points, config.beta, config.gamma, config.delta
                )
                right = keras.metrics.sparse_categorical_accuracy(labels, logits)
                size_losses.append([task, simplify, tf.reduce_mean(right)])
            reduction = [size_weight, size_weight, 1 / len(sizes)]
            task, simplify, accuracy = tf.unstack(tf.reduce_sum(size_losses, 0) * reduction)
            project = projection_loss(sampler)
            loss = task + config.alpha * simplify + config.lmbda * project
            share = loss / peers.count  # the devices' gradients are added up
        optimizer.apply(tape.gradient(share, sampler.trainable_variables))
        return tf.stack([loss, task, simplify, project, accuracy])

    train_step = peers.compiled(train_step, config.xla)

    def load(step, rows):
        return peers.spread(clouds.points[rows], clouds.labels[rows])

    def matched_accuracy():
        matched = in_order(sampler, clouds.points[held_out], max(sizes), config.batch_size)
        labels, batch_size = clouds.labels[held_out], config.batch_size
        return np.mean([pointnet.accuracy(net, matched[:, :m], labels, batch_size) for m in sizes])

    parts = ("loss", "task_loss", "simplification_loss", "projection_loss", "soft_accuracy")
    card = {"sizes": sizes, "num_points": task_config.num_points, "normalisation": "unit_sphere"}
    with Training(config, peers, State(sampler, optimizer), config.task, card=card) as training:
        for epoch in training.epochs():
            order = batches.of_epoch(rows, config.batch_size, config.seed, epoch)
            for _, batch in training.steps(order, load):
                training.add(train_step(*batch))
            scores = {}
            if training.judging and len(held_out):
                scores["held_out_accuracy"] = matched_accuracy()
            training.end_epoch(parts, lr=lr[training.step - 1], **scores)


if __name__ == "__main__":
    main(train, Config, __doc__)
