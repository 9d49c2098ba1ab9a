"""Train a network that predicts a cloud, and the camera if it is not known, from one picture.

    python shape_and_pose/train_shapes.py --config shape_and_pose/configs/quick.yaml \\
        --supervision none --out results/unsupervised
"""

import samplenet.quiet_tensorflow  # noqa: F401

import keras
import numpy as np
import tensorflow as tf

import camera
import losses
import networks
import validation
from options import Config
from samplenet.data import batches
from samplenet.data.views.models import open_models
from samplenet.ops import tf as ops
from samplenet.runs import schedules
from samplenet.runs.script import main
from samplenet.runs.training import Training
from samplenet.tf.replicas import Replicas
from samplenet.tf.state import State
from training_data import TrainingData


def train(config: Config) -> None:
    config.check()
    peers = Replicas(config.batch_size, config.deterministic)
    keras.utils.set_random_seed(config.seed)
    models, held_out = (open_models(config, split) for split in ("train", "val"))
    rows = np.arange(len(models))
    steps = np.arange(config.epochs * batches.steps_per_epoch(rows, config.batch_size))
    # looked up in the compiled step: a GPU would wait while Python sets them
    lr = [schedules.learning_rate(config, step, len(steps)) for step in steps]
    sigmas = losses.sigmas(config, steps / len(steps))
    counts = losses.points_kept(config, steps / len(steps))
    data = TrainingData(config, models)
    with peers.scope():
        net = networks.build(config)
        clip = config.clip_norm and config.clip_norm / peers.count  # of each device's share
        optimizer = keras.optimizers.Adam(config.lr, epsilon=1e-8, global_clipnorm=clip)
        # now, not in the first step: a continued run restores these variables before it
        optimizer.build(net.trainable_variables)

    def predict(images, known):
        """Predict clouds from each model's first picture, and poses (B, V, ...) if not known."""
        if config.supervision != "none":
            shape = net.shape(net.encode(images[:, 0]))
            return shape, networks.Pose(known[:, :, None], None, None)
        features = net.encode(tf.reshape(images, (-1, *images.shape[2:])))
        views = images.shape[1]
        return net.shape(features.of_first(views)), net.pose(features).by_model(views)

    def draw(shape, indices, quaternion, translation, sigma):
        """Draw the points of each cloud at these indices (B, V, ..., k), from a pose."""
        points = ops.gather(shape.points, indices)
        colours = None if shape.colours is None else ops.gather(shape.colours, indices)
        return camera.render(config, points, quaternion, sigma, shape.scale, colours, translation)

    def best_candidate(shape, pose, indices, sigma, masks):
        """Return which candidate's silhouette fits best, in hindsight (B, V)."""
        if pose.candidates.shape[2] == 1:
            return tf.zeros(masks.shape[:2], tf.int64)
        shift = None if pose.translation is None else pose.translation[:, :, None]
        drawn = draw(shape, indices, pose.candidates, shift, sigma).silhouette  # (B, V, C, D, D)
        return tf.argmin(losses.squared_errors(drawn, masks), -1)

    def train_step(pictures, known):
        step = optimizer.iterations
        optimizer.learning_rate.assign(tf.gather(lr, step))
        sigma, count = tf.gather(sigmas, step), tf.gather(counts, step)
        pictures = tf.cast(pictures, tf.float32) / 255
        masks, colours = losses.targets(config, pictures, sigma)
        with tf.GradientTape() as tape:
            shape, pose = predict(pictures[..., :3], known)
            student = 0.0
            if config.supervision == "points":
                loss = error = losses.cloud_loss(shape.points, known)
            else:
                copies = pose.candidates.shape[:-1]  # (B, V, C), each of other points
                indices = losses.choose_points(config.seed, step, copies, config.num_points, count)
                with tape.stop_recording():  # the loss is the winner's and moves nothing else
                    best = best_candidate(shape, pose, indices, sigma, masks)
                winner = tf.gather(pose.candidates, best, batch_dims=2)
                indices = tf.gather(indices, best, batch_dims=2)
                drawn = draw(shape, indices, winner, pose.translation, sigma)
                loss = error = losses.image_loss(drawn.silhouette, masks)
                if pose.student is not None:
                    student = losses.student_loss(pose.student, winner, config.student_loss)
                    loss += config.student_weight * student
                loss *= config.silhouette_weight
                if config.ray_weight:
                    loss += config.ray_weight * losses.ray_loss(drawn.silhouette, masks)
                if config.colours:
                    loss += config.colour_weight * losses.image_loss(drawn.colour, colours)
            loss += config.weight_decay * losses.squared_weights(net)
            share = loss / peers.count  # the devices' gradients are added up
        optimizer.apply(tape.gradient(share, net.trainable_variables))
        return tf.stack([loss, error, student])

    train_step = peers.compiled(train_step)

    def load(step, rows):
        return peers.spread(*data.batch(step, rows))

    kind = "chamfer" if config.supervision == "points" else "silhouette"
    names = ("train_loss", f"train_{kind}_loss", "train_student_loss")
    with Training(config, peers, State(net, optimizer)) as training:
        for epoch in training.epochs():
            order = batches.of_epoch(rows, config.batch_size, config.seed, epoch)
            for _, batch in training.steps(order, load):
                training.add(train_step(*batch))
            scores = validation.scores(net, config, held_out) if training.judging else {}
            if training.run:
                validation.keep_clouds(net, held_out, training)
            training.end_epoch(names, lr=lr[training.step - 1], **scores)


if __name__ == "__main__":
    main(train, Config, __doc__)
