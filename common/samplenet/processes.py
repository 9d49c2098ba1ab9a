"""Work in several processes, which end with the one that started them."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from samplenet.errors import InputError


def each(
    function: Callable, jobs: Sequence, processes: int, flag: str, chunksize: int = 1
) -> Iterator:
    """Yield what `function` returns for each job, in order.

    Args:
        function: for several processes, one that can be pickled.
        flag: of the command, that sets the number of processes.
        chunksize: jobs that a process takes at a time.

    Raises:
        InputError: a process was killed.
    """
    if processes == 1:
        yield from map(function, jobs)
        return
    context = multiprocessing.get_context("spawn")  # threads of a library do not survive a fork
    pool = ProcessPoolExecutor(min(processes, len(jobs)), context, _depend_on_parent)
    try:
        yield from pool.map(function, jobs, chunksize=chunksize)
    except BrokenProcessPool as error:
        raise InputError(
            "a process was killed, perhaps for want of memory: the same command continues, and "
            f"needs less with a smaller {flag}"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _depend_on_parent() -> None:
    """Leave Ctrl-C to the parent, which waits for the jobs begun, but end when it is killed.

    Otherwise a process of the pool would wait for the next job for ever.
    """

    def follow() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=follow, daemon=True).start()
