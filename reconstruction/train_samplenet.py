"""Train SampleNet (or S-NET with --no-projection) in front of a frozen, trained autoencoder.

    python reconstruction/train_samplenet.py --config reconstruction/configs/quick.yaml \\
        --task results/autoencoder --sample-sizes 64 --out results/samplenet-64

Several sizes (--sample-sizes 16 32 64) train SampleNet-Progressive, or ProgressiveNet: one sampler
whose first c points serve every size c.

The sampler is trained on the autoencoder's own training clouds and with its loss: the distance from
the full input to the reconstruction from the sample.
"""

from dataclasses import dataclass

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import numpy as np
import tensorflow as tf

import autoencoder
from samplenet.data import batches
from samplenet.ops.tf import fan_out
from samplenet.runs import schedules
from samplenet.runs.script import main
from samplenet.runs.settings import SamplerConfig, option
from samplenet.runs.training import Training
from samplenet.sampled import in_order
from samplenet.tf import SampleNet, projection_loss, simplification_loss
from samplenet.tf.replicas import Replicas
from samplenet.tf.state import State


@dataclass
class Config(SamplerConfig):
    """The defaults are the published settings."""

    batch_size: int = 50
    over_sizes: str = "mean"
    k: int = 16
    min_sigma: float = option(1e-4, "least squared temperature of the soft projection", at_least=0)
    alpha: float = 0.01
    lmbda: float = 1e-4
    gamma: float = 0.0
    delta: float = 1 / 64
    epochs: int = 400
    lr: float = 5e-4
    xla: bool = option(False, "compile the step with XLA, which has none of the native ops")


def build(config: Config, num_points: int) -> SampleNet:
    """Build the sampler that the settings describe, for clouds of `num_points`."""
    sampler = SampleNet(
        config.largest_size(num_points),
        config.k,
        min_sigma=config.min_sigma,
        projection=config.projection,
        conv_widths=(64, 128, 128, 256, 128),
        fc_widths=(256, 256),
        fc_batch_norm=False,
        output_batch_norm=False,
        bn_epsilon=1e-5,
        name="sampler",
    )
    sampler(np.zeros((1, num_points, 3), np.float32))  # Keras makes the weights at the first call
    return sampler


def losses(config: Config, sampler: SampleNet, net, points, task_loss: str) -> tf.Tensor:
    """Compute a batch's loss and its parts, task, simplification and projection: (B, N, 3) -> (4,).

    Differs from the released code, whose frozen autoencoder normalises by the statistics of each
    batch: here by those it has stored, as in the other two tasks.
    """
    sampled, sizes = sampler(points, training=True), config.sample_sizes
    samples, queries = fan_out(sampled.points, len(sizes)), fan_out(sampled.queries, len(sizes))
    size_losses = []
    for m, sample, simplified in zip(sizes, samples, queries, strict=True):
        task = autoencoder.task_loss(net(sample[:, :m], training=False), points, task_loss)
        simplify = simplification_loss(
            simplified[:, :m], points, config.beta, config.gamma, config.delta
        )
        size_losses.append([task, simplify])
    size_weight = 1 / len(sizes) if config.over_sizes == "mean" else 1.0
    task, simplify = tf.unstack(size_weight * tf.reduce_sum(size_losses, 0))
    project = projection_loss(sampler)
    loss = task + config.alpha * simplify + config.lmbda * project
    return tf.stack([loss, task, simplify, project])


def train(config: Config) -> None:
    peers = Replicas(config.batch_size, config.deterministic)
    keras.utils.set_random_seed(config.seed)
    with peers.scope():
        net, task_config = autoencoder.load_task(config.task)
        sampler = build(config, task_config.num_points)
        optimizer = keras.optimizers.Adam(config.lr)
        # now, not in the first step: a continued run restores these variables before it
        optimizer.build(sampler.trainable_variables)
    task_config.data_root = config.data_root or task_config.data_root
    clouds = autoencoder.open_clouds(task_config, "train").points
    validation = autoencoder.open_clouds(task_config, "val").points
    rows, sizes = np.arange(len(clouds)), config.sample_sizes
    steps = range(config.epochs * batches.steps_per_epoch(rows, config.batch_size))
    # looked up in the compiled step: a GPU would wait while Python sets them
    lr = [schedules.learning_rate(config, step, len(steps)) for step in steps]

    def train_step(points):
        optimizer.learning_rate.assign(tf.gather(lr, optimizer.iterations))
        with tf.GradientTape() as tape:
            measured = losses(config, sampler, net, points, task_config.loss)
            share = measured[0] / peers.count  # the devices' gradients are added up
        optimizer.apply(tape.gradient(share, sampler.trainable_variables))
        return measured

    train_step = peers.compiled(train_step, config.xla)

    def load(step, rows):
        return peers.spread(clouds[rows])

    def errors(samples=None):
        """Measure the validation clouds' errors, (n,), rebuilt from samples or from all points."""
        return autoencoder.errors(net, validation, config.batch_size, task_config.loss, samples)

    parts = ("loss", "task_loss", "simplification_loss", "projection_loss")
    card = {"sizes": sizes, "num_points": task_config.num_points, "normalisation": "box_diagonal"}
    with Training(config, peers, State(sampler, optimizer), config.task, card=card) as training:
        # once: neither the autoencoder nor the validation clouds change
        full_errors = errors() if training.run and not training.done else None
        for epoch in training.epochs():
            order = batches.of_epoch(rows, config.batch_size, config.seed, epoch)
            for _, batch in training.steps(order, load):
                training.add(train_step(*batch))
            scores = {}
            if training.judging:
                matched = in_order(sampler, validation, max(sizes), config.batch_size)
                matched_errors = np.mean([errors(matched[:, :m]) for m in sizes], 0)
                scores[f"validation_{task_config.loss}"] = matched_errors.mean()
                scores["validation_nre"] = np.mean(matched_errors / full_errors)
            training.end_epoch(parts, lr=lr[training.step - 1], **scores)


if __name__ == "__main__":
    main(train, Config, __doc__)
