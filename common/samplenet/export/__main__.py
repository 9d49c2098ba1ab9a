"""Export a trained sampler to another runtime, and run it there once to compare.

    python -m samplenet.export --weights classification-32 -o sampler.onnx

-o may also end in .pt2 or .keras, or be a folder, for a SavedModel. --weights is one of
`samplenet.list_weights()`, the sampler.safetensors of a run folder, or hf:owner/name. --fps in its
place exports farthest point sampling, to ONNX.
"""

from functools import partial
from pathlib import Path

import numpy as np

import samplenet
from samplenet import export
from samplenet.data import shapes
from samplenet.errors import InputError
from samplenet.ops import reference
from samplenet.runs.parser import Parser
from samplenet.runs.script import main

TOLERANCE = 1e-5  # of coordinates in the unit sphere
FARTHEST = 128  # points that the check of --fps picks


def differences(sampler, exported, clouds: np.ndarray) -> tuple[float, int]:
    """Return the largest difference of a coordinate of Q, and how many clouds have the same idx."""
    if type(sampler).__module__.startswith("samplenet.torch"):
        import torch

        with torch.no_grad():
            sampled = sampler(torch.from_numpy(clouds))
    else:
        sampled = sampler(clouds)
    outputs = exported(clouds)
    largest = np.abs(np.asarray(sampled.queries) - outputs["queries"]).max()
    equal = (np.asarray(sampled.idx) == outputs["idx"]).all(1)
    return float(largest), int(equal.sum())


def start() -> None:
    """Run the command."""
    parser = Parser("samplenet.export", description=__doc__.splitlines()[0])
    sampler = parser.add_mutually_exclusive_group(required=True)
    sampler.add_argument("--weights", help="the sampler's name, file, or hf:owner/name")
    sampler.add_argument("--fps", action="store_true", help="farthest point sampling, to NAME.onnx")
    help = "NAME.onnx, NAME.pt2, NAME.keras, or a folder"
    parser.add_argument("-o", "--out", required=True, type=Path, help=help)
    flags = parser.parse_args()
    generate = partial(shapes.generate, split="test", num_points=1024)
    clouds = np.stack([generate(name, 0) for name in shapes.CLASSES])
    if flags.fps:
        export.export_farthest_points(flags.out)
        idx = export.load(flags.out)(clouds, m=np.array(FARTHEST))["idx"]
        equal = (idx == reference.farthest_points(clouds, FARTHEST)).all(1).sum()
        print(f"{flags.out}: of {len(clouds)} built-in shapes the same {FARTHEST} in {equal}")
        if equal < len(clouds):
            raise InputError(f"{flags.out} picks other points than samplenet.ops; do not use it")
        return
    sampler = samplenet.load_pretrained(flags.weights, framework=export.framework(flags.out))
    export.export(sampler, flags.out)
    largest, equal = differences(sampler, export.load(flags.out), clouds)
    compared = f"on {len(clouds)} built-in shapes Q differs by at most {largest:.1e}"
    print(f"{flags.out}: {compared}, same indices in {equal}")
    if largest > TOLERANCE:
        fault = f"gives other points than the sampler, by up to {largest:.1e}; do not use it"
        raise InputError(f"{flags.out} {fault}")


if __name__ == "__main__":
    main(start)
