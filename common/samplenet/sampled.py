"""What every sampler returns, and the random draw that every framework shares."""

from typing import Any, NamedTuple

import numpy as np

from samplenet.errors import InputError


class Sampled(NamedTuple):
    """The m points a sampler made of a batch of clouds.

    Attributes:
        points: (B, m, 3), what the task network gets: softly projected while training, input points otherwise.
        idx: (B, m), which input points those are; None while training.
        queries: (B, m, 3), the simplified cloud Q; None for baselines.
    """

    points: Any
    idx: Any
    queries: Any


class Prefix:
    """The sampler of m points that a progressive one holds: the first m of the whole cloud's order.

    Args:
        sampler: a trained `SampleNet`.
        m: points to sample, in [1, N]. Above `sampler.m` there are no simplified points: `queries` is None.
    """

    def __init__(self, sampler, m: int):
        if m < 1:
            raise InputError(f"m must be at least 1, got {m}")
        self.sampler, self.m, self.project = sampler, m, sampler.project

    def __call__(self, points, cloud=None) -> Sampled:
        """points (B, N, 3); `cloud` is ignored."""
        ordered = self.sampler.order(points, self.m)
        return ordered._replace(
            queries=ordered.queries[:, : self.m] if self.m <= self.sampler.m else None
        )


def largest_size(sizes: list[int], limit: int, words: str) -> int:
    """The m of a sampler for all of `sizes`; InputError unless they are distinct and in [1, limit], called `words`."""
    for m in sizes:
        if not 1 <= m <= limit:
            raise InputError(f"--sample-sizes must be in [1, {words}] = [1, {limit}], got {m}")
    if len(set(sizes)) < len(sizes) or not sizes:
        raise InputError(f"--sample-sizes must be sizes that differ, got {sizes}")
    return max(sizes)


def in_order(sampler, clouds: np.ndarray, m: int, batch_size: int) -> np.ndarray:
    """The first m points of each cloud (n, N, 3) in the sampler's order, (n, m, 3): its samples of every size to m."""
    starts = range(0, len(clouds), batch_size)
    return np.concatenate([sampler.order(clouds[i : i + batch_size], m).points for i in starts])


def random_indices(n: int, m: int, seed: int, cloud: np.ndarray) -> np.ndarray:
    """m distinct indices below n for each cloud, (B, m) int32, drawn by (seed, cloud) alone.

    The draw never depends on the batch a cloud came in, and a smaller m gives a prefix of a larger one.
    `cloud` (B,) holds each cloud's number in its data set.
    """
    if not 1 <= m <= n:
        raise InputError(f"m must be in [1, N] = [1, {n}], got {m}")
    draws = [np.random.default_rng((seed, int(c))).permutation(n)[:m] for c in cloud]
    return np.stack(draws).astype(np.int32) if draws else np.zeros((0, m), np.int32)
