"""SIGTERM (a scheduler takes the machine back) and SIGINT (Ctrl-C) as something a loop asks for."""

import signal
import threading
import time

PASSED_ON = 1.0  # seconds: a launcher passes a signal on that its whole group of processes has received already


class Interrupt:
    """Remembers the first of the two signals instead of ending; a later one ends the process at once.

    A signal within a second of the first counts as the same one, sent twice. Only the main thread may handle signals:
    elsewhere, and for signals that the process was started to ignore, nothing is changed.

    Attributes:
        number: the signal that came; 0 before.
    """

    def __init__(self):
        self.number, self._since, self._handlers = 0, 0.0, {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._handlers[number] = signal.signal(number, self._hear)

    def _hear(self, number: int, _) -> None:
        if not self.number:
            self.number, self._since = number, time.monotonic()
        elif time.monotonic() - self._since > PASSED_ON:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def restore(self) -> None:
        """Handle signals as before."""
        while self._handlers:
            number, handler = self._handlers.popitem()
            signal.signal(
                number, handler or signal.SIG_DFL
            )  # None: one that Python did not install
