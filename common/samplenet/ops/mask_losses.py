"""What all backends of the losses between masks share: constants, result, checks."""

from typing import Any, NamedTuple

from samplenet.errors import InputError
from samplenet.ops import contract

LEAST = 1e-8  # added to a mask before its logarithm, as published
ABSENT = 1e6  # the released affinity of a pixel that is not part of the object
FORMS = ("chamfer", "soft_chamfer", "released")


class Affinity(NamedTuple):
    """Affinity losses of the pixels, (B, H, W) each.

    Attributes:
        forward: of the pixels of the mask, by how far they are from the target's object.
        backward: of the target's, by how far they are from the mask's.
    """

    forward: Any
    backward: Any


def check_masks(op: str, dtypes: dict[str, str], **shapes: tuple) -> None:
    """Require two images (B, H, W) of one shape and float dtype.

    Raises:
        InputError: names the argument and its value.
    """
    (name, shape), (other, other_shape) = shapes.items()
    if len(shape) != 3:
        raise InputError(f"{op}: {name} must have shape (B, H, W), got {tuple(shape)}")
    same = len(other_shape) == 3 and all(
        None in pair or pair[0] == pair[1] for pair in zip(shape, other_shape, strict=True)
    )
    if not same:
        wanted = f"the shape of {name}, {tuple(shape)}"
        raise InputError(f"{op}: {other} must have {wanted}, got {tuple(other_shape)}")
    contract.check_dtypes(op, dtypes)


def check_form(form: str) -> None:
    """Require a form of the affinity loss."""
    if form not in FORMS:
        raise InputError(f"mask_affinity: form must be one of {', '.join(FORMS)}, got {form!r}")
