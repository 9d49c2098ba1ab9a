"""How well a network in training does on held-out models, and the clouds that it predicts then."""

import io

import numpy as np

import camera
import losses
from options import Config
from samplenet import distances
from samplenet.atomic import write_atomic
from samplenet.data import cameras
from samplenet.data.views.models import Models
from samplenet.runs.training import Training

KEPT = 2  # models whose clouds are kept
# epochs after which they are: 1, 2, 5, 10, 20 ...
MOMENTS = {k * 10**power for power in range(6) for k in (1, 2, 5)}


def scores(net, config: Config, models: Models) -> dict[str, float]:
    """Measure the silhouettes of held-out models.

    Differs from training, where one picture's cloud is drawn from the poses of others: each
    picture's own cloud is drawn from its own pose, the predicted or the known one.

    Returns:
        validation_silhouette_loss: of all points, with the last sigma;
        validation_chamfer: the distance of clouds from the first picture, not squared, if a network
            with supervision predicts them in the frame of the true clouds.
    """
    poses = np.float32(cameras.to_dpc(models.extrinsics))  # (n, V, 4)
    silhouette, chamfer = [], []
    for i, truth in enumerate(models.truths):
        found = net(np.float32(models.images[i] / 255))
        pose = poses[i] if found.pose is None else found.pose
        drawn = camera.render(
            config,
            found.points,
            pose,
            config.sigma_end,
            found.scale,
            translation=found.translation,
        ).silhouette
        wanted = losses.shrink(config, np.float32(models.masks[i, :, None, ..., None] / 255))
        silhouette.append(losses.image_loss(drawn[:, None], wanted[..., 0]))
        if truth and config.supervision != "none":
            chamfer.append(sum(distances.error(found.points[0], truth.points)))
    measured = {"validation_silhouette_loss": np.mean(silhouette)}
    return measured | ({"validation_chamfer": np.mean(chamfer)} if chamfer else {})


def keep_clouds(net, models: Models, training: Training) -> None:
    """Write predicted clouds to <run>/snapshots/<epoch>.npz after epochs 1, 2, 5 … and the last.

    The file has points (2, N, 3) of the first models, from their first picture, and their ids (2,).
    """
    epoch = training.epoch + 1
    if epoch in MOMENTS or training.last:
        images = np.float32(models.images[:KEPT, 0] / 255)
        content = io.BytesIO()
        np.savez_compressed(content, points=net(images).points, ids=models.ids[:KEPT])
        path = training.run.folder / "snapshots" / f"{epoch:05d}.npz"
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, content.getvalue())
