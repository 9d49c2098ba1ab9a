"""`python -m samplenet.report FOLDER`"""

import argparse
from pathlib import Path

from samplenet.report import write
from samplenet.run import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m samplenet.report", description="Write table and pictures of a result.")
    parser.add_argument("folder", type=Path, help="folder that holds results.json")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    main(lambda: print(write(parser.parse_args().folder)))
