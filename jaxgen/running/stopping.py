"""A run is stopped by a signal: it saves, and goes on later."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import os
import signal
import threading


class Stop:
    """True from the first Ctrl-C, SIGTERM or lost terminal on, so that work can end whole; a second ends it at once.

    `when` says to the user when it ends. Signals are the main thread's: in another one nothing is looked at.
    """

    def __init__(self, when: str = "after this call and saving"):
        self.signal: int | None = None
        self._said = f"jaxgen: stopping {when}; a second signal ends it at once\n".encode()

    def __enter__(self) -> "Stop":
        self._before = {}
        if threading.current_thread() is not threading.main_thread():
            return self
        numbers = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # under nohup a lost terminal is no reason to stop
            numbers.append(signal.SIGHUP)
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: object) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
        with contextlib.suppress(OSError):  # no print here: a signal may come in the middle of one
            os.write(2, self._said)

    def __call__(self) -> bool:
        return self.signal is not None
