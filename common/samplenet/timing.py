"""Time several functions in turns, so that a busy moment of the machine slows all of them."""

import statistics
import time
from collections.abc import Callable, Hashable
from typing import NamedTuple


class Seconds(NamedTuple):
    """Times of a function's calls; the best is the nearest to that of an idle machine."""

    median: float
    best: float


def in_turns(
    functions: dict[Hashable, Callable[[], object]], turns: int, warm_up: int = 1
) -> dict[Hashable, Seconds]:
    """Time each function once a turn, after `warm_up` turns that do not count.

    A function must return when its work is done: if a device does the work, it must wait for it.
    """
    times = {key: [] for key in functions}
    for turn in range(warm_up + turns):
        for key, function in functions.items():
            begin = time.perf_counter()
            function()
            if turn >= warm_up:
                times[key].append(time.perf_counter() - begin)
    return {key: Seconds(statistics.median(times[key]), min(times[key])) for key in functions}
