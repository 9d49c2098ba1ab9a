"""The command line parser of every script; standard library only, as reproduce.py uses it before set-up."""

import argparse


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, without argparse's usage; every command has --debug."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        text = "show the traceback of an error"
        self.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=text)

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}; --help lists the flags\n")
