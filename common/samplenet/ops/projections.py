"""What all backends of `project_mask` and `project_features` share: constants, result, checks."""

from math import floor, isfinite
from typing import Any, NamedTuple

from samplenet.errors import InputError
from samplenet.ops import contract

# The published weight of a point at depth d is exp(beta / (d + OFFSET + TINY)), normalised.
OFFSET = 1.0
TINY = 1e-5

# As released, a point outside a pixel's well has the depth FAR there, with the weight that follows
# from it, and LEAK is added to the sum that the weights of the others are divided by.
FAR = 10.0
LEAK = 1e-8


class Projected(NamedTuple):
    """Features of points, drawn.

    Attributes:
        features: (B, H, W, C), 0 where no point is drawn.
        coverage: (B, H, W), 1 where a point is drawn, else 0; no gradient flows through it.
    """

    features: Any
    coverage: Any


def first_centre(as_released: bool) -> float:
    """Return the coordinate of the centre of pixel 0; the others follow at distances of 1."""
    return 0.0 if as_released else 0.5


def widest_well(radius: float, size: int) -> int:
    """Return how many of `size` pixels in a row have centres within a radius, at most."""
    # a centre may lie outside by less than what rounding sees
    return min(size, floor(2 * radius * (1 + 1e-6)) + 1)


def check_points(op: str, dtypes: dict, height, width, points: tuple, features=None) -> None:
    """Require points (B, N, 3) and features (B, N, C) of one float dtype, and whole sizes.

    Raises:
        InputError: names the argument and its value.
    """
    contract.check_clouds(op, dtypes, points=points)
    if features is not None:
        pairs = zip(features, points[:2], strict=False)
        if len(features) != 3 or any(None not in pair and pair[0] != pair[1] for pair in pairs):
            wanted = f"(B, N, C) = ({points[0]}, {points[1]}, C)"
            raise InputError(f"{op}: features must have shape {wanted}, got {tuple(features)}")
    for name, value in {"height": height, "width": width}.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{op}: {name} must be an integer of at least 1, got {value!r}")


def check_positive(op: str, **values: float) -> None:
    """Require finite numbers above 0."""
    for name, value in values.items():
        if not (isfinite(value) and value > 0):
            raise InputError(f"{op}: {name} must be finite and above 0, got {value}")
