"""What is drawn at random in training and data, each from a stream of its own.

A draw depends on its key alone, (seed, stream, number of the thing drawn for), never on what was drawn before. So a run
that continues need not repeat draws, and none disturbs another.
"""

import enum

import numpy as np


class Stream(enum.IntEnum):
    """The streams. Their numbers are part of every result; do not change them."""

    HOLD_OUT = 1  # the clouds that are not trained on
    ORDER = 2  # of the training clouds, by epoch
    AUGMENTATION = 3  # turns and noise of training clouds, by step
    TRANSFORMS = 4  # rotation and shift of a pair, by pair
    OTHER_POINTS = 5  # of an independent source cloud, by pair
    NOISE = 6  # on a source cloud, by pair


def generator(seed: int, stream: Stream, *number: int) -> np.random.Generator:
    """Make the generator of a stream, for the epoch, step or pair of this number."""
    return np.random.default_rng((seed, stream, *number))
