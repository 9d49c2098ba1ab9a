"""What is scored: the clouds and poses of networks, and of two baselines that train nothing."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from samplenet import distances
from samplenet.data import cameras
from samplenet.data.views.models import Models
from samplenet.runs import networks

PIXELS = 64  # a side of the silhouettes that are compared, where they have more
AT_ONCE = 256  # silhouettes compared with all others at a time


class Predicted(NamedTuple):
    """What a method predicts for n models, from each of V pictures.

    Attributes:
        points: (n, V, N, 3) in the object frame; V is 1 where it is the same for all pictures.
        poses: (n, V, 4), see `cameras.to_dpc`; None of a method without.
        scale: (n, V), factor of the occupancies; None without a network.
        translation: (n, V, 3) of the turned cloud; None without.
    """

    points: NDArray[np.float32]
    poses: NDArray[np.float64] | None = None
    scale: NDArray[np.float32] | None = None
    translation: NDArray[np.float32] | None = None


def predict(net, models: Models, batch_size: int) -> Predicted:
    """Predict from every picture of every model, in the network's own frame."""

    def needed(images):
        found = net(images)
        return found.points, found.pose, found.scale, found.translation

    return Predicted(*networks.predict(needed, models.images, batch_size))


def mean_cloud(train: Models, test: Models, num_points: int, seed: int) -> Predicted:
    """Predict one cloud for all: points drawn from all training clouds together."""
    clouds = [truth.points for truth in train.truths if truth is not None]
    cloud = distances.mean_cloud(clouds, num_points, np.random.default_rng(seed))
    return Predicted(np.broadcast_to(cloud, (len(test), 1, *cloud.shape)))


def nearest_silhouette(train: Models, test: Models, num_points: int, seed: int) -> Predicted:
    """Predict the model and the camera of the training picture with the nearest silhouette.

    Silhouettes are compared by intersection over union. The cloud is the training model's true one,
    as it stands in the object frame, of which `num_points` are drawn; the test camera is not used.
    """
    rng = np.random.default_rng(seed)
    known = np.array([i for i, truth in enumerate(train.truths) if truth is not None])
    views = train.masks.shape[1]
    which = nearest_masks(_silhouettes(train.masks[known]), _silhouettes(test.masks))
    which = which.reshape(test.masks.shape[:2])  # (n, V), indices of pictures
    model, view = known[which // views], which % views
    clouds = {i: train.truths[i].some_points(num_points, rng) for i in np.unique(model)}
    points = np.stack([np.stack([clouds[i] for i in line]) for line in model])
    return Predicted(points, cameras.to_dpc(train.extrinsics[model, view]))


def nearest_masks(masks: NDArray[np.bool_], queries: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the index (m,) of the mask (n, P) with the largest IoU with each query (m, P)."""
    masks = masks.astype(np.float32)
    area, found = masks.sum(1), []
    for start in range(0, len(queries), AT_ONCE):
        part = queries[start : start + AT_ONCE].astype(np.float32)
        common = part @ masks.T  # (m, n)
        either = part.sum(1)[:, None] + area - common
        found.append(np.argmax(common / np.maximum(either, 1), 1))
    return np.concatenate(found)


def _silhouettes(masks: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Flatten masks (n, V, S, S) to (n V, P): whether more than half of a pixel is covered."""
    size = masks.shape[-1]
    step = max(1, size // PIXELS)
    side = size // step
    masks = masks[..., : side * step, : side * step].reshape(-1, side, step, side, step)
    return masks.mean((2, 4)).reshape(len(masks), side * side) > 127.5
