"""Argument checks that all backends share; a size that a graph does not know yet is None."""

import math
import os
from numbers import Real
from typing import Any, NamedTuple

from samplenet.errors import InputError

RADII = (1.2e-38, 3.4e38)  # within float32's normal range
FLOATS = ("float16", "bfloat16", "float32", "float64")

_check_finite = os.environ.get("SAMPLENET_CHECK", "0") not in ("", "0")


class Chamfer(NamedTuple):
    """Squared distance from each point to its nearest point in the other cloud, and its index.

    Attributes:
        a2b: (B, M).
        b2a: (B, N).
        idx_ab: (B, M), into b.
        idx_ba: (B, N), into a.
    """

    a2b: Any
    b2a: Any
    idx_ab: Any
    idx_ba: Any


def check_inputs(on: bool) -> bool:
    """Make non-finite coordinates an error (True) or allow them (False); return the old setting.

    A TensorFlow graph keeps the setting with which it was traced.
    """
    global _check_finite
    old, _check_finite = _check_finite, bool(on)
    return old


def checking() -> bool:
    """Return whether non-finite coordinates are an error."""
    return _check_finite


def non_finite(op: str, name: str) -> str:
    """Return the error message for a NaN or infinite coordinate."""
    return f"{op}: {name} holds NaN or infinite coordinates; remove those points first"


def check_dtypes(op: str, dtypes: dict[str, str]) -> None:
    """Require one float dtype."""
    for name, dtype in dtypes.items():
        if dtype not in FLOATS:
            raise InputError(f"{op}: {name} must be one of {', '.join(FLOATS)}, got {dtype}")
    if len(set(dtypes.values())) > 1:
        raise InputError(f"{op}: inputs must share one dtype, got {dtypes}")


def check_clouds(op: str, dtypes: dict[str, str], **shapes: tuple) -> None:
    """Require named shapes (B, *, 3) with a common B, and one float dtype.

    Raises:
        InputError: names op, argument and value.
    """
    for name, shape in shapes.items():
        if len(shape) != 3 or shape[2] not in (3, None):
            raise InputError(f"{op}: {name} must have shape (B, N, 3), got {tuple(shape)}")
    check_dtypes(op, dtypes)
    batches = {name: shape[0] for name, shape in shapes.items() if shape[0] is not None}
    # compared one by one: torch.compile's symbolic sizes cannot be put into a set
    sizes = list(batches.values())
    if any(size != sizes[0] for size in sizes):
        raise InputError(f"{op}: inputs must share the batch size B, got {batches}")


def check_not_empty(op: str, name: str, size: int | None) -> None:
    """Require at least one point in a cloud that is searched."""
    if size == 0:
        raise InputError(f"{op}: {name} is empty (N = 0), at least one point is needed")


def check_count(op: str, name: str, value: Any, n: float | None) -> int:
    """Require an integer in [1, N] (k of kNN, m of farthest points); return it as an int.

    n is `math.inf` where any number will do (k of the ball query).
    """
    # bool has __index__ too, but k=True is surely a mistake
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InputError(f"{op}: {name} must be an integer, got {value!r}")
    value = value.__index__()
    if value < 1 or (n is not None and value > n):
        largest = "?" if n is None else n
        allowed = "at least 1" if n == math.inf else f"in [1, N] = [1, {largest}]"
        raise InputError(f"{op}: {name} must be {allowed}, got {value}")
    return value


def check_radius(op: str, radius: Any) -> float:
    """Require a number from 1.2e-38 to 3.4e38; return it as a float.

    These are float32's normal numbers. The rule is the same for clouds of every dtype.
    """
    smallest, largest = RADII
    is_number = isinstance(radius, Real) and not isinstance(radius, bool)
    try:
        value = float(radius) if is_number else math.nan
    except OverflowError:  # an integer such as 10**400
        value = math.inf
    if not smallest <= value <= largest:
        raise InputError(
            f"{op}: radius must be a positive number, from {smallest} to {largest}, got {radius!r}"
        )
    return value


def check_index(
    op: str, name: str, shape: tuple, dtype: str, batch: int | None, rank: int | None = None
) -> None:
    """Require an index array of integers, (B, ...), with the given rank unless that is None."""
    if not dtype.startswith(("int", "uint")):
        raise InputError(f"{op}: {name} must hold integers, got {dtype}")
    if len(shape) < 1 or (rank is not None and len(shape) != rank):
        wanted = rank or "at least 1"
        raise InputError(f"{op}: {name} must have rank {wanted}, got shape {tuple(shape)}")
    if None not in (shape[0], batch) and shape[0] != batch:
        raise InputError(f"{op}: {name} must have B = {batch} rows, got {shape[0]}")


def check_some_chosen(op: str, shape: tuple) -> None:
    """Require at least one chosen index for each cloud, (B, S)."""
    if shape[1] == 0:
        raise InputError(f"{op}: chosen must hold at least one index a cloud, got shape {shape}")


def out_of_range(op: str, name: str, low: Any, high: Any, n: Any) -> str:
    """Return the error message for indices outside a cloud of n points."""
    return f"{op}: {name} must be in [0, N) = [0, {n}), got values from {low} to {high}"


def check_layer(op: str, dtypes: dict[str, str], features: tuple, weight: tuple) -> None:
    """Require a per-point linear layer: (B, N, C) and (C, F), N at least 1, one float dtype.

    Raises:
        InputError: names op, argument and value.
    """
    if len(features) != 3:
        raise InputError(f"{op}: features must have shape (B, N, C), got {features}")
    if len(weight) != 2 or (None not in (features[2], weight[0]) and features[2] != weight[0]):
        wanted = f"(C, F) with C = {features[2]}"
        raise InputError(f"{op}: weight must have shape {wanted}, got {weight}")
    check_dtypes(op, dtypes)
    check_not_empty(op, "features", features[1])


def check_norm(op: str, dtypes: dict[str, str], features: tuple, *vectors: tuple) -> None:
    """Require features (R, C), R at least 1, and vectors (C,) of one float dtype.

    Raises:
        InputError: names op, argument and value.
    """
    if len(features) != 2:
        raise InputError(f"{op}: features must have shape (R, C), got {features}")
    names = [name for name in dtypes if name != "features"]
    for name, shape in zip(names, vectors, strict=True):
        if len(shape) != 1 or (None not in (features[1], shape[0]) and shape[0] != features[1]):
            raise InputError(f"{op}: {name} must have shape (C,) = ({features[1]},), got {shape}")
    check_dtypes(op, dtypes)
    if features[0] == 0:
        raise InputError(f"{op}: features is empty (R = 0), at least one row is needed")
