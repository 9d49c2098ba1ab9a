"""What every sampler returns, and the random draw that every framework shares."""

from typing import Any, NamedTuple

import numpy as np

from samplenet.errors import InputError


class Sampled(NamedTuple):
    """The m points a sampler made of a batch of clouds.

    Attributes:
        points: (B, m, 3), what the task network gets: softly projected while training, input points otherwise.
        idx: (B, m), which input points those are; None while training.
        queries: (B, m, 3), the simplified cloud Q; None for samplers that learn nothing.
    """

    points: Any
    idx: Any
    queries: Any


def random_indices(n: int, m: int, seed: int, cloud: np.ndarray) -> np.ndarray:
    """m distinct indices below n for each cloud, (B, m) int32, drawn by (seed, cloud) alone.

    The draw never depends on the batch a cloud came in, and a smaller m gives a prefix of a larger one.
    `cloud` (B,) holds each cloud's number in its data set.
    """
    if not 1 <= m <= n:
        raise InputError(f"m must be in [1, N] = [1, {n}], got {m}")
    draws = [np.random.default_rng((seed, int(c))).permutation(n)[:m] for c in cloud]
    return np.stack(draws).astype(np.int32) if draws else np.zeros((0, m), np.int32)
