"""Named streams of random numbers for training and data.

A draw depends only on its key (seed, stream, number of the epoch, step or pair), never on earlier
draws. So a resumed run need not repeat any, and one kind of draw does not disturb another.
"""

import enum

import numpy as np


class Stream(enum.IntEnum):
    """The streams. Results depend on their numbers: never change one."""

    HOLD_OUT = 1  # which clouds are not trained on
    ORDER = 2  # of the training clouds, by epoch
    AUGMENTATION = 3  # rotation and noise of training clouds, by step
    TRANSFORMS = 4  # rotation and shift of a pair, by pair
    OTHER_POINTS = 5  # of an independent source cloud, by pair
    NOISE = 6  # on a source cloud, by pair
    VIEWS = 7  # which pictures of each model, by step
    LABELLED = 10  # which training clouds keep their labels
    BLOCKS = 11  # of a room: which points share one, by split and room
    SCENES = 12  # other poses, shapes and colours of training scenes, by step and scene


def generator(seed: int, stream: Stream, *number: int) -> np.random.Generator:
    """Return the generator of a stream for the epoch, step or pair with this number."""
    return np.random.default_rng((seed, stream, *number))
