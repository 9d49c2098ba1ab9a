"""What every sampler returns, the settings of a SampleNet, and the draw of random points."""

from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from samplenet.errors import InputError

LARGEST = float(np.finfo(np.float32).max)


class Sampled(NamedTuple):
    """The m points that a sampler returns for each cloud of a batch.

    Attributes:
        points: (B, m, 3), for the task network: softly projected in training, else input points.
        idx: (B, m), the indices of those input points; None in training.
        queries: (B, m, 3), the simplified cloud Q; None for baselines.
    """

    points: Any
    idx: Any
    queries: Any


@dataclass(frozen=True)
class Settings:
    """The settings of a `SampleNet` in either framework; the defaults are those of classification.

    Attributes:
        m: points to sample, at most N.
        k: neighbours averaged in the soft projection; see `SoftProjection`.
        temperature: its initial t.
        min_sigma: its lower bound on sigma.
        projection: False gives S-NET (arXiv 1812.01659): in training, the task network sees Q.
        conv_widths: per-point widths, the last is the bottleneck. Classification and registration
            (64, 64, 64, 128, 128), reconstruction (64, 128, 128, 256, 128).
        fc_widths: hidden widths. Classification and registration (256, 256, 256), reconstruction
            (256, 256).
        fc_batch_norm: batch norm in the hidden layers. Reconstruction False, the others True.
        output_batch_norm: batch norm after the last layer. Classification True, the others False.
        output_order: layout of the last layer's 3m values: "m3" in classification and
            reconstruction, "3m" in registration. The released networks differ, and must load.
        bn_epsilon: classification 1e-3, the others 1e-5.
        bn_momentum: the share of the running statistics kept at each step: classification a
            schedule (`set_momentum`), the others 0.9.
    """

    m: int
    k: int = 7
    temperature: float = 1.0
    min_sigma: float = 0.0
    projection: bool = True
    conv_widths: tuple[int, ...] = (64, 64, 64, 128, 128)
    fc_widths: tuple[int, ...] = (256, 256, 256)
    fc_batch_norm: bool = True
    output_batch_norm: bool = True
    output_order: str = "m3"
    bn_epsilon: float = 1e-3
    bn_momentum: float = 0.9

    def __post_init__(self):
        for name in ("conv_widths", "fc_widths"):
            # a weights file gives lists, and equal settings must compare equal
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        whole, amount = "a whole number of at least 1", "a finite number of at least 0"
        widths, switch = "whole numbers of at least 1", "True or False"
        some_convs = bool(self.conv_widths) and _widths(self.conv_widths)
        for name, needed, good in (
            ("m", whole, is_count(self.m)),
            ("k", whole, is_count(self.k)),
            ("temperature", "a finite number", _in(self.temperature, -LARGEST, LARGEST)),
            ("min_sigma", amount, _in(self.min_sigma, 0, LARGEST)),
            ("projection", switch, isinstance(self.projection, bool)),
            ("conv_widths", f"one or more {widths}", some_convs),
            ("fc_widths", widths, _widths(self.fc_widths)),
            ("fc_batch_norm", switch, isinstance(self.fc_batch_norm, bool)),
            ("output_batch_norm", switch, isinstance(self.output_batch_norm, bool)),
            ("output_order", "'m3' or '3m'", self.output_order in ("m3", "3m")),
            ("bn_epsilon", amount, _in(self.bn_epsilon, 0, LARGEST)),
            ("bn_momentum", "a number in [0, 1]", _in(self.bn_momentum, 0, 1)),
        ):
            if not good:
                raise InputError(f"SampleNet: {name} must be {needed}, got {getattr(self, name)!r}")

    def check_clouds(self, shape: tuple) -> None:
        """Raise InputError unless m points can be sampled from clouds of this shape, (B, N, 3).

        Sizes that a TensorFlow graph does not know yet are None, and pass.
        """
        if len(shape) != 3 or shape[2] not in (3, None):
            raise InputError(f"SampleNet: points must have shape (B, N, 3), got {shape}")
        n = shape[1]
        if n is not None and n < self.m:
            raise InputError(
                f"SampleNet: m must be at most N, got m = {self.m} for clouds of N = {n} points"
            )


def is_count(value) -> bool:
    """Return whether a value is a whole number of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _in(value, low: float, high: float) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and low <= value <= high


def _widths(value) -> bool:
    return isinstance(value, tuple) and all(map(is_count, value))


class Prefix:
    """The sampler of m points within a progressive SampleNet: the first m points of its order.

    Args:
        sampler: a trained `SampleNet`.
        m: points to sample, in [1, N]. Above `sampler.m` there are not m simplified points, so
            `queries` is None.
    """

    def __init__(self, sampler, m: int):
        if m < 1:
            raise InputError(f"m must be at least 1, got {m}")
        self.sampler, self.m, self.project = sampler, m, sampler.project

    def __call__(self, points, cloud=None) -> Sampled:
        """Sample points (B, N, 3); `cloud` is ignored."""
        ordered = self.sampler.order(points, self.m)
        queries = ordered.queries[:, : self.m] if self.m <= self.sampler.m else None
        return ordered._replace(queries=queries)

    def simplify(self, points):
        """Return the first m simplified points of clouds (B, N, 3), or all if they are fewer."""
        return self.sampler.simplify(points)[:, : self.m]


def in_order(sampler, clouds: np.ndarray, m: int, batch_size: int) -> np.ndarray:
    """Order clouds (n, N, 3) by a progressive sampler and return their first m points, (n, m, 3).

    Every prefix of them is the sample of that size.
    """
    starts = range(0, len(clouds), batch_size)
    return np.concatenate([sampler.order(clouds[i : i + batch_size], m).points for i in starts])


def random_indices(n: int, m: int, seed: int, cloud: np.ndarray) -> np.ndarray:
    """Draw m distinct indices below n for each cloud, (B, m) int32.

    `cloud` (B,) holds each cloud's number in its data set. It and the seed alone decide the draw,
    whatever batch the cloud is in, and a smaller m gives a prefix of a larger one.
    """
    if not 1 <= m <= n:
        raise InputError(f"m must be in [1, N] = [1, {n}], got {m}")
    indices = np.zeros((len(cloud), m), np.int32)
    for row, number in zip(indices, cloud, strict=True):
        row[:] = np.random.default_rng((seed, int(number))).permutation(n)[:m]
    return indices
