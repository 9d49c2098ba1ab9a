"""The one exception that scripts print without a traceback."""


class InputError(ValueError):
    """A fault of the input, told in one sentence: what was wrong, the value, and what to do about it."""

    __init__ = Exception.__init__  # or a tf.function that raises it while traced would raise another type
