"""The command line that the fuzz_*.py share."""

import argparse
import importlib
import sys

from samplenet.ops import native


def start(doc: str) -> argparse.Namespace:
    """Read --framework, --calls and --seed; exit if there are no native ops to try."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--framework", choices=["torch", "tf"], required=True)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    library = importlib.import_module({"tf": "tensorflow"}.get(args.framework, args.framework))
    if why := native.missing(args.framework, library.__version__):
        sys.exit(f"no native ops to try: {why}")
    import torch  # whose gradients, or layers, the others are compared with

    torch.set_num_threads(1)  # most calls are too small for more
    return args
