"""`python -m samplenet.report FOLDER`, `python -m samplenet.report --page results/quick`"""

from pathlib import Path

from samplenet.report import page, write
from samplenet.runs.script import main
from samplenet.runs.settings import Parser

if __name__ == "__main__":
    parser = Parser("python -m samplenet.report", description="Write table and pictures of a result.")
    parser.add_argument("folder", type=Path, help="folder that holds results.json; with --page, of a preset's results")
    parser.add_argument("--page", action="store_true", help="write index.html and tables.md of all evaluations below")
    args = parser.parse_args()
    main(lambda: print(page.write(args.folder) if args.page else write(args.folder)))
