"""Time pictures of built-in meshes on one core: python benchmarks/views.py [--size 64 --samples 2].

Each mesh is built anew and seen by five cameras, with all channels: in memory, and written as a
data set with its ground truth of 10,000 points. Times are the median and the best of five turns.
"""

import os
import tempfile
from pathlib import Path

from samplenet.data.views.drawing import Drawing, random_cameras
from samplenet.data.views.make import make
from samplenet.data.views.meshes import BuiltIn
from samplenet.data.views.rays import render
from samplenet.runs import script
from samplenet.runs.parser import Parser
from samplenet.timing import in_turns


def main() -> None:
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=64, help="pixels a side")
    parser.add_argument("--samples", type=int, default=2, help="rays a side for each pixel")
    parser.add_argument("--shapes-per-class", type=int, default=20, help="of three classes")
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # Embree would use all cores
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    drawing = Drawing(5, args.size, args.samples)
    source = BuiltIn(("chair", "car", "airplane"), args.shapes_per_class)
    models = [(synset, model) for synset, names in source.models().items() for model in names]

    def in_memory() -> None:
        for synset, model in models:
            extrinsics = random_cameras(synset, model, drawing.views, drawing.seed)
            render(source.surface(synset, model), extrinsics, drawing.size, drawing.samples)

    def with_files() -> None:
        with tempfile.TemporaryDirectory() as folder:
            make(source, Path(folder, "views"), drawing)

    times = in_turns({"in memory": in_memory, "with files": with_files}, args.turns)
    for name, (median, best) in times.items():
        images = len(models) * drawing.views
        print(f"{name}: {images / median:.0f} images a second, at best {images / best:.0f}")


if __name__ == "__main__":
    script.main(main)
