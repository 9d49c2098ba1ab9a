"""What a training step is given: pictures of some models, and what is to be learnt from them."""

import numpy as np

from options import Config
from samplenet.data import cameras
from samplenet.data.views.models import Models
from samplenet.errors import InputError
from samplenet.runs.streams import Stream, generator


class TrainingData:
    """The batches of a run. Each depends on the step and the seed, not on those before it.

    Raises:
        InputError: a model has no true cloud, and --supervision points needs it.
    """

    def __init__(self, config: Config, models: Models):
        self.config, self.models = config, models
        self.poses = np.float32(cameras.to_dpc(models.extrinsics))  # (n, views, 4)
        without = [name for name, truth in zip(models.ids, models.truths, strict=True) if not truth]
        if config.supervision == "points" and without:
            raise InputError(
                f"--supervision points needs the true cloud of every model, and {len(without)} of "
                f"{len(models)} have none, as {without[0]}; give --supervision camera or none"
            )

    def batch(self, step: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what step number `step` learns from the models of these rows (B,).

        Returns:
            pictures: (B, V, S, S, 4) uint8 on white, the mask behind the colours: V of each
                model's by chance.
            known: their poses (B, V, 4), or points of the true clouds (B, N, 3) that supervise.
        """
        config, models = self.config, self.models
        rng = generator(config.seed, Stream.VIEWS, step)
        order = rng.permuted(np.tile(np.arange(config.num_views), (len(rows), 1)), axis=1)
        chosen = rows[:, None], order[:, : config.views_per_step]  # (B, 1), (B, V)
        pictures = np.concatenate([models.images[chosen], models.masks[chosen][..., None]], -1)
        if config.supervision == "points":
            truths = [models.truths[row] for row in rows]
            return pictures, np.stack([t.some_points(config.num_points, rng) for t in truths])
        return pictures, self.poses[chosen]
