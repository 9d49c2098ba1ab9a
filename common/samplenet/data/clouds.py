"""Labelled clouds, as every data set here is read."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Clouds:
    """Labelled clouds: points (n, N, 3) float32, labels (n,) int64 into `names`, one id per cloud."""

    points: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    ids: list[str]

    def __len__(self) -> int:
        return len(self.points)

    def describe(self, i: int) -> str:
        """Name a cloud in a message."""
        return f"cloud {i} ({self.ids[i]})"
