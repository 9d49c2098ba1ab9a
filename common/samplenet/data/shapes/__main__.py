"""Write the built-in data set: python -m samplenet.data.shapes --root DIR."""

from pathlib import Path

from samplenet.data.shapes import ensure
from samplenet.runs import script
from samplenet.runs.parser import Parser


def main() -> None:
    parser = Parser(prog="python -m samplenet.data.shapes", description=__doc__)
    parser.add_argument(
        "--root", type=Path, required=True, help="folder that receives the data set's own folder"
    )
    parser.add_argument("--train-per-class", type=int, default=100)
    parser.add_argument("--test-per-class", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    script.main(
        lambda: print(ensure(args.root, args.train_per_class, args.test_per_class, args.seed))
    )


if __name__ == "__main__":
    main()
