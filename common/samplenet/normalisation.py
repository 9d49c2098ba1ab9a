"""The scale and position that a trained sampler expects of its clouds."""

import sys

import numpy as np
from numpy.typing import NDArray

from samplenet.errors import InputError

NORMALISATIONS = ("unit_sphere", "box_side", "box_diagonal")


def normalise(clouds, how: str = "unit_sphere"):
    """Bring clouds (B, N, 3) into the scale that a sampler expects -> float32 (B, N, 3) of the same kind.

    An array gives an array, a tensor of PyTorch or TensorFlow a tensor on the same device. All are computed by NumPy in
    float64 on the CPU, so that they get the same numbers. No gradient passes through.

    Args:
        how: "unit_sphere" (classification), mean 0 and largest norm 1; "box_side" (registration), mean 0 and longest
            side of the bounding box 1; "box_diagonal" (reconstruction), box centred and its diagonal 1.

    Raises:
        InputError: another shape or word, a coordinate that is not finite, or a tensor without values (in tf.function).
    """
    torch, tf = sys.modules.get("torch"), sys.modules.get("tensorflow")  # imported already where there is a tensor
    if torch and isinstance(clouds, torch.Tensor):
        array = clouds.detach().to("cpu", torch.float64).numpy()
        return torch.from_numpy(_normalise(array, how)).to(clouds.device)
    if tf and tf.is_tensor(clouds):
        if not hasattr(clouds, "numpy"):
            raise InputError("normalise needs the coordinates of the clouds; call it outside of tf.function")
        with tf.device(clouds.device):
            return tf.identity(_normalise(clouds.numpy(), how))
    return _normalise(clouds, how)


def _normalise(clouds, how: str) -> NDArray[np.float32]:
    clouds = np.asarray(clouds, np.float64)
    if clouds.ndim != 3 or clouds.shape[2] != 3 or not clouds.shape[1]:
        raise InputError(f"clouds must have shape (B, N, 3), got {clouds.shape}")
    if how not in NORMALISATIONS:
        raise InputError(f"normalisation must be one of {', '.join(NORMALISATIONS)}, got {how!r}")
    if not np.isfinite(clouds).all():
        b, n = np.argwhere(~np.isfinite(clouds))[0, :2]
        raise InputError(f"point {n} of cloud {b} is not finite: {clouds[b, n]}")
    low, high = clouds.min(1, keepdims=True), clouds.max(1, keepdims=True)  # (B, 1, 3)
    offset = (high + low) / 2 if how == "box_diagonal" else clouds.mean(1, keepdims=True)
    if how == "unit_sphere":
        scale = np.linalg.norm(clouds - offset, axis=2, keepdims=True).max(1, keepdims=True)  # (B, 1, 1)
    elif how == "box_side":
        scale = (high - low).max(2, keepdims=True)
    else:
        scale = np.linalg.norm(high - low, axis=2, keepdims=True)
    return ((clouds - offset) / np.maximum(scale, 1e-12)).astype(np.float32)  # a cloud of one point has no size
