"""Which sampler the flags of the console command choose."""

from dataclasses import dataclass
from pathlib import Path

import samplenet
from samplenet import pretrained
from samplenet.console import pick
from samplenet.errors import InputError

BY_NETWORK = ("samplenet", "greedy")  # samplers that take --weights and --up
SAMPLERS = ("fps", "random", "grid", *BY_NETWORK)
DEFAULT_TASK = "classification"


@dataclass(frozen=True)
class Options:
    """The flags that decide on samples, as `picker` reads them."""

    m: int | None
    cell: float | None
    sampler: str
    weights: str | None
    framework: str | None
    up: str | None
    seed: int
    indices: bool
    tile: float | None


def default_sampler(args) -> str:
    """Return the sampler where --sampler is not given."""
    if args.weights is None:
        return "fps"
    return "greedy" if args.weights in pretrained.list_tasks() else "samplenet"


def weights(args) -> str | Path:
    """Return the weights of a trained sampler: --weights, or the first progressive ones."""
    progressive = [name for name in samplenet.list_weights() if name.endswith("-progressive")]
    return args.weights or progressive[0]


def picker(args) -> pick.Picker:
    """Return the sampler that the flags choose; InputError if they do not go together."""
    m, cell, sampler = args.m, args.cell, args.sampler
    if cell is not None and (sampler != "grid" or m is not None):
        raise InputError("--cell is for --sampler grid without -m")
    if cell is not None and not 0 < cell < float("inf"):
        raise InputError(f"--cell must be a length above 0, got {cell}")
    if cell is None and m is None:
        raise InputError("-m is needed: how many points to sample")
    if m is not None and m < 1:
        raise InputError(f"-m must be at least 1, got {m}")
    if args.weights is not None and sampler not in BY_NETWORK:
        raise InputError(f"--weights is for --sampler {' or '.join(BY_NETWORK)}, not {sampler}")
    if args.seed < 0:
        raise InputError(f"--seed must be at least 0, got {args.seed}")
    tile = getattr(args, "tile", None)
    if tile is not None and not 0 < tile < float("inf"):
        raise InputError(f"--tile must be a length above 0, got {tile}")
    if tile is not None and sampler == "grid" and cell is None:
        raise InputError("--tile needs --cell for --sampler grid, not -m")
    if sampler == "samplenet":
        return pick.SampleNetPicker(weights(args), m, args.framework, args.seed)
    if sampler == "greedy":
        return pick.GreedyPicker(args.weights or DEFAULT_TASK, m)
    if sampler == "grid":
        return pick.GridPicker(m, cell)
    return pick.FarthestPicker(m) if sampler == "fps" else pick.RandomPicker(m, args.seed)
