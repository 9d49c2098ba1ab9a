"""Sample a LAS or LAZ file tile by tile, in memory that does not grow with the file.

The file is read in pieces, and its points are sorted into a file for each tile, squares in x and y.
Then each tile is sampled by itself:

    grid, --cell   tiles of whole cells: the points are those of the whole file
    random         the points, in their order, are those of the whole file, which needs no tiles
    fps            each tile has its share of m; its points are picked far from each other and from
                   those picked in the tiles around it
    samplenet, greedy  each tile has its share of m, and is a cloud of its own
"""

import copy
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from samplenet import scans
from samplenet.console import grid, pick
from samplenet.console.farthest import farthest_points
from samplenet.errors import InputError

MAX_TILES = 100_000  # each is a file for a while


class Tile(NamedTuple):
    """The points of a tile.

    Attributes:
        place: number of the tile along x and y.
        points: (n, 3) float64.
        numbers: (n,) int64, the points' indices in the file, ascending.
        array: (n,) as laspy's records have it.
    """

    place: tuple[int, int]
    points: NDArray
    numbers: NDArray[np.int64]
    array: NDArray


class Picked(NamedTuple):
    """Some of the sampled points: their indices in the file, and their records' array."""

    numbers: NDArray[np.int64]
    array: NDArray


class How(NamedTuple):
    """How to sample a file.

    Attributes:
        side: of a tile, in the file's unit; with cells it is rounded to whole cells.
        up: axis that points up.
        number: of the file among all.
    """

    picker: pick.Picker
    side: float
    up: str = "z"
    number: int = 0


def sample(pieces: Any, how: How, spool: Path) -> Iterator[Picked]:
    """Sample a file, some points at a time.

    Args:
        pieces: `samplenet.scans.las.Pieces` of it.
        spool: existing folder for the points of the tiles, which take as much room as an
            uncompressed file; nothing is left there.

    Raises:
        InputError: too small tiles, or m is above the number of points.
    """
    picker, side, *_ = how
    m = getattr(picker, "m", None)
    if m is not None and m > pieces.count:
        raise InputError(f"{pieces.path} has {pieces.count} points; -m asks for {m}")
    if isinstance(picker, pick.RandomPicker):
        yield _drawn(pieces, how)
        return
    low, first = np.full(3, np.inf), None
    for piece in pieces:
        points = _points(piece)
        low = np.minimum(low, points.min(0))
        first = points[0] if first is None else first
    if isinstance(picker, pick.GridPicker):
        cells = max(1, round(side / picker.cell))  # of a tile's side

        def place(points: NDArray) -> NDArray[np.int64]:
            steps = (points[:, :2] - low[:2]) / picker.cell
            return steps.astype(np.int64) // cells
    else:

        def place(points: NDArray) -> NDArray[np.int64]:
            return ((points[:, :2] - low[:2]) / side).astype(np.int64)

    before, chosen = 0, {}
    with tempfile.TemporaryDirectory(dir=spool) as folder:
        for tile in _tiles(pieces, place, Path(folder)):
            after = before + len(tile.points)
            if isinstance(picker, pick.GridPicker):
                numbers = grid.cells(tile.points, picker.cell, low)
                idx = grid.one_per_cell(tile.points, numbers, first)
            else:
                # shares that add up to m
                share = m * after // pieces.count - m * before // pieces.count
                idx = _share(how, tile, share, chosen) if share else np.arange(0)
            before = after
            yield Picked(tile.numbers[idx], tile.array[idx])


def _points(record: Any) -> NDArray[np.float64]:
    return np.stack([record.x, record.y, record.z], 1)


def _drawn(pieces: Any, how: How) -> Picked:
    """Return points at random, in the order drawn."""
    numbers = how.picker.draw(pieces.count, how.number)
    order, found, start = np.argsort(numbers), [], 0
    ascending = numbers[order]
    for piece in pieces:
        ends = np.searchsorted(ascending, (start, start + len(piece)))
        found.append(piece.array[ascending[slice(*ends)] - start])
        start += len(piece)
    array = np.empty(len(numbers), found[0].dtype)
    array[order] = np.concatenate(found)
    return Picked(numbers, array)


def _share(how: How, tile: Tile, share: int, chosen: dict) -> NDArray[np.int64]:
    """Pick `share` points of a tile; `chosen` collects the picked points by the tile's place."""
    if isinstance(how.picker, pick.FarthestPicker):
        x, y = tile.place
        around = [(x + i, y + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        near = [chosen[place] for place in around if place in chosen]
        count = sum(map(len, near))
        kept = np.arange(count) if count else (0,)
        points = np.concatenate([*near, tile.points])
        idx = farthest_points(points, count + share, kept)[count:] - count
        chosen[tile.place] = tile.points[idx]
        return idx
    own = copy.copy(how.picker)
    own.m = share
    return own(tile.points, how.number, how.up)


def _tiles(pieces: Any, place: Callable, folder: Path) -> Iterator[Tile]:
    """Sort the points of a file into tiles, and yield these row by row."""
    start, places = 0, set()
    for piece in pieces:
        where = place(_points(piece))
        order = np.lexsort((where[:, 1], where[:, 0]))  # stable: the file's order within a tile
        where = where[order]
        begins = np.flatnonzero(np.r_[True, (where[1:] != where[:-1]).any(1)])
        for rows, (x, y) in zip(np.split(order, begins[1:]), where[begins], strict=True):
            places.add((int(x), int(y)))
            if len(places) > MAX_TILES:
                raise InputError(
                    f"{pieces.path}: tiles of that side are more than {MAX_TILES}; give larger ones"
                )
            with open(folder / f"{x}_{y}.numbers", "ab") as file:
                (start + rows).tofile(file)
            with open(folder / f"{x}_{y}.records", "ab") as file:
                piece.array[rows].tofile(file)
        start += len(piece)
        kind = piece.array.dtype
    for x, y in sorted(places):
        names = [folder / f"{x}_{y}.{part}" for part in ("numbers", "records")]
        array = np.fromfile(names[1], kind)
        points = _points(pieces.records(array))
        yield Tile((x, y), points, np.fromfile(names[0], np.int64), array)
        for name in names:
            name.unlink()


def write(pieces: Any, sampled: Iterator[Picked], target: Path, indices: bool) -> int:
    """Write the sampled points of a file, or their indices; return how many there are."""
    count, numbers = 0, []
    if indices:
        numbers = [picked.numbers for picked in sampled]
        scans.write_indices(target, np.concatenate(numbers))
        return sum(map(len, numbers))
    with pieces.writing(target) as append:
        for picked in sampled:
            append(pieces.records(picked.array))
            count += len(picked.array)
    return count
