"""Draw pictures of meshes, with cameras, depth, labels and ground truth.

python -m samplenet.data.views --meshes builtin --out VIEWS          # of the built-in shapes
python -m samplenet.data.views --meshes ShapeNetCore.v1 --out VIEWS  # of <synset>/<model>/model.obj
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from samplenet.data.views.drawing import Drawing
from samplenet.data.views.meshes import BuiltIn, ObjFolder
from samplenet.errors import InputError
from samplenet.runs.parser import Parser

CLASSES = ("chair", "car", "airplane")
PER_CLASS = 100


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(prog="python -m samplenet.data.views", description=__doc__.split("\n")[0])
    add, defaults = parser.add_argument, Drawing()
    add("--meshes", required=True, help="builtin, or a folder of <synset>/<model>/model.obj")
    add("--out", type=Path, required=True, help="folder of the pictures; the command continues it")
    add(
        "--classes",
        nargs="+",
        help=f"classes, by default {' '.join(CLASSES)}; or synsets, all of a folder",
    )
    add("--shapes-per-class", type=int, help=f"built-in shapes; {PER_CLASS} by default")
    add("--fit", action="store_true", help="centre OBJ files, scale them to a box of diagonal 1")
    add("--views", type=int, default=defaults.views, help="of each mesh")
    add("--size", type=int, default=defaults.size, help="pixels a side")
    add(
        "--samples",
        type=int,
        default=defaults.samples,
        help="rays a side for each pixel, 1 or even",
    )
    add("--points", type=int, default=defaults.points, help="of each ground-truth cloud")
    add("--seed", type=int, default=defaults.seed, help="of cameras, clouds, shapes and splits")
    add("--flat", action="store_true", help="no light: each pixel has the colour of what it shows")
    add("--split", nargs="+", type=Path, default=[], help="lists <synset>_<split>.txt of models")
    add("--processes", type=int, default=os.cpu_count(), help="that draw at once")
    args = parser.parse_args(argv)
    from samplenet.runs import script  # here: reading data needs no run folders

    def run() -> None:
        from samplenet.data.views.make import make  # here, where a missing package is one sentence

        if args.processes < 1:
            raise InputError(f"--processes must be at least 1, got {args.processes}")
        counts = args.views, args.size, args.samples, args.points
        drawing = Drawing(*counts, args.seed, lit=not args.flat)
        if args.meshes == "builtin":
            if args.fit:
                raise InputError("--fit is for folders of OBJ files: built-in shapes always fit")
            per_class = PER_CLASS if args.shapes_per_class is None else args.shapes_per_class
            source = BuiltIn(args.classes or CLASSES, per_class, args.seed)
        else:
            if args.shapes_per_class is not None:
                raise InputError("--shapes-per-class is for --meshes builtin: leave it out")
            source = ObjFolder(Path(args.meshes), args.classes or (), args.fit)
        left_out = make(source, args.out, drawing, args.split, args.processes)
        for reason in left_out:
            print(reason, file=sys.stderr)
        print(f"{args.out}: written, {len(left_out)} meshes left out")

    script.main(run)


if __name__ == "__main__":
    main()
