"""Turn SIGTERM (a scheduler takes the machine back) and SIGINT (Ctrl-C) into a flag to poll."""

import signal
import threading
import time

# A launcher such as torchrun forwards a signal that its whole process group already received, so
# each process sees Ctrl-C twice within a moment.
SAME_SIGNAL_SECONDS = 1.0


class Interrupt:
    """Remember the first of the two signals instead of ending; the next one ends the process.

    Python handles signals in the main thread only: in other threads nothing is changed, nor for a
    signal that the process was started to ignore (nohup).

    Attributes:
        number: of the signal that came; 0 before.
    """

    def __init__(self):
        self.number, self._since, self._handlers = 0, 0.0, {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._handlers[number] = signal.signal(number, self._remember)

    def _remember(self, number: int, _) -> None:
        if not self.number:
            self.number, self._since = number, time.monotonic()
        elif time.monotonic() - self._since > SAME_SIGNAL_SECONDS:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def restore(self) -> None:
        """Put the former signal handlers back."""
        while self._handlers:
            number, handler = self._handlers.popitem()
            # None stands for a handler that Python did not install and cannot put back
            signal.signal(number, handler or signal.SIG_DFL)
