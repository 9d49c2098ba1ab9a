"""The console command: samplenet sample scan.ply -m 1024 -o out.ply, samplenet view scan.ply --sample out.ply."""

import argparse
import os
import sys
import time
import warnings
import webbrowser
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

import samplenet
from samplenet import scans, subset
from samplenet.config import Parser
from samplenet.errors import InputError

SAMPLERS = """samplers:
  fps        farthest point sampling, from the file's first point on
  random     uniformly, by --seed
  grid       the point nearest to the mean of each occupied grid cell: exactly m of them, or those of --cell
  samplenet  a trained SampleNet (--weights). Clouds of more than 16384 points are cut in patches, as many as are
             needed for m points, each is sampled for itself, and farthest points complete them to m. Weights
             of one size serve any larger m there; of smaller clouds they sample that size alone

Output points are rows of the input: nothing is moved or rounded, and colour, normals and whatever else the file tells
of a point stay with them. Formats, by extension: """ + " ".join(scans.READERS)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit status: 2, after one sentence, for a fault of the input."""
    args = _parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.formatwarning = lambda message, *_, **__: f"{message}\n"
    try:
        return args.run(args)
    except InputError as error:
        if args.debug:
            raise
        print(f"samplenet: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> Parser:
    parser = Parser(prog="samplenet", description=samplenet.__doc__.splitlines()[0])
    parser.add_argument("--version", action="version", version=f"samplenet {samplenet.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shape = {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": SAMPLERS, "allow_abbrev": False}

    help = "choose m points of each cloud"
    sample = commands.add_parser("sample", help=help, description=f"{help.capitalize()}.", **shape)
    sample.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="file of one cloud, or folder of them "
                        "(but for what is in OUT)")  # fmt: skip
    sample.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="file, or folder")
    sample.add_argument("--indices", action="store_true", help="write which points, from 0 on, to .npy or .txt")
    sample.set_defaults(run=_sample)

    help = "show a cloud with its sampled points: a page that works offline"
    view = commands.add_parser("view", help=help, description=f"{help.capitalize()}.", **shape)
    view.add_argument("input", type=Path, metavar="INPUT", help="a file of one cloud")
    view.add_argument("--sample", type=Path, metavar="FILE", help="sampled points to show; or give -m or --cell")
    view.add_argument("-o", "--output", type=Path, metavar="PAGE", help="default: INPUT's name with .html, here")
    view.add_argument("--no-open", action="store_true", help="write the page only; do not open it in a browser")
    view.add_argument("--open3d", action="store_true", help="an Open3D window instead of a page")
    view.set_defaults(run=_view)

    for command in (sample, view):
        command.add_argument("-m", type=int, help="points to sample")
        command.add_argument("--sampler", choices=("fps", "random", "grid", "samplenet"), default="fps")
        names = ", ".join(samplenet.list_weights())
        command.add_argument("--weights", metavar="NAME", help=f"of samplenet: {names} (default: the first "
                             "progressive one), or a .safetensors file or run folder")  # fmt: skip
        command.add_argument("--framework", choices=("torch", "tf"), help="of samplenet (default: what is installed)")
        command.add_argument(
            "--up", choices=("y", "z"), default="y", help="axis that is up (default: y); samplenet needs it"
        )
        command.add_argument("--cell", type=float, metavar="SIZE", help="of grid, instead of -m: side of a cell")
        command.add_argument("--seed", type=int, default=0, help="of what is drawn at random (default: 0)")
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _picker(args) -> Callable:
    """(points (N, 3), number of the cloud) -> indices of the sample, as the arguments say."""
    if args.cell is not None and (args.sampler != "grid" or args.m is not None):
        raise InputError("--cell is for --sampler grid without -m")
    if args.cell is not None and not 0 < args.cell < float("inf"):
        raise InputError(f"--cell must be a length above 0, got {args.cell}")
    if args.cell is None and args.m is None:
        raise InputError("-m is needed: how many points to sample")
    if args.m is not None and args.m < 1:
        raise InputError(f"-m must be at least 1, got {args.m}")
    if args.weights is not None and args.sampler != "samplenet":
        raise InputError(f"--weights is for --sampler samplenet, not {args.sampler}")
    if args.seed < 0:
        raise InputError(f"--seed must be at least 0, got {args.seed}")
    if args.sampler == "samplenet":
        weights = args.weights or next(name for name in samplenet.list_weights() if name.endswith("-progressive"))
        pick = subset.Learned(weights, args.m, args.up, args.framework, args.seed)
    else:
        pick = {
            "fps": lambda points, _: subset.farthest_points(points, args.m),
            "random": lambda points, number: subset.at_random(points, args.m, args.seed, number),
            "grid": lambda points, _: subset.grid(points, args.m, args.cell),
        }[args.sampler]

    def checked(points, number=0):
        if args.m is not None and args.m > len(points):
            raise InputError(f"it has {len(points)} points, -m asks for {args.m}")
        return pick(points, number)

    return checked


def _sample(args) -> int:
    jobs, pick, failed = _jobs(args), _picker(args), 0
    many = len(jobs) > 1
    for number, (source, target) in enumerate(tqdm(jobs, unit="file", disable=None if many else True)):
        try:
            start = time.perf_counter()
            scan = scans.read(source)
            idx = pick(scan.points, number)
            if target != args.output:  # but below it
                target.parent.mkdir(parents=True, exist_ok=True)
            if args.indices:
                scans.write_indices(target, idx)
            else:
                scans.write(target, scan.take(idx))
        except (InputError, OSError) as error:
            told = InputError(str(error) if str(source) in str(error) else f"{source}: {error}")
            if not many:
                raise told from error
            tqdm.write(f"samplenet: error: {told}", file=sys.stderr)
            failed += 1
            continue
        if not many:
            seconds = time.perf_counter() - start
            print(f"{target}: {len(idx)} of {len(scan.rows)} points in {seconds:.1f} s")
    if many:
        print(f"{args.output}: {len(jobs) - failed} of {len(jobs)} clouds sampled")
    return 2 if failed else 0


def _jobs(args) -> list[tuple[Path, Path]]:
    """Each input file and where its sample goes."""
    files = []  # and their names below the output folder
    out = args.output.resolve()
    for path in args.inputs:
        if path.is_dir():
            root = path.resolve()
            inside = (file for file in sorted(path.rglob("*")) if file.suffix.lower() in scans.READERS)
            inside = [(file, file.relative_to(path)) for file in inside if file.is_file()]
            if not root.is_relative_to(out):  # what an earlier run wrote is no input
                inside = [(file, name) for file, name in inside if not (root / name).is_relative_to(out)]
            if not inside:
                raise InputError(f"{path} holds no {' '.join(scans.READERS)} file")
            files += inside
        elif path.is_file():
            files.append((path, Path(path.name)))
        else:
            raise InputError(f"there is no file or folder {path}")
    into_folder = args.output.is_dir() or len(files) > 1 or any(path.is_dir() for path in args.inputs)
    if into_folder and args.output.suffix.lower() in scans.WRITERS or args.output.is_file() and into_folder:
        raise InputError(f"-o {args.output} is named like a file; several clouds or a folder need a folder")
    targets = [args.output]
    if into_folder:
        targets = [args.output / (name.with_suffix(".npy") if args.indices else name) for _, name in files]
    if len({*targets}) < len(targets):
        twice = next(target for i, target in enumerate(targets) if target in targets[:i])
        raise InputError(f"two inputs would be written to {twice}; sample them one after the other")
    for (source, _), target in zip(files, targets, strict=True):
        scans.check_extension(target, args.indices)
        if target.exists() and target.samefile(source):
            raise InputError(f"-o {target} is the input; name another file or folder")
    return [(source, target) for (source, _), target in zip(files, targets, strict=True)]


def _view(args) -> int:
    from samplenet import view

    if args.sample and (args.m is not None or args.cell is not None):
        raise InputError("give either --sample or -m or --cell")
    if args.open3d:
        view.require_display()
    pick = _picker(args) if args.m is not None or args.cell is not None else None
    scan = scans.read(args.input)
    if args.sample:
        sample = scans.read(args.sample).points
    else:
        try:
            sample = scan.points[pick(scan.points) if pick else []]
        except InputError as error:
            raise InputError(f"{args.input}: {error}") from error
    if args.open3d:
        view.window(scan, sample, args.input.name, args.up)
        return 0
    page = args.output or Path(args.input.with_suffix(".html").name)
    if page.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"-o {page} must end in .html")
    scans.put(page, view.page(scan, sample, args.input.name, args.up))
    print(page)
    if not args.no_open and view.has_display():
        webbrowser.open(page.resolve().as_uri())
    return 0
