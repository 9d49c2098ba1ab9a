"""Publish the sampler of a run: on the Hugging Face hub, or with the library.

    python -m samplenet.pretrained push results/quick/classification/samplenet-32-seed0 \\
        owner/name --results results/quick/classification/evaluation --license mit

Writes sampler.safetensors and README.md to the repository, which it creates. In place of a run it
takes a .safetensors file, or the name of a sampler of the library. Of absolute paths in the run's
commands, and of those with ~ or .., only the last names are published.

    python -m samplenet.pretrained add classification-32 \\
        --run results/quick/classification/samplenet-32-seed0 \\
        --results results/quick/classification/evaluation

Writes the run's sampler.safetensors and, beside it, a card: experiment, data, command, revision and
its rows of results.json with matched points.

    python -m samplenet.pretrained add classification --task \\
        --run results/full/classification/classifier --results results/float32 results/float16

Writes tasks/classification: the run's settings and command, its weights in float16 without the
optimizer's state, and a card, which compares the two evaluations of whole clouds. Of these the
second needs the folder, so write it first without --results, then evaluate

    python classification/evaluate.py --task results/full/classification/classifier \\
        --samplers none --sizes 32 --out results/float32
    python classification/evaluate.py --task classification \\
        --samplers none --sizes 32 --out results/float16
"""

import argparse
from pathlib import Path

from samplenet import pretrained
from samplenet.errors import InputError
from samplenet.pretrained import hub, page
from samplenet.runs.checkpoint import read
from samplenet.runs.parser import Parser
from samplenet.runs.script import main


def start() -> None:
    """Run the command."""
    layout = {"formatter_class": argparse.RawDescriptionHelpFormatter, "description": __doc__}
    parser = Parser("samplenet.pretrained", **layout)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("push", help="write a sampler to the Hugging Face hub")
    command.set_defaults(action=push)
    command.add_argument("sampler", help="run folder, .safetensors file, or name in the library")
    command.add_argument("repository", help="owner/name; it is created if need be")
    command.add_argument("--results", type=Path, help="evaluation folder with a run's results.json")
    command.add_argument("--license", default="", help="the hub's name of one, such as mit")
    command.add_argument("--private", action="store_true", help="create it for your eyes only")
    command.add_argument("--dry-run", action="store_true", help="print README.md, write nothing")
    command = commands.add_parser("add", help="add a run to those that come with the library")
    command.set_defaults(action=add)
    command.add_argument("name", help="its name for load_pretrained; of a task network, for --task")
    command.add_argument("--task", action="store_true", help="add a task network, not a sampler")
    command.add_argument("--run", type=Path, required=True, help="finished run folder")
    command.add_argument(
        "--results",
        type=Path,
        nargs="+",
        default=[],
        help="evaluation folder with a results.json; of a task network two, see above",
    )
    flags = parser.parse_args()
    flags.action(flags)


def push(flags) -> None:
    """Write a sampler to the hub, or show what its page would be."""
    hub.check(flags.repository)
    path = pretrained.weights_file(flags.sampler)  # once: a hub's may change in between
    record = pretrained.card(path)
    folder = Path(flags.sampler)
    if folder.is_dir():
        from samplenet.pretrained import release

        about = release.run_card(folder, flags.results)
        for key in about.keys() & {"command", "evaluated_by"}:
            about[key] = release.without_paths(about[key])
        record |= about
    elif flags.results:
        raise InputError(f"--results is for run folders, and {flags.sampler} is none")
    license = flags.license or ("mit" if flags.sampler in pretrained.list_weights() else "")
    text = page.write(flags.repository, record, license)
    if flags.dry_run:
        print(text)
    else:
        print(hub.push(flags.repository, read(path)[0], record, text, flags.private))


def add(flags) -> None:
    """Add a sampler or a task network to the library."""
    from samplenet.pretrained import release  # needs more packages than `push` of a file

    if flags.task and flags.name not in release.NORMALISATIONS:
        raise InputError(f"a task network's name is {', '.join(release.NORMALISATIONS)}")
    needed = (0, 2) if flags.task else (1,)
    if len(flags.results) not in needed:
        raise InputError(f"--results: {' or '.join(map(str, needed))} folders are needed")
    if flags.task:
        release.release_task(flags.name, flags.run, flags.results)
    else:
        release.release(flags.name, flags.run, *flags.results)


if __name__ == "__main__":
    main(start)
