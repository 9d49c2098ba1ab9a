"""The one exception that scripts print without a traceback."""

import contextlib


class InputError(ValueError):
    """A fault of the input in one sentence: what is wrong, the value, and what to do about it."""

    __init__ = (
        Exception.__init__
    )  # or a tf.function that raises it while traced would raise another type


@contextlib.contextmanager
def needs_extra(extra: str):
    """Turn the lack of a package that is imported inside into an InputError that names the extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(
            f'{error.name} is not installed; install samplenet with its extra "{extra}"'
        ) from error
