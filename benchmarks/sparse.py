"""Time a sparse convolution against the bare matrix products of its pairs.

    python benchmarks/sparse.py [--out FILE]

A submanifold layer of 3 x 3 x 3 cells and 32 -> 32 features on 50,000 voxels of a generated room.
"bare products" are the layer's three products of each kernel cell, of rows that are gathered
already: the least that any implementation by matrix products does. "maps" is the search for the
pairs, which all layers on the same voxels share. Where spconv is installed its forward pass stands
beside ours; on a CPU it has no backward pass. Times are the median and the best of seven turns
after a warm-up.
"""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

from samplenet.atomic import write_json
from samplenet.errors import InputError
from samplenet.runs.environment import environment
from samplenet.runs.memory import keep_freed_memory
from samplenet.runs.parser import Parser
from samplenet.runs.script import main
from samplenet.timing import in_turns

KERNEL, SIZE, POINTS = 3, 0.04, 400_000  # cells, metres, points of the room


def cases(count: int, width: int) -> dict[str, Callable]:
    """Return what is timed by name, for so many voxels and features."""
    import torch

    from samplenet.data import rooms
    from samplenet.torch import sparse

    torch.manual_seed(0)
    points = torch.from_numpy(rooms.generate(0, num_points=POINTS).points)
    x, _ = sparse.voxelise(points, points, SIZE)
    if len(x.voxels) < count:
        raise InputError(f"--voxels must be at most {len(x.voxels)} of the room, got {count}")
    voxels = sparse.Voxels(x.voxels.keys[:count], 1)
    features = torch.randn(count, width, requires_grad=True)
    gradient, layer = torch.randn(count, width), sparse.Convolution(width, width, KERNEL)
    tensor, plain = (sparse.SparseTensor(f, voxels) for f in (features, features.detach()))
    weight, pairs = layer.weight.detach(), voxels.pairs(KERNEL)
    gathered = [(plain.features[here], gradient[there]) for here, there in pairs]
    print(f"{sum(len(here) for here, _ in gathered) / count:.1f} pairs a voxel")

    def bare():
        for (inputs, outputs), matrix in zip(gathered, weight, strict=True):
            inputs @ matrix, outputs @ matrix.t(), inputs.t() @ outputs

    def forward():
        with torch.no_grad():
            layer(plain)

    found = {
        "bare products": bare,
        "forward and backward": lambda: layer(tensor).features.backward(gradient),
        "forward": forward,
        "maps": lambda: sparse.Voxels(voxels.keys, 1).pairs(KERNEL),
    }
    if importlib.util.find_spec("spconv"):
        found["spconv's forward"] = spconv_forward(plain, width)
    else:
        print("spconv is not installed: its forward pass is left out")
    return found


def spconv_forward(x, width: int) -> Callable:
    """Return spconv's forward pass of the same layer, with its pairs found before."""
    import spconv.pytorch as spconv
    import torch

    places = x.voxels.coordinates
    places = (places - places.min(0).values).int()
    layer = spconv.SubMConv3d(width, width, KERNEL, bias=False, indice_key="voxels")
    given = spconv.SparseConvTensor(x.features, places, places.amax(0)[1:].add(1).tolist(), 1)
    with torch.no_grad():
        given.indice_dict = layer(given).indice_dict

    def forward():
        with torch.no_grad():
            layer(given)

    return forward


def start() -> None:
    """Run the command line."""
    parser = Parser(prog="sparse.py", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the times as JSON to this file")
    parser.add_argument("--voxels", type=int, default=50_000, help="voxels (default: 50,000)")
    parser.add_argument("--width", type=int, default=32, help="features of a voxel (default: 32)")
    text = "threads of every case (default: the number of cores)"
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help=text)
    parser.add_argument("--turns", type=int, default=7, help="turns that are timed (default: 7)")
    flags = parser.parse_args()
    for name in ("voxels", "width", "threads", "turns"):
        if getattr(flags, name) < 1:
            raise InputError(f"--{name} must be at least 1, got {getattr(flags, name)}")
    if flags.out:
        flags.out.parent.mkdir(parents=True, exist_ok=True)
    import torch

    torch.set_num_threads(flags.threads)
    keep_freed_memory()
    times = in_turns(cases(flags.voxels, flags.width), flags.turns)
    products, rows = times["bare products"].median, []
    print(f"| {flags.voxels} voxels, {flags.width} features | median ms | best ms | of products |")
    print("| --- " * 4 + "|")
    for name, seconds in times.items():
        row = {"median_ms": 1e3 * seconds.median, "best_ms": 1e3 * seconds.best}
        rows.append({"case": name, **row, "of_products": seconds.median / products})
        print(
            f"| {name} | {row['median_ms']:.1f} | {row['best_ms']:.1f} | "
            f"{rows[-1]['of_products']:.1f} |"
        )
    if flags.out:
        done = {"environment": environment(), "threads": flags.threads, "rows": rows}
        write_json(flags.out, done)


if __name__ == "__main__":
    main(start)
