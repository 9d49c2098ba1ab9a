"""Pick m points of one cloud of any size: by farthest points, a grid, chance or a network.

Only `SampleNetPicker` needs a framework.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from samplenet import frozen, normalise, pretrained
from samplenet.console.farthest import farthest_of_each, farthest_points
from samplenet.console.grid import grid
from samplenet.errors import InputError
from samplenet.sampled import random_indices

MAX_WHOLE_CLOUD = 16384  # points; larger clouds are cut into patches
SMALL_CLOUD = 4096  # points; up to here farthest points are picked of several clouds at once
CLOUDS_AT_ONCE = 2  # what is computed of them fits into a processor's cache


class Picker:
    """Pick points of clouds whose coordinates are finite."""

    def __call__(self, points: NDArray, number: int = 0, up: str = "y") -> NDArray[np.int64]:
        """Pick some of the points (N, 3).

        Args:
            number: the cloud's number, among several.
            up: "y" or "z", the axis that points up in the cloud.
        """
        raise NotImplementedError

    def many(self, clouds: NDArray, numbers: Sequence[int], up: str) -> list[NDArray[np.int64]]:
        """Pick points of clouds (B, N, 3) of these numbers."""
        pairs = zip(clouds, numbers, strict=True)
        return [self(points, number, up) for points, number in pairs]

    def nested(self, n: int) -> bool:
        """Return whether the first of the points picked of n are what a smaller m gives."""
        return True


class FarthestPicker(Picker):
    """Pick m farthest points, starting from the first."""

    def __init__(self, m: int):
        self.m = m

    def __call__(self, points, number=0, up="y"):
        return farthest_points(points, self.m)

    def many(self, clouds, numbers, up):
        if clouds.shape[1] > SMALL_CLOUD:
            return super().many(clouds, numbers, up)
        parts = np.split(clouds, range(CLOUDS_AT_ONCE, len(clouds), CLOUDS_AT_ONCE))
        return [idx for part in parts for idx in farthest_of_each(part, self.m)]


class GridPicker(Picker):
    """Pick by a `grid`."""

    def __init__(self, m: int | None, cell: float | None):
        self.m, self.cell = m, cell

    def __call__(self, points, number=0, up="y"):
        return grid(points, self.m, self.cell)

    def nested(self, n):
        return False


class RandomPicker(Picker):
    """Draw m points at random; only the seed and the cloud's number decide which."""

    def __init__(self, m: int, seed: int):
        self.m, self.seed = m, seed

    def __call__(self, points, number=0, up="y"):
        return self.draw(len(points), number)

    def draw(self, n: int, number: int) -> NDArray[np.int64]:
        """Draw m of n indices."""
        return random_indices(n, self.m, self.seed, np.array([number]))[0].astype(np.int64)


class SampleNetPicker(Picker):
    """Pick points by a trained SampleNet.

    Clouds of up to 16384 points are sampled whole. Larger clouds are cut into m / sampler.m patches
    (at least one): each is the points nearest to one of as many farthest points. The network gets
    at most 16384 points of a patch, drawn at random and normalised. If it returns fewer than m
    points in all, farthest point sampling adds the rest. The bundled networks were trained on whole
    shapes; expect worse samples of patches that look different.

    Args:
        weights: name or file, see `samplenet.load_pretrained`. A progressive sampler serves every
            m. A sampler of a single size serves that size, and any larger one for clouds that are
            cut into patches.
        seed: of the random points within patches.
    """

    def __init__(self, weights, m: int, framework: str | None = None, seed: int = 0):
        path = pretrained.weights_file(weights)  # once: a hub's may change in between
        card = pretrained.card(path)
        self.weights, self.m, self.seed = pretrained.called(path), m, seed
        self.largest_m, self.normalisation = card["m"], card["normalisation"]
        self.fixed_size = len(card["sizes"]) == 1
        framework = pretrained.choose_framework(framework)
        self.in_torch = framework == "torch"
        if not self.in_torch:
            import samplenet.quiet_tensorflow  # noqa: F401
        # an m below the fixed size is passed on for the error that load_pretrained raises
        size = m if self.fixed_size and m < self.largest_m else None
        self.sampler = pretrained.load_pretrained(path, size, framework)

    def nested(self, n: int) -> bool:
        """Return whether the first of the points picked of n are what a smaller m gives."""
        one_patch = n <= MAX_WHOLE_CLOUD or self.m < 2 * self.largest_m
        return not self.fixed_size and one_patch and n > min(self.m, self.largest_m)

    def __call__(self, points, number=0, up="y"):
        if self.fixed_size and self.m != self.largest_m and len(points) <= MAX_WHOLE_CLOUD:
            raise InputError(
                f"weights {self.weights} sample {self.largest_m} points of a cloud of "
                f"{len(points)}, not {self.m}; take a progressive sampler (these weights sample "
                f"more points only of clouds of over {MAX_WHOLE_CLOUD})"
            )
        share = min(self.m, self.largest_m)
        rng = np.random.default_rng((self.seed, number))
        picked = []
        for patch in self._patches(points, share):
            if len(patch) > MAX_WHOLE_CLOUD:
                patch = np.sort(rng.permutation(patch)[:MAX_WHOLE_CLOUD])
            if len(patch) > share:
                patch = patch[self._match(points[patch][None], share, up)[0]]
            picked.append(patch)
        return _completed(points, self.m, np.concatenate(picked))

    def many(self, clouds, numbers, up):
        if clouds.shape[1] > MAX_WHOLE_CLOUD or self.m > self.largest_m:
            return super().many(clouds, numbers, up)
        parts = np.split(clouds, range(CLOUDS_AT_ONCE, len(clouds), CLOUDS_AT_ONCE))
        return [idx for part in parts for idx in self._match(part, self.m, up)]

    def _patches(self, points: NDArray, share: int) -> list[NDArray[np.int64]]:
        """Cut a cloud into patches, each an array of indices."""
        count = 1 if len(points) <= MAX_WHOLE_CLOUD else self.m // share
        if count == 1:
            return [np.arange(len(points))]
        centres = points[farthest_points(points, count)]
        if self.in_torch:
            from samplenet.ops import torch as ops
        else:
            from samplenet.ops import tf as ops
        nearest = np.asarray(ops.knn(points[None], centres[None], 1)[1])[0, :, 0]
        sizes = np.bincount(nearest, minlength=count)
        return np.split(np.argsort(nearest, kind="stable"), np.cumsum(sizes)[:-1])

    def _match(self, points: NDArray, share: int, up: str) -> NDArray[np.int64]:
        """Sample `share` points of each patch (B, n, 3); return their indices (B, share) in it."""
        clouds = _as_trained(points, up, self.normalisation)
        if not self.in_torch:
            return np.asarray(self.sampler.match(clouds, self.sampler.simplify(clouds), share))
        import torch

        with torch.inference_mode():
            clouds = torch.from_numpy(clouds)
            return self.sampler.match(clouds, self.sampler.simplify(clouds), share).numpy()


class GreedyPicker(Picker):
    """Pick points by what the library's frozen task network makes of them (`frozen.choose`).

    The network takes as many points as it was trained on: of a larger cloud as many farthest points
    are the pool among which it chooses. If m is larger, farthest point sampling adds the rest.

    Args:
        name: one of `pretrained.list_tasks()`.
    """

    def __init__(self, name: str, m: int):
        if name not in pretrained.list_tasks():
            known = ", ".join(pretrained.list_tasks())
            raise InputError(
                f"--sampler greedy chooses by a task network of the library ({known}), not by "
                f"--weights {name}"
            )
        card = pretrained.task_card(name)
        self.m, self.largest_pool = m, card["num_points"]
        self.normalisation, self.network = card["normalisation"], frozen.load(name)

    def __call__(self, points, number=0, up="y"):
        pool = np.arange(len(points))
        if len(points) > self.largest_pool:
            pool = farthest_points(points, self.largest_pool)
        cloud = _as_trained(points[pool][None], up, self.normalisation)[0]
        picked = pool[frozen.choose(self.network, cloud, min(self.m, len(pool)))]
        return _completed(points, self.m, picked)


def _completed(points: NDArray, m: int, picked: NDArray[np.int64]) -> NDArray[np.int64]:
    """Add farthest points until there are m."""
    return picked if len(picked) == m else farthest_points(points, m, picked)


def _as_trained(clouds: NDArray, up: str, normalisation: str) -> NDArray[np.float32]:
    """Turn clouds (B, N, 3) to have y up, and normalise them."""
    x, y, z = np.moveaxis(clouds, 2, 0)
    turned = np.stack((x, z, -y) if up == "z" else (x, y, z), 2)
    return normalise(turned, normalisation)
