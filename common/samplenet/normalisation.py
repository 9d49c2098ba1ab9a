"""Bring clouds into the scale and position that trained samplers expect."""

import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from samplenet.errors import InputError

SMALLEST = 1e-12  # divisor for a cloud whose points coincide: its own size is 0


def unit_sphere(clouds: NDArray) -> NDArray:
    """Centre clouds (..., N, 3) on their mean and divide by the largest norm (classification)."""
    centred = clouds - clouds.mean(-2, keepdims=True)
    radius = np.linalg.norm(centred, axis=-1, keepdims=True).max(-2, keepdims=True)  # (..., 1, 1)
    return centred / np.maximum(radius, SMALLEST)


def box_side(clouds: NDArray, measured: int | None = None) -> NDArray:
    """Divide clouds (..., N, 3) by the longest side of their box and centre them on their mean.

    Used by registration.

    Args:
        measured: take side and mean from the first `measured` points; None: from all.
    """
    first = clouds[..., :measured, :]
    side = (first.max(-2, keepdims=True) - first.min(-2, keepdims=True)).max(-1, keepdims=True)
    scaled = clouds / np.maximum(side, SMALLEST)
    return scaled - scaled[..., :measured, :].mean(-2, keepdims=True)


def box_diagonal(clouds: NDArray, measured: int | None = None) -> NDArray:
    """Centre the box of clouds (..., N, 3) and divide by its diagonal (reconstruction).

    Args:
        measured: take the box from the first `measured` points; None: from all.
    """
    first = clouds[..., :measured, :]
    low, high = first.min(-2, keepdims=True), first.max(-2, keepdims=True)
    size = high - low
    # a dot product, which rounds float32 as in the training runs; norm(axis=-1) rounds differently
    diagonal = np.sqrt(size @ np.swapaxes(size, -1, -2))  # (..., 1, 1)
    return (clouds - (low + high) / 2) / np.maximum(diagonal, SMALLEST)


NORMALISATIONS: dict[str, Callable[[NDArray], NDArray]] = {
    "unit_sphere": unit_sphere,
    "box_side": box_side,
    "box_diagonal": box_diagonal,
}


def normalise(clouds, normalisation: str = "unit_sphere"):
    """Return clouds (B, N, 3) in the scale that a sampler expects, as float32.

    An array gives an array, a tensor of PyTorch or TensorFlow a tensor on the same device. All are
    computed by NumPy in float64 on the CPU, so that they get the same numbers. No gradient passes
    through.

    Args:
        normalisation: "unit_sphere" (classification), mean 0 and largest norm 1; "box_side"
            (registration), mean 0 and longest side of the bounding box 1; "box_diagonal"
            (reconstruction), box centred and its diagonal 1.

    Raises:
        InputError: another shape or normalisation, a coordinate that is not finite, or a tensor
            without values (in tf.function).
    """
    # not imported here: whoever has a tensor has imported its framework
    torch, tf = sys.modules.get("torch"), sys.modules.get("tensorflow")
    if torch and isinstance(clouds, torch.Tensor):
        array = clouds.detach().to("cpu", torch.float64).numpy()
        return torch.from_numpy(_normalise(array, normalisation)).to(clouds.device)
    if tf and tf.is_tensor(clouds):
        if not hasattr(clouds, "numpy"):
            raise InputError("normalise needs values of clouds; call it outside of tf.function")
        with tf.device(clouds.device):
            return tf.identity(_normalise(clouds.numpy(), normalisation))
    return _normalise(clouds, normalisation)


def _normalise(clouds, normalisation: str) -> NDArray[np.float32]:
    clouds = np.asarray(clouds, np.float64)
    if clouds.ndim != 3 or clouds.shape[2] != 3 or not clouds.shape[1]:
        raise InputError(f"clouds must have shape (B, N, 3), got {clouds.shape}")
    if normalisation not in NORMALISATIONS:
        known = ", ".join(NORMALISATIONS)
        raise InputError(f"normalisation must be one of {known}, got {normalisation!r}")
    if not np.isfinite(clouds).all():
        b, n = np.argwhere(~np.isfinite(clouds))[0, :2]
        raise InputError(f"point {n} of cloud {b} is not finite: {clouds[b, n]}")
    return NORMALISATIONS[normalisation](clouds).astype(np.float32)
