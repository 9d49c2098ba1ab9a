"""The one exception that scripts print without a traceback."""

import contextlib


class InputError(ValueError):
    """A fault of the input, in one sentence: what is wrong, the value, and what to do about it."""

    # only with this very __init__ does TensorFlow keep the type of errors in a traced function
    __init__ = Exception.__init__


@contextlib.contextmanager
def needs_extra(extra: str):
    """Raise an InputError that names the extra if an import inside lacks its package."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(
            f'{error.name} is not installed; install samplenet with its extra "{extra}"'
        ) from error
