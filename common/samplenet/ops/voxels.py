"""What all backends of `render_voxels` share: its result, its options, and their checks."""

from dataclasses import dataclass
from math import exp, isfinite
from typing import Any, NamedTuple

from samplenet.errors import InputError
from samplenet.ops import contract

SMALLEST_SIGMA = 1e-3  # its taps are those of no smoothing at all
LARGEST = 1024  # of the sizes; int32 counts the voxels of such a grid
TINY = 1e-5  # as released, occupancies on a ray are in [TINY, 1 - TINY]


class Rendered(NamedTuple):
    """Images of clouds, (B, rows, columns), row 0 at the top; D is `size`, Z is `size_z`.

    Attributes:
        silhouette: (B, D, D), the probability that a pixel's ray ends in the object.
        depth: (B, D, D), the expected depth where it ends; None with `max_projection`.
        colour: (B, D, D, C) on white; None without colours.
        probabilities: (B, Z + 1, D, D), of a ray's end in each slice, nearest first, and behind
            them all; None unless asked for.
    """

    silhouette: Any
    depth: Any
    colour: Any
    probabilities: Any


@dataclass(frozen=True)
class Voxels:
    """How `render_voxels` draws a cloud.

    Args:
        size: voxels along the rows and columns, and pixels of the images.
        size_z: voxels along a ray; None: `size`. Along it sigma and `kernel_size` are multiplied by
            `size_z / size`.
        kernel_size: taps of the Gaussian, odd. Six sigma or more cut off nothing that matters.
        camera_distance: depth of the box's centre.
        max_depth: depth of a ray that meets nothing.
        max_projection: the silhouette is the largest occupancy of a ray; no other image.
        clip_colours: "before" smoothing, as occupancies are, or "after" it.
        divide_colours: divide smoothed colours by the smoothed occupancy, not clipped, plus 0.01.
        colours_move_points: False: points get no gradient through where their colours are.
        as_released: the geometry and the rays of the code released with the paper. There the outer
            voxels' centres lie on the box's faces, occupancies on a ray are in [1e-5, 1 - 1e-5]
            (so an empty ray has a silhouette of 1e-5 Z), slice k has the depth of its front face,
            and the first and the last probability are too large by a factor of exp(1e-5).
        probabilities: return the probabilities of the ray's end too.

    Raises:
        InputError: an option has a wrong value.
    """

    size: int = 64
    size_z: int | None = None
    kernel_size: int = 21
    camera_distance: float = 2.0
    max_depth: float = 10.0
    max_projection: bool = False
    clip_colours: str = "before"
    divide_colours: bool = False
    colours_move_points: bool = True
    as_released: bool = False
    probabilities: bool = False

    def __post_init__(self):
        if self.size_z is None:
            object.__setattr__(self, "size_z", self.size)
        for name in ("size", "size_z", "kernel_size"):
            value = getattr(self, name)
            whole = hasattr(value, "__index__") and not isinstance(value, bool)
            if not whole or not 1 <= value.__index__() <= LARGEST:
                raise _wrong(f"{name} must be an integer in [1, {LARGEST}], got {value!r}")
            object.__setattr__(self, name, value.__index__())
        if self.kernel_size % 2 == 0:
            raise _wrong(f"kernel_size must be odd, got {self.kernel_size}")
        for name in ("camera_distance", "max_depth"):
            if not isfinite(value := getattr(self, name)):
                raise _wrong(f"{name} must be finite, got {value}")
        if self.clip_colours not in ("before", "after"):
            raise _wrong(f'clip_colours must be "before" or "after", got {self.clip_colours!r}')
        if self.max_projection and self.probabilities:
            raise _wrong("max_projection has no probabilities of a ray's end")

    @property
    def shape(self) -> tuple[int, int, int]:
        """The grid's sizes: slices, rows, columns."""
        return self.size_z, self.size, self.size

    @property
    def cells(self) -> int:
        """The number of voxels."""
        return self.size_z * self.size * self.size

    @property
    def stretch(self) -> float:
        """Voxels along a ray for each of a row."""
        return self.size_z / self.size

    @property
    def kernel_size_z(self) -> int:
        """Taps of the Gaussian along a ray, odd."""
        return self.kernel_size * self.size_z // self.size | 1

    @property
    def end_factor(self) -> float:
        """What the first and the last probability are multiplied by."""
        return exp(TINY) if self.as_released else 1.0

    def depth(self, slices):
        """Return the depths of slices, which count from the nearest."""
        at = 0.0 if self.as_released else 0.5
        return (slices + at) / self.size_z - 0.5 + self.camera_distance

    @property
    def native(self) -> dict:
        """The options as the native op names them, in its order."""
        return {
            "size": self.size,
            "size_z": self.size_z,
            "kernel_size": self.kernel_size,
            "camera_distance": self.camera_distance,
            "max_depth": self.max_depth,
            "max_projection": self.max_projection,
            "clip_after": self.clip_colours == "after",
            "divide_colours": self.divide_colours,
            "colours_move_points": self.colours_move_points,
            "as_released": self.as_released,
            "probabilities": self.probabilities,
        }

    def rendered(self, images: tuple, coloured: bool) -> Rendered:
        """Return four images with None for those that are not asked for."""
        silhouette, depth, colour, probabilities = images
        return Rendered(
            silhouette,
            None if self.max_projection else depth,
            colour if coloured and not self.max_projection else None,
            probabilities if self.probabilities else None,
        )


def _wrong(message: str) -> InputError:
    return InputError(f"render_voxels: {message}")


def check_voxels(dtypes: dict[str, str], points: tuple, **shapes: tuple) -> None:
    """Require points (B, N, 3), sigma and scale () or (B,), colours (B, N, C), one float dtype.

    Raises:
        InputError: names the argument and its value.
    """
    contract.check_clouds("render_voxels", dtypes, points=points)
    batch, count = points[:2]
    for name in ("sigma", "scale"):
        shape = shapes.get(name, ())
        if len(shape) > 1 or not _agree(shape, (batch,)):
            raise _wrong(f"{name} must be a number or have shape (B,) = ({batch},), got {shape}")
    colours = shapes.get("colours", (batch, count, 0))
    if len(colours) != 3 or not _agree(colours, (batch, count)):
        raise _wrong(f"colours must have shape (B, N, C) = ({batch}, {count}, C), got {colours}")


def _agree(shape: tuple, wanted: tuple) -> bool:
    """Return whether the sizes that both know are equal."""
    return all(a is None or b is None or a == b for a, b in zip(shape, wanted, strict=False))
