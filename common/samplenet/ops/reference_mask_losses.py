"""NumPy's losses between a drawn mask and the one wanted: the specification of the others."""

import numpy as np

from samplenet.ops.mask_losses import ABSENT, LEAST, Affinity, check_form, check_masks


def mask_cross_entropy(sums, target) -> np.ndarray:
    """Return the binary cross-entropy of each pixel of M = tanh(sums): (B, H, W) -> (B, H, W).

    -target log(M + 1e-8) - (1 - target) log(1 - M), the second as softplus(2 sums) - log 2, which
    has digits and gradients where M rounds to 1. Differs from the released codes, which take the
    logarithm of 1 - M + 1e-8 (DIFFER) or |1 - M - 1e-8| (CAPNet): nothing pulls back a pixel where
    many points lie, and CAPNet's gradient has the wrong sign there.

    Args:
        sums: (B, H, W), of `project_mask(..., before_tanh=True)`.
        target: (B, H, W), in [0, 1]; no gradient flows to it.
    """
    sums, target = _arrays("mask_cross_entropy", sums=sums, target=target)
    missed = -np.log(np.tanh(sums) + sums.dtype.type(LEAST))
    added = np.logaddexp(0, 2 * sums) - np.log(sums.dtype.type(2))
    return target * missed + (1 - target) * added


def mask_affinity(mask, target, form: str = "chamfer") -> Affinity:
    """Return CAPNet's affinity losses of each pixel, in one of three forms.

    With D the distance of two pixels in pixels, and pixels of 0.5 and more counted as an object:

    - "chamfer", the paper's, a Chamfer distance of images: mask times the squared D to the nearest
      pixel of the target's object; and target times the squared D to the nearest of the mask's
      object, which has no gradient. Without an object the squared D is H^2 + W^2.
    - "soft_chamfer", the released code's terms over the pixels that they seem meant for: mask times
      the least (D + 1) (x + 1e6 (1 - x)) over the target's pixels x; and target times the least
      over the mask's, with a gradient to the pixel that has it. Takes (H W)^2 steps an image.
    - "released", what the released code computes and trains with. Its minima run over the wrong
      axes, so that a pixel is compared with itself alone and D is 0: the sum of both losses is the
      absolute difference of a mask and a binary target, times a million. Besides, the code
      multiplies the losses of view v, counted from 1, by v; here they are those of the first.

    The released training takes 1e-4 times the mean of each.

    Args:
        mask: (B, H, W) in [0, 1], as drawn by `project_mask`.
        target: (B, H, W), as wanted; no gradient flows to it.
        form: "chamfer", "soft_chamfer" or "released".
    """
    check_form(form)
    mask, target = _arrays("mask_affinity", mask=mask, target=target)
    if form == "released":
        return Affinity(mask * _penalty(target), target * _penalty(mask))
    height, width = mask.shape[1:]
    rows, columns = (np.arange(size, dtype=mask.dtype) for size in (height, width))
    down = (rows[:, None] - rows)[:, None, :, None] ** 2
    right = (columns[:, None] - columns)[None, :, None, :] ** 2
    square = down + right  # (H, W, H, W)

    def least(image):
        if form == "soft_chamfer":
            return ((np.sqrt(square) + 1) * _penalty(image)).min((2, 3))
        farthest = height**2 + width**2
        return np.where(image >= 0.5, square, mask.dtype.type(farthest)).min((2, 3))

    forward, backward = mask.copy(), target.copy()
    for b in range(len(mask)):
        forward[b] *= least(target[b])
        backward[b] *= least(mask[b])
    return Affinity(forward, backward)


def _penalty(image: np.ndarray) -> np.ndarray:
    return image + image.dtype.type(ABSENT) * (1 - image)


def _arrays(op: str, **arrays) -> list[np.ndarray]:
    """Check the masks; return them in the dtype that the loss computes in."""
    arrays = {name: np.asarray(a) for name, a in arrays.items()}
    dtypes = {name: a.dtype.name for name, a in arrays.items()}
    check_masks(op, dtypes, **{name: a.shape for name, a in arrays.items()})
    dtype = np.float64 if "float64" in dtypes.values() else np.float32
    return [a.astype(dtype) for a in arrays.values()]
