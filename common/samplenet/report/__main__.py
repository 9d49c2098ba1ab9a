"""`python -m samplenet.report FOLDER`, `python -m samplenet.report --page results/quick`"""

from pathlib import Path

from samplenet.errors import InputError
from samplenet.report import page, summary
from samplenet.report.entries import read_entries
from samplenet.report.results import read
from samplenet.runs.experiments import discover
from samplenet.runs.script import main
from samplenet.runs.settings import Parser


def run(args) -> None:
    """Write what the flags ask for and print it."""
    checkout = Path(__file__).resolve().parents[3]  # of an editable installation
    experiments = discover(checkout) or discover(Path.cwd())
    if not experiments:
        raise InputError(
            f"no experiment.py below {Path.cwd()}; give the command in the checkout's folder"
        )
    if args.page:
        print(page.write(args.folder, experiments=experiments))
    elif args.results_md:
        print(*page.write_results(args.folder, experiments), sep="\n")
    elif args.leaderboard_md:
        root = next(iter(experiments.values())).folder.parent
        entries = read_entries(args.folder, experiments)
        print(*page.write_published(entries, root, experiments), sep="\n")
    else:
        print(summary.write(args.folder, read(args.folder, experiments).experiment))


if __name__ == "__main__":
    parser = Parser(
        "python -m samplenet.report", description="Write table and figures of an evaluation."
    )
    folder_help = (
        "folder that holds results.json; with --page and --results-md, of all results of a preset; "
        "with --leaderboard-md, of all entries"
    )
    parser.add_argument("folder", type=Path, help=folder_help)
    kind = parser.add_mutually_exclusive_group()
    page_help = (
        "write index.html, tables.md and leaderboard.html of all evaluations below the folder"
    )
    kind.add_argument("--page", action="store_true", help=page_help)
    results_help = "write the tables into the experiments' results.md"
    kind.add_argument("--results-md", action="store_true", help=results_help)
    leaderboard_help = "write all entries' ranks into docs/leaderboard.md, and the READMEs' tables"
    kind.add_argument("--leaderboard-md", action="store_true", help=leaderboard_help)
    args = parser.parse_args()
    main(lambda: run(args))
