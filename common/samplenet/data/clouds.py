"""Labelled clouds: the form in which every data set is read."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Clouds:
    """Labelled clouds.

    Attributes:
        points: (n, N, 3) float32.
        labels: (n,) int64, indices into `names`.
        names: the classes.
        ids: (n) names of the clouds, for messages and file names.
    """

    points: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    ids: list[str]

    def __len__(self) -> int:
        return len(self.points)

    def describe(self, i: int) -> str:
        """Name cloud i in a message."""
        return f"cloud {i} ({self.ids[i]})"
