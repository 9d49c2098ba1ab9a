"""Write a trained sampler for another runtime, and run it there once to compare.

    python -m samplenet.export --weights classification-32 -o sampler.onnx    (or .pt2, .keras, or a folder: SavedModel)

--weights is one of `samplenet.list_weights()`, or the sampler.safetensors of a run folder.
"""

from pathlib import Path

import numpy as np

import samplenet
from samplenet import export
from samplenet.data import shapes
from samplenet.errors import InputError
from samplenet.runs.parser import Parser
from samplenet.runs.script import main

WITHIN = 1e-5  # of coordinates in the unit sphere


def differences(sampler, exported, clouds: np.ndarray) -> tuple[float, int]:
    """The largest difference of a coordinate of Q, and how many clouds have the same indices."""
    queries, idx = _arrays(sampler, clouds)
    found = exported(clouds)
    return float(np.abs(queries - found["queries"]).max()), int((idx == found["idx"]).all(1).sum())


def _arrays(sampler, clouds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if type(sampler).__module__.startswith("samplenet.torch"):
        import torch

        with torch.no_grad():
            sampled = sampler(torch.from_numpy(clouds))
    else:
        sampled = sampler(clouds)
    return np.asarray(sampled.queries), np.asarray(sampled.idx)


def start() -> None:
    parser = Parser("samplenet.export", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", required=True, help="name or file of the sampler's weights")
    parser.add_argument(
        "-o", "--out", required=True, type=Path, help="NAME.onnx, NAME.pt2, NAME.keras, or a folder"
    )
    flags = parser.parse_args()
    sampler = samplenet.load_pretrained(flags.weights, framework=export.framework(flags.out))
    export.export(sampler, flags.out)
    clouds = np.stack(
        [shapes.generate(name, 0, split="test", num_points=1024) for name in shapes.CLASSES]
    )
    apart, same = differences(sampler, export.load(flags.out), clouds)
    print(
        f"{flags.out}: on {len(clouds)} built-in shapes Q differs by at most {apart:.1e}, same indices in {same}"
    )
    if apart > WITHIN:
        raise InputError(
            f"{flags.out} gives other points than the sampler, by up to {apart:.1e}; do not use it"
        )


if __name__ == "__main__":
    main(start)
