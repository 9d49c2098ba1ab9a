"""Train the network that predicts an object's points from one image, by views of it alone.

    python feature_rendering/train_points.py --config feature_rendering/configs/quick.yaml \\
        --features rgb --out results/rgb
"""

from dataclasses import dataclass

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import numpy as np
import tensorflow as tf

import losses
import networks
import targets
from camera import to_pixels
from samplenet.data import batches
from samplenet.data.cameras import differ_frame
from samplenet.data.views.models import Models, ViewsConfig, open_models
from samplenet.distances import error
from samplenet.ops import tf as ops
from samplenet.runs import schedules
from samplenet.runs.script import main
from samplenet.runs.settings import option
from samplenet.runs.training import Training
from samplenet.tf.replicas import Replicas
from samplenet.tf.state import State


@dataclass
class Config(ViewsConfig):
    """The defaults are DIFFER's published settings; the experiment's paper preset has CAPNet's."""

    epochs: int = option(
        5, "passes over all pairs of model and input view; DIFFER: 199,999 steps, 4.2", at_least=1
    )
    batch_size: int = option(1, "pairs of model and input view per step, B", at_least=1)
    lr: float = 5e-5
    image_size: int = 64
    num_views: int = 10
    num_points: int = option(1024, "points predicted of each object, N", at_least=1)
    features: str = option(
        "rgb",
        "what points have beside their place: nothing (CAPNet), colours (DIFFER), scores of parts",
        choices=("mask", "rgb", "parts"),
    )
    parts: int = option(4, "parts of an object, with --features parts", at_least=1, at_most=254)
    supervision: str = option(
        "images",
        "views of the object, or points of its surface, the upper reference",
        choices=("images", "points"),
    )
    network: str = option(
        "small", "DIFFER's, or CAPNet's large one", choices=tuple(networks.STRUCTURE)
    )
    views_per_step: int = option(4, "views that a prediction is compared with, V", at_least=1)
    views: str = option(
        "random",
        "which V of the views: at random, the first (published), or only the input's own",
        choices=targets.CHOICES,
    )
    mask_weight: float = option(1.0, "of L_M (published: run_train_rgb.sh, 1)", at_least=0)
    affinity: str = option(
        "released", "form of L_aff, see losses.py", choices=tuple(losses.AFFINITY)
    )
    affinity_weight: float = option(1.0, "of L_aff (published: run_train_rgb.sh, 1)", at_least=0)
    colour_weight: float = option(
        1.0, "of L_C (published: run_train_rgb.sh, 1; default of its flag, 10)", at_least=0
    )
    label_weight: float = option(10.0, "of L_S (published: default of its flag, 10)", at_least=0)
    variance: float = option(
        0.4, "of a point in a mask, in square pixels (DIFFER 0.4, CAPNet 0.5)", above=0
    )
    radius: float = option(1.0, "of the well around a pixel that shows features", above=0)
    beta: float = option(100.0, "sharpness of depth: how much nearer points count", above=0)


def compare(config: Config, found, cameras, views) -> dict[str, tf.Tensor]:
    """Draw a prediction as the cameras see it; return its losses by name.

    Args:
        found: `networks.Prediction` of B objects.
        cameras: (B, V, 4, 4).
        views: `targets.Views`, what the cameras saw.
    """
    asked, size = losses.weights(config), config.image_size
    pixels = tf.reshape(to_pixels(found.points, cameras, size), (-1, config.num_points, 3))
    sums = ops.project_mask(pixels, size, size, config.variance, before_tanh=True)
    terms = {"mask": losses.mask_loss(sums, views.masks)}
    if "affinity" in asked:
        terms["affinity"] = losses.affinity_loss(sums, views.masks, config.affinity)

    def draw(features):  # (B, N, C) -> in each view (B V, S, S, C)
        features = tf.repeat(features, cameras.shape[1], 0)
        return ops.project_features(pixels, features, size, size, config.radius, config.beta)

    if "rgb" in asked:
        terms["rgb"] = losses.rgb_loss(draw(found.colours).features, views.images)
    if "labels" in asked:
        terms["labels"] = losses.label_loss(draw(found.scores), views.labels)
    return terms


def train(config: Config) -> None:
    peers = Replicas(config.batch_size, config.deterministic)
    keras.utils.set_random_seed(config.seed)
    models, validation = (open_models(config, split) for split in ("train", "val"))
    data = targets.Pairs(models, config)
    rows = np.arange(len(data))
    steps = range(config.epochs * batches.steps_per_epoch(rows, config.batch_size))
    # looked up in the compiled step: a GPU would wait while Python sets them
    lr = [schedules.learning_rate(config, step, len(steps)) for step in steps]
    with peers.scope():
        net = networks.build(config)
        # the published epsilon: gradients of a mean over all pixels are small
        optimizer = keras.optimizers.Adam(config.lr, epsilon=1e-8)
        # now, not in the first step: a continued run restores these variables before it
        optimizer.build(net.trainable_variables)

    weights = losses.weights(config)

    def train_step(pictures, truth):
        optimizer.learning_rate.assign(tf.gather(lr, optimizer.iterations))
        images, views = targets.unpack(pictures)
        with tf.GradientTape() as tape:
            found = net(images, training=True)
            if config.supervision == "points":
                terms = {"chamfer": losses.cloud_loss(found.points, truth)}
            else:
                terms = compare(config, found, truth, views)  # truth: the views' cameras
            loss = sum(weight * terms[name] for name, weight in weights.items())
            share = loss / peers.count  # the devices' gradients are added up
        optimizer.apply(tape.gradient(share, net.trainable_variables))
        return tf.stack([loss, *(terms[name] for name in weights)])

    train_step = peers.compiled(train_step)
    pick = data.with_clouds if config.supervision == "points" else data.with_views

    def load(step, rows):
        return peers.spread(*pick(step, rows))

    with Training(config, peers, State(net, optimizer)) as training:
        for epoch in training.epochs():
            order = batches.of_epoch(rows, config.batch_size, config.seed, epoch)
            for _, batch in training.steps(order, load):
                training.add(train_step(*batch))
            scores = {}
            if training.judging:
                scores = chamfer(net, validation, config.batch_size)
            training.end_epoch(("loss", *weights), lr=lr[training.step - 1], **scores)


def chamfer(net, models: Models, batch_size: int) -> dict[str, float]:
    """Return the Chamfer distance, not squared, of the points predicted from first views.

    It is `validation_chamfer`, the mean over the models with a true cloud; {} if none has one.
    """
    images, errors = models.on_black()[:, 0], []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size].astype(np.float32) / 255
        truths = models.truths[start : start + batch_size]
        for points, truth in zip(net(batch).points.numpy(), truths, strict=True):
            if truth is not None:
                errors.append(sum(error(points, differ_frame(truth.points))))
    return {"validation_chamfer": np.mean(errors)} if errors else {}


if __name__ == "__main__":
    main(train, Config, __doc__)
