"""Errors inside this package; `samplenet.scans` turns them into InputErrors that name the file."""

from samplenet.errors import InputError


class Bad(Exception):
    """A sentence without its beginning, the path of the file."""


class NoNumbers(Bad):
    """The file is text without points."""


class NoCloud(InputError):
    """A text file without any line of three numbers, a README.txt for example."""


def needs(package: str) -> Bad:
    """Return the error of a format whose library is not installed."""
    return Bad(f'needs {package}; pip install "{package}", or the library with its extra "io"')
