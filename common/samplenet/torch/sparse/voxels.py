"""The voxels of a batch of clouds, and which of them a kernel joins."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from samplenet.errors import InputError

BITS = 16  # of a coordinate in a key
HALF = 1 << (BITS - 1)
MARGIN = 32  # so that an offset in a kernel does not carry into the next coordinate of a key
LIMIT = HALF - MARGIN
CLOUDS = 1 << 15  # of a batch, at most
Pairs = list[tuple[Tensor | slice, Tensor | slice]]


class Voxels:
    """V distinct voxels of a batch, in the order of their keys: by cloud, then x, y and z.

    Args:
        keys: (V,) int64, ascending and distinct, see `encode`.
        clouds: B, how many clouds the batch has; some may be empty.
    """

    def __init__(self, keys: Tensor, clouds: int):
        self.keys, self.clouds = keys, clouds
        self._coarser: dict[int, Voxels] = {}
        self._pairs: dict[tuple[int, int], Pairs] = {}

    @classmethod
    def of(cls, coordinates: Tensor, clouds: int | None = None) -> tuple["Voxels", Tensor]:
        """Sort the voxels of coordinates (P, 4), integers: cloud, x, y, z.

        Returns:
            the voxels, and `inverse` (P,), which voxel each row is.

        Raises:
            InputError: coordinates out of range or not (P, 4), or more than CLOUDS clouds.
        """
        if coordinates.ndim != 2 or coordinates.shape[1] != 4:
            raise InputError(f"coordinates must be (P, 4), got {tuple(coordinates.shape)}")
        cloud = coordinates[:, 0]
        if not (coordinates[:, 1:].abs() <= LIMIT).all():
            raise InputError(
                f"voxels must lie within {LIMIT} of the origin along each axis, and be finite; got "
                f"up to {coordinates[:, 1:].abs().max():.6g}: move the clouds or enlarge the voxels"
            )
        found = int(cloud.max()) + 1 if len(cloud) else 0
        clouds = max(found, 0) if clouds is None else clouds
        if not 0 <= clouds <= CLOUDS:
            raise InputError(f"a batch has at most {CLOUDS} clouds, got {clouds}")
        if found > clouds or len(cloud) and cloud.min() < 0:
            raise InputError(
                f"clouds must be numbered from 0 and below {clouds}, got {int(cloud.min())} to "
                f"{found - 1}"
            )
        keys, inverse = torch.unique(encode(coordinates.long()), return_inverse=True)
        return cls(keys, clouds), inverse

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def coordinates(self) -> Tensor:
        """The voxels' cloud, x, y and z in units of their own size: (V, 4) int64."""
        return decode(self.keys)

    @property
    def cloud(self) -> Tensor:
        """The number of each voxel's cloud, (V,) int64."""
        return self.keys >> 3 * BITS

    def coarser(self, stride: int) -> "Voxels":
        """Return the voxels of `stride` times the size that hold these; the same at each call."""
        if stride == 1:
            return self
        if stride not in self._coarser:
            coordinates = self.coordinates
            coordinates[:, 1:] = coordinates[:, 1:].div(stride, rounding_mode="floor")
            self._coarser[stride] = Voxels(torch.unique(encode(coordinates)), self.clouds)
        return self._coarser[stride]

    def pairs(self, kernel: int, stride: int = 1) -> Pairs:
        """Return the rows of these voxels and of `coarser(stride)` that a kernel joins.

        Of each of the kernel's cells, x slowest, (rows here, rows there): a cell at d joins voxel
        stride * o + d here with voxel o there. An odd kernel is centred; an even one begins at o,
        as kernel 2 and stride 2 share the voxels out. Rows of a cell are distinct and ascending.
        """
        check_kernel(kernel, stride)
        if (kernel, stride) not in self._pairs:
            cells = self._search(kernel, stride)
            if stride == 1 and kernel % 2:  # the other half of the kernel is its mirror image
                half = list(itertools.islice(cells, kernel**3 // 2))
                mirrored = [(there, here) for here, there in reversed(half)]
                self._pairs[kernel, stride] = [*half, (slice(None), slice(None)), *mirrored]
            else:
                self._pairs[kernel, stride] = list(cells)
        return self._pairs[kernel, stride]

    def _search(self, kernel: int, stride: int) -> Iterator[tuple[Tensor, Tensor]]:
        there = self.coarser(stride).coordinates
        there[:, 1:] *= stride
        first = -((kernel - 1) // 2) if kernel % 2 else 0
        origin = encode(there) + first * ((1 << 2 * BITS) + (1 << BITS) + 1)
        keys = torch.cat([self.keys, self.keys.new_full((1,), torch.iinfo(torch.int64).max)])
        for x, y in itertools.product(range(kernel), repeat=2):
            wanted = origin + (x << 2 * BITS) + (y << BITS)
            at = torch.searchsorted(self.keys, wanted)  # the first voxel that is not before it
            for z in range(kernel):  # the voxels of a column along z are neighbours in the order
                hit = keys[at] == wanted + z
                rows = hit.nonzero()[:, 0]
                yield at[rows], rows
                at = at + hit


def check_kernel(kernel: int, stride: int) -> None:
    """Require a kernel and a stride that keep within the margin of a key's coordinates."""
    if not (1 <= kernel < MARGIN and 1 <= stride < MARGIN // 2):
        raise InputError(
            f"kernel must be in [1, {MARGIN - 1}] and stride in [1, {MARGIN // 2 - 1}], got "
            f"{kernel}, {stride}"
        )


class SparseTensor(NamedTuple):
    """Features (V, C) of voxels."""

    features: Tensor
    voxels: Voxels


def voxelise(
    points: Tensor,
    features: Tensor,
    size: float,
    cloud: Tensor | None = None,
    clouds: int | None = None,
) -> tuple[SparseTensor, Tensor]:
    """Average the features of the points in each voxel.

    Args:
        points: (B, N, 3); or (P, 3) of clouds of different sizes, with `cloud`.
        features: (B, N, C) or (P, C), floating point.
        size: a voxel's side. The voxel of a point is floor(point / size).
        cloud: (P,) integers, the cloud of each point, from 0 on. Without it points (P, 3) are one.
        clouds: how many there are, with `cloud`; by default up to the last that has a point.

    Returns:
        the voxels with their features, and `inverse` (B, N) or (P,), the voxel of each point: of
        what a network makes of the voxels, `out[inverse]` are the points' features.

    Raises:
        InputError: shapes that disagree, features that are not floating point, a size that is not
            above 0, coordinates that are not finite or more than 32,736 voxels from the origin,
            more than 32,768 clouds.
    """
    shape = points.shape[:-1]
    if points.ndim not in (2, 3) or points.shape[-1] != 3 or features.shape[:-1] != shape:
        raise InputError(
            "points and features must be (B, N, 3) and (B, N, C), or (P, 3) and (P, C), got "
            f"{tuple(points.shape)} and {tuple(features.shape)}"
        )
    if cloud is not None and (cloud.shape != shape or points.ndim == 3):
        raise InputError(
            f"cloud must number each of points (P, 3), got {tuple(cloud.shape)} for "
            f"{tuple(points.shape)}"
        )
    if not features.is_floating_point():
        raise InputError(f"features must be floating point, got {features.dtype}: convert them")
    if clouds is not None and cloud is None:
        raise InputError(f"clouds = {clouds} needs cloud, the number of each point's cloud")
    if not size > 0:
        raise InputError(f"a voxel's size must be above 0, got {size}")
    if cloud is None:
        clouds = shape[0] if points.ndim == 3 else 1
        cloud = torch.arange(clouds, device=points.device)
        cloud = cloud.repeat_interleave(shape[-1], output_size=shape.numel())
    points = points.detach().reshape(-1, 3)
    # float64: clouds' numbers are exact too, and what is not finite fails the test of the range
    places = torch.cat([cloud[:, None].double(), (points.double() / size).floor()], 1)
    voxels, inverse = Voxels.of(places, clouds)
    flat = features.reshape(-1, features.shape[-1])
    total = flat.new_zeros(len(voxels), flat.shape[1]).index_add(0, inverse, flat)
    counts = torch.bincount(inverse, minlength=len(voxels))
    return SparseTensor(total / counts[:, None], voxels), inverse.view(shape)


def encode(coordinates: Tensor) -> Tensor:
    """Return the keys (V,) of coordinates (V, 4) within range, in the same order."""
    cloud, x, y, z = coordinates.unbind(1)
    return ((((cloud << BITS) + x + HALF << BITS) + y + HALF) << BITS) + z + HALF


def decode(keys: Tensor) -> Tensor:
    """Return the coordinates (V, 4) of keys (V,)."""
    axes = [(keys >> BITS * i) % (1 << BITS) - HALF for i in (2, 1, 0)]
    return torch.stack([keys >> 3 * BITS, *axes], 1)
