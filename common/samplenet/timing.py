"""Time several functions in one run: taken in turns, so that a busy moment of the machine meets all of them."""

import statistics
import time
from collections.abc import Callable, Hashable
from typing import NamedTuple


class Seconds(NamedTuple):
    """Attributes:
    median: what a call takes.
    best: the fastest call, nearest to an idle machine's.
    """

    median: float
    best: float


def in_turns(
    functions: dict[Hashable, Callable[[], object]], turns: int, warm_up: int = 1
) -> dict[Hashable, Seconds]:
    """Time each function once a turn; the turns of `warm_up` come first and do not count.

    A function must return when its work is done: one that leaves it to a device waits for the device itself.
    """
    found = {key: [] for key in functions}
    for turn in range(warm_up + turns):
        for key, function in functions.items():
            begin = time.perf_counter()
            function()
            if turn >= warm_up:
                found[key].append(time.perf_counter() - begin)
    return {key: Seconds(statistics.median(times), min(times)) for key, times in found.items()}
