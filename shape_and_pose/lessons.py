"""What a training step is given: pictures of some models, and what is to be learnt from them."""

import numpy as np
from scipy.ndimage import gaussian_filter

import losses
from options import Config
from samplenet.data import cameras
from samplenet.data.views.models import Models
from samplenet.errors import InputError
from samplenet.runs.streams import Stream, generator


class Lessons:
    """The batches of a run. Each depends on the step and the seed, not on those before it.

    Args:
        sigmas: of the Gaussian, (steps,); blurred targets follow it.

    Raises:
        InputError: a model has no true cloud, and --supervision points needs it.
    """

    def __init__(self, config: Config, models: Models, sigmas: np.ndarray):
        self.config, self.models, self.sigmas = config, models, sigmas
        self.poses = np.float32(cameras.to_dpc(models.extrinsics))  # (n, views, 4)
        without = [name for name, truth in zip(models.ids, models.truths, strict=True) if not truth]
        if config.supervision == "points" and without:
            raise InputError(
                f"--supervision points needs the true cloud of every model, and {len(without)} of "
                f"{len(models)} have none, as {without[0]}; give --supervision camera or none"
            )

    def batch(self, step: int, rows: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return what step number `step` learns from the models of these rows (B,).

        Returns:
            images: (B, V, S, S, 3) uint8, V of each model's pictures by chance; with supervision
                only the first, from which the cloud is predicted.
            masks: (B, V, D, D), the silhouettes to be drawn.
            colours: (B, V, D, D, 3), the images to be drawn; with V = 0 if there are no colours.
            known: of the supervision, poses (B, V, 4) or points of the true clouds (B, N, 3).
            key: (B, 2), what decides which points are drawn.
        """
        config, models = self.config, self.models
        rng = generator(config.seed, Stream.VIEWS, step)
        order = rng.permuted(np.tile(np.arange(config.num_views), (len(rows), 1)), axis=1)
        which, views = rows[:, None], order[:, : config.views_per_step]  # (B, 1), (B, V)
        seen = views if config.supervision == "none" else views[:, :1]
        images = models.images[which, seen]
        coloured = models.images[which, views if config.colours else views[:, :0]]
        shrunk = config.grid_size, config.as_released
        masks = losses.targets(models.masks[which, views], *shrunk)
        colours = losses.targets(coloured, *shrunk)
        sigma = self.sigmas[step]
        if config.blur_targets == "always" or (config.blur_targets == "early" and sigma >= 1):
            masks = self._blurred(masks, sigma)
        if config.blur_colours:
            colours = self._blurred(colours, sigma)
        known = self.poses[which, views]
        if config.supervision == "points":
            known = np.stack([self._some_points(row, rng) for row in rows])
        rng = generator(config.seed, Stream.POINT_DROPOUT, step)
        key = rng.integers(2**31, size=(len(rows), 2), dtype=np.int32)
        return images, masks, colours, known, key

    def _blurred(self, images: np.ndarray, sigma: float) -> np.ndarray:
        """Smooth images (B, V, D, D, ...) with the Gaussian that smooths the drawn ones."""
        radius = self.config.kernel_size // 2
        return gaussian_filter(images, sigma, mode="constant", radius=radius, axes=(2, 3))

    def _some_points(self, row: int, rng: np.random.Generator) -> np.ndarray:
        """Draw as many points (N, 3) of the true cloud as are predicted."""
        points = self.models.truths[row].points
        few = len(points) < self.config.num_points
        return points[rng.choice(len(points), self.config.num_points, replace=few)]
