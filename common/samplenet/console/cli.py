"""The command `samplenet`.

samplenet sample scan.ply -m 1024 -o out.ply
samplenet view scan.ply --sample out.ply
samplenet try
"""

import argparse
import os
import sys
import warnings
import webbrowser
from pathlib import Path

import samplenet
from samplenet import pretrained, scans
from samplenet.console import flags
from samplenet.console.reading import sentence
from samplenet.console.sample import run as run_sample
from samplenet.errors import InputError
from samplenet.runs.parser import Parser

READ_ONLY = [extension for extension in scans.READERS if extension not in scans.WRITERS]
PACKED = [extension for extension in READ_ONLY if extension.endswith(".gz")]
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
weights of greedy: {" ".join(pretrained.list_tasks())} (default: {flags.DEFAULT_TASK})

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
  .tar           clouds in WebDataset's layout: of files with one name up to the first dot, one is
                 a cloud; the others stay beside its sample in OUT, a .tar file or a folder of them
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
        print(f"samplenet: error: {sentence(error)}", file=sys.stderr)
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
    sample.set_defaults(run=run_sample)
    add = sample.add_argument
    add(
        "inputs", nargs="+", type=Path, metavar="INPUT", help="file of one cloud, or folder of them"
    )
    add("-o", "--output", type=Path, required=True, metavar="OUT", help="file, or folder")
    add("--indices", action="store_true", help="write indices of points, from 0, to .npy or .txt")
    text = "read las and laz files in pieces, and sample squares of this side one after the other"
    add("--tile", type=float, metavar="SIDE", help=text)
    add(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="processes that sample at once (default: 1)",
    )
    add("--shard", metavar="I/N", help="take every N-th file, beginning with the I-th")
    add("--skip-existing", action="store_true", help="leave out files whose sample is there")
    text = "append a line for each cloud to this .jsonl file; leave out what it lists as sampled"
    add("--manifest", type=Path, metavar="FILE", help=text)

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
        add("--sampler", choices=flags.SAMPLERS, help=text)
        add("--weights", metavar="NAME", help="trained sampler or task network, see below")
        add("--framework", choices=("torch", "tf"), help="default: what is installed, torch first")
        add(
            "--up", choices=("y", "z"), help="axis that points up (default: z for las, laz; else y)"
        )
        add("--cell", type=float, metavar="SIZE", help="side of a cell of grid, instead of -m")
        add("--seed", type=int, default=0, help="seed of random draws (default: 0)")
    return parser


def _view(args) -> int:
    from samplenet.console import view  # here: a page needs plotly

    return view.run(args)


def _try(args) -> int:
    from samplenet.console import serve, view

    with serve.server(args.folder or serve.BUILT, args.port) as server:
        address = f"http://127.0.0.1:{server.server_port}/"
        print(f"{address}  (Ctrl-C ends)", flush=True)
        if not args.no_open and view.has_display():
            webbrowser.open(address)
        server.serve_forever()
    return 0
