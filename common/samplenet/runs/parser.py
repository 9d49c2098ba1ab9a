"""The command line parser of every script.

Imports the standard library only, as reproduce.py uses it before anything is installed.
"""

import argparse


class Parser(argparse.ArgumentParser):
    """A parser with --debug, whose errors are one sentence without argparse's usage text."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        text = "show the traceback of an error"
        self.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=text)

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}; --help lists the flags\n")
