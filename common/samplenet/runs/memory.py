"""Memory that is freed stays with the process."""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt's numbers, of malloc.h
KEPT = 1 << 30  # bytes: more than any array of a training step


def keep_freed_memory() -> bool:
    """Keep glibc from returning large arrays to the system; return whether it took the settings.

    By default an array of more than 32 MB is mapped anew each time, and the system hands out its
    pages one by one, zeroed. Without huge pages that takes more than half of a large layer's time.
    The price: the process keeps its largest memory until it ends, and where small arrays that stay
    lie between large ones that go, as in an evaluation, it grows. That suits training, whose steps
    are alike; a library should leave the choice to its user.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    return all(mallopt(setting, KEPT) for setting in (MMAP_THRESHOLD, TRIM_THRESHOLD))
