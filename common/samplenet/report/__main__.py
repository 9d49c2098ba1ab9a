"""`python -m samplenet.report FOLDER`, `python -m samplenet.report --page results/quick`"""

from pathlib import Path

from samplenet.errors import InputError
from samplenet.report import page, summary
from samplenet.report.results import read
from samplenet.runs.experiments import Experiment, discover
from samplenet.runs.script import main
from samplenet.runs.settings import Parser


def checkout() -> dict[str, Experiment]:
    """The experiments of the checkout that the library is installed from, or of the current folder."""
    for root in (Path(__file__).resolve().parents[3], Path.cwd()):
        if experiments := discover(root):
            return experiments
    raise InputError(
        f"no experiment.py below {Path.cwd()}; give the command in the checkout's folder"
    )


def run(args) -> str:
    """Write what the flags ask for; the text to print."""
    experiments = checkout()
    if args.page:
        return str(page.write(args.folder, experiments=experiments))
    if args.results_md:
        return "\n".join(map(str, page.write_results(args.folder, experiments)))
    return summary.write(args.folder, read(args.folder, experiments).experiment)


if __name__ == "__main__":
    parser = Parser(
        "python -m samplenet.report", description="Write table and figures of a result."
    )
    parser.add_argument(
        "folder", type=Path, help="folder that holds results.json; else, of a preset's results"
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--page",
        action="store_true",
        help="write index.html and tables.md of all evaluations below",
    )
    kind.add_argument(
        "--results-md",
        action="store_true",
        help="write the tables into the experiments' results.md",
    )
    args = parser.parse_args()
    main(lambda: print(run(args)))
