"""The command `samplenet`.

samplenet sample scan.ply -m 1024 -o out.ply
samplenet view scan.ply --sample out.ply
samplenet try
"""

import argparse
import os
import sys
import time
import traceback
import warnings
import webbrowser
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

import samplenet
from samplenet import pretrained, scans
from samplenet.console import files, pick
from samplenet.errors import InputError
from samplenet.runs.parser import Parser

READ_ONLY = [extension for extension in scans.READERS if extension not in scans.WRITERS]
PACKED = [extension for extension in READ_ONLY if extension.endswith(".gz")]
BY_NETWORK = ("samplenet", "greedy")  # samplers that take --weights and --up
DEFAULT_TASK = "classification"
MOST = """points to sample (default: of a trained SampleNet its own m, or all points of a smaller
cloud if it is progressive; other samplers need it; without a sampler only the cloud is shown)"""
HELP = f"""samplers:
  fps        farthest point sampling, starting from the file's first point
  random     uniformly at random, by --seed
  grid       from each occupied cell of a grid the point nearest to the mean of the cell's
             points: exactly m points, or one for each cell of size --cell
  samplenet  a trained SampleNet. A cloud of more than 16384 points is cut into patches if -m is
             twice the weights' own m or more, each patch is sampled by the network, and farthest
             point sampling adds the rest of the m points. Weights trained for one size can pick
             more points there, and exactly that many from smaller clouds. The weights below were
             trained with y up: --up z turns the cloud
  greedy     the points by which a frozen task network answers most nearly as by the whole cloud,
             one after the other; nothing is trained. Of clouds larger than those the network was
             trained on, it chooses among as many farthest points. Needs no framework; uses --up

weights of samplenet: a .safetensors file, a run folder, hf:owner/name or hf:owner/name@revision
  on the Hugging Face hub, or one of
  {" ".join(samplenet.list_weights())}
  (default: the first progressive one)
weights of greedy: {" ".join(pretrained.list_tasks())} (default: {DEFAULT_TASK})

On the page of view a slider shows any smaller m where the first points of a sample are the sample
of fewer: of fps, random, greedy, and progressive weights unless m needs several patches.

The sampled points are rows of the input: nothing is moved or rounded, and colours, normals and
everything else that the file stores for a point stay with them. A line on stderr says what the
format of the output cannot hold. Points with a coordinate that is not finite are never sampled;
--indices still counts them.

formats, by extension:
  read and written  {" ".join(scans.WRITERS)}
  read only         {" ".join(READ_ONLY[: -len(PACKED)])}
                    {" ".join(PACKED)}
In a folder, subfolders and links are followed, and OUT is left out. Samples of files that are read
only become .ply. Text that holds no points, and .txt and .csv files with fewer rows of numbers than
-m, are taken for notes and left out; a line names them.
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit status: 2, after one sentence, if the input is wrong."""
    args = _parser().parse_args(argv)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.formatwarning = lambda message, *_, **__: f"{message}\n"
    try:
        return args.run(args)
    except (InputError, OSError) as error:
        if args.debug:
            raise
        print(f"samplenet: error: {_sentence(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> Parser:
    parser = Parser(prog="samplenet", description=samplenet.__doc__.splitlines()[0])
    parser.set_defaults(debug=False)
    parser.add_argument("--version", action="version", version=f"samplenet {samplenet.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    layout = {
        "formatter_class": argparse.RawDescriptionHelpFormatter,
        "epilog": HELP,
        "allow_abbrev": False,
    }

    text = "choose m points of each cloud"
    sample = commands.add_parser("sample", help=text, description=f"{text}.".capitalize(), **layout)
    sample.set_defaults(run=_sample)
    add = sample.add_argument
    add(
        "inputs", nargs="+", type=Path, metavar="INPUT", help="file of one cloud, or folder of them"
    )
    add("-o", "--output", type=Path, required=True, metavar="OUT", help="file, or folder")
    add("--indices", action="store_true", help="write indices of points, from 0, to .npy or .txt")

    text = "show a cloud with its sampled points: a page that works offline"
    view = commands.add_parser("view", help=text, description=f"{text}.".capitalize(), **layout)
    view.set_defaults(run=_view)
    add = view.add_argument
    add("input", type=Path, metavar="INPUT", help="a file of one cloud")
    add("--sample", type=Path, metavar="FILE", help="sampled points, instead of -m or --cell")
    add("-o", "--output", type=Path, metavar="PAGE", help="default: INPUT's name with .html, here")
    add("--no-open", action="store_true", help="write the page but do not open it in a browser")
    add("--open3d", action="store_true", help="open an Open3D window instead of a page")

    text = "try the samplers in the browser, on a page that bash docs/try/build.sh builds"
    page = commands.add_parser("try", help=text, description=f"{text}.".capitalize())
    page.set_defaults(run=_try)
    add = page.add_argument
    add("--folder", type=Path, help="the built page (default: docs/try/build of the repository)")
    add("--port", type=int, default=0, help="on 127.0.0.1 (default: a free one)")
    add("--no-open", action="store_true", help="serve the page but do not open it in a browser")

    for command in (sample, view):
        add = command.add_argument
        add("-m", type=int, help=MOST if command is view else "points to sample")
        text = "default: fps, or with --weights the one they are for"
        add("--sampler", choices=("fps", "random", "grid", *BY_NETWORK), help=text)
        add("--weights", metavar="NAME", help="trained sampler or task network, see below")
        add("--framework", choices=("torch", "tf"), help="default: what is installed, torch first")
        add(
            "--up", choices=("y", "z"), help="axis that points up (default: z for las, laz; else y)"
        )
        add("--cell", type=float, metavar="SIZE", help="side of a cell of grid, instead of -m")
        add("--seed", type=int, default=0, help="seed of random draws (default: 0)")
    return parser


class Notes:
    """Sentences about files, for stderr; each is printed once, with the number of its files."""

    def __init__(self):
        self.added: dict[str, list[tuple[Path, int]]] = {}

    def add(self, file: Path, sentence: str, count: int = 0) -> None:
        """Add a sentence about a file. A {} in it stands for the sum of the files' counts."""
        self.added.setdefault(sentence, []).append((file, count))

    def print(self) -> None:
        """Print the notes, a line each."""
        for sentence, added in self.added.items():
            others = f" and {len(added) - 1} more" if len(added) > 1 else ""
            if total := sum(count for _, count in added):
                sentence = sentence.format(total)
            print(f"samplenet: note: {added[0][0]}{others}: {sentence}", file=sys.stderr)


def _picker(args) -> Callable[[NDArray, int, str], NDArray[np.int64]]:
    """Return the sampler that the flags choose: points, the cloud's number, axis up -> indices."""
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
    if sampler == "samplenet":
        return pick.SampleNetPicker(_weights(args), m, args.framework, args.seed)
    if sampler == "greedy":
        return pick.GreedyPicker(args.weights or DEFAULT_TASK, m)
    return {
        "fps": lambda points, *_: pick.farthest_points(points, m),
        "random": lambda points, number, _: pick.at_random(points, m, args.seed, number),
        "grid": lambda points, *_: pick.grid(points, m, cell),
    }[sampler]


def _default_sampler(args) -> str:
    if args.weights is None:
        return "fps"
    return "greedy" if args.weights in pretrained.list_tasks() else "samplenet"


def _weights(args) -> str | Path:
    progressive = [name for name in samplenet.list_weights() if name.endswith("-progressive")]
    return args.weights or progressive[0]


def _nested(args, picker: Callable, n: int) -> bool:
    """Return whether the first points of a sample of n are what a smaller -m gives."""
    if args.m is None or args.m == 1:
        return False
    return picker.nested(n) if args.sampler == "samplenet" else args.sampler != "grid"


def _read(path: Path, notes: Notes) -> scans.Scan:
    """Read a cloud; add its reader's notes, and how many points are not finite."""
    scan = scans.read(path)
    for sentence in scan.notes:
        notes.add(path, sentence)
    if not scan.finite.all():
        sentence = "left out {} points whose coordinates are not finite (NaN or infinity)"
        notes.add(path, sentence, len(scan.rows) - int(scan.finite.sum()))
    return scan


def _up(args, path: Path, notes: Notes) -> str:
    """Return the axis that points up: --up, or the usual one of the file's format."""
    if args.up is None and scans.extension(path) in (".las", ".laz"):
        notes.add(path, "z is taken to point up, as in most las and laz files; --up y changes that")
        return "z"
    return args.up or "y"


def _indices(path: Path, scan: scans.Scan, m: int | None, picker: Callable, *options) -> NDArray:
    """Sample the finite points of a scan; return int64 indices among all of its points."""
    finite, n = np.flatnonzero(scan.finite), len(scan.rows)
    if m is not None and m > len(finite):
        points = "1 point" if n == 1 else f"{n} points"
        if len(finite) < n:
            points += f", of which {len(finite)} are finite"
        # a few rows of numbers in a .txt or .csv file are as likely a camera's pose as a cloud
        kind = scans.NoCloud if scans.extension(path) in (".txt", ".csv") else InputError
        raise kind(f"{path} has {points}; -m asks for {m}")
    points = scan.points[finite]
    largest = np.abs(points).max()
    if largest > np.sqrt(np.finfo(points.dtype).max) / 4:  # squared distances would be infinite
        fault = f"has coordinates up to {largest:.2g}, too large to measure distances"
        raise InputError(f"{path} {fault}; is it damaged?")
    try:
        return finite[picker(points, *options)]
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _sample(args) -> int:
    args.sampler = args.sampler or _default_sampler(args)
    picker, notes = _picker(args), Notes()
    jobs, faults = files.plan(args.inputs, args.output, args.indices)
    for fault in faults:
        print(f"samplenet: error: {fault}", file=sys.stderr)
    single = len(jobs) + len(faults) == 1
    start, no_clouds, failed = time.perf_counter(), [], 0
    for number, job in enumerate(tqdm(jobs, unit="file", disable=single or None)):
        try:
            sampled, points = _sample_file(args, job, number, picker, notes)
        except Exception as error:  # one bad file must not stop the others
            if single:
                raise _named(job.source, error) from error
            if isinstance(error, scans.NoCloud) and not job.named:
                no_clouds.append(str(job.source))
                continue
            failed += 1
            tqdm.write(f"samplenet: error: {_named(job.source, error)}", file=sys.stderr)
            if args.debug:
                traceback.print_exc()
    notes.print()
    if single:
        seconds = time.perf_counter() - start
        print(f"{jobs[0].target}: {sampled} of {points} points in {seconds:.1f} s")
        return 0
    if no_clouds:
        names = ", ".join(no_clouds[:10])
        if len(no_clouds) > 10:
            names += f" and {len(no_clouds) - 10} more"
        sentence = f"left out text without {args.m or 'any'} rows of numbers: {names}"
        print(f"samplenet: note: {sentence}", file=sys.stderr)
    clouds = len(jobs) - len(no_clouds)
    print(f"{args.output}: {clouds - failed} of {clouds} clouds sampled")
    return 2 if failed or faults or not clouds else 0


def _sample_file(
    args, job: files.Job, number: int, picker: Callable, notes: Notes
) -> tuple[int, int]:
    """Write the sample of a cloud; return its number of points and the cloud's."""
    scan = _read(job.source, notes)
    up = _up(args, job.source, notes) if args.sampler in BY_NETWORK else "y"
    idx = _indices(job.source, scan, args.m, picker, number, up)
    folder = job.target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"cannot create the folder {folder} ({error.strerror})"
        raise InputError(f"{job.target} cannot be written: {reason}") from error
    if args.indices:
        scans.write_indices(job.target, idx)
    else:
        for sentence in scans.write(job.target, scan.take(idx)):
            notes.add(job.target, sentence)
    return len(idx), len(scan.rows)


def _named(path: Path, error: Exception) -> InputError:
    """Turn an error into a sentence that names the file."""
    if not isinstance(error, (InputError, OSError)):
        what = f"{type(error).__name__}: {error}"
        return InputError(f"{path} could not be sampled ({what}); --debug shows the traceback")
    sentence = _sentence(error)
    return InputError(sentence if str(path) in sentence else f"{path}: {sentence}")


def _sentence(error: InputError | OSError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'the file system'}: {error.strerror}"
    return str(error)


def _view(args) -> int:
    from samplenet.console import view

    given = (args.m, args.cell, args.sampler, args.weights)
    samples = any(value is not None for value in given)
    args.sampler = args.sampler or _default_sampler(args)
    if args.sample and samples:
        raise InputError("give either --sample, or -m, --cell, --sampler or --weights")
    if args.open3d and not view.has_display():
        raise InputError("--open3d needs a display, and there is none; leave it out for a page")
    page = args.output or Path(args.input.stem + ".html")
    if page.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"-o {page} must end in .html")
    if args.input.is_dir():
        raise InputError(f"{args.input} is a folder; view shows one file")
    notes, by = Notes(), args.sampler
    scan = _read(args.input, notes)
    n = int(scan.finite.sum())
    if args.sampler == "samplenet":
        name = str(_weights(args))
        by = name if name.startswith(pretrained.hub.PREFIX) else Path(name).name
        args.weights = pretrained.weights_file(name)  # once: a hub's may change in between
        if args.m is None:
            card = pretrained.card(args.weights)
            args.m = card["m"] if len(card["sizes"]) == 1 else max(1, min(card["m"], n))
    picker = _picker(args) if samples else None
    up = _up(args, args.input, notes)
    sample, farthest, nested = scan.points[:0], None, False
    if picker:
        sample = scan.points[_indices(args.input, scan, args.m, picker, 0, up)]
        nested = _nested(args, picker, n)
        if nested and args.sampler in BY_NETWORK:
            fps = partial(pick.farthest_points, m=args.m)
            farthest = scan.points[_indices(args.input, scan, args.m, fps)]
    elif args.sample:
        sampled = _read(args.sample, notes)
        sample = sampled.points[sampled.finite]
    notes.print()
    scan = scan.take(np.flatnonzero(scan.finite))
    if args.open3d:
        view.window(scan, sample, args.input.name, up)
        return 0
    kind = f"by {by}" if picker else "sampled"
    scans.put(page, view.page(scan, sample, args.input.name, up, nested, farthest, kind))
    print(page)
    if not args.no_open and view.has_display():
        webbrowser.open(page.resolve().as_uri())
    return 0


def _try(args) -> int:
    from samplenet.console import serve, view

    with serve.server(args.folder or serve.BUILT, args.port) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        print(f"{address}  (Ctrl-C ends)", flush=True)
        if not args.no_open and view.has_display():
            webbrowser.open(address)
        server.serve_forever()
    return 0
