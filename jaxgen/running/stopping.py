"""A run is stopped by a signal: it saves, and goes on later."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import os
import signal
import threading
import time

ONE_STOP = 1.0  # seconds: shells, containers and launchers send several signals for one stop, as fast as this
_MEANT = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1")  # the last two: a lost terminal, and `sbatch --signal=USR1@120`
_UNLESS_IGNORED = ("SIGHUP", "SIGUSR1")  # under nohup a lost terminal is no reason to stop


class Stop:
    """True from the first Ctrl-C, SIGTERM, SIGUSR1 or lost terminal on, so that work can end whole.

    Further signals of any kind within `ONE_STOP` of the first belong to it; a later one ends the work at once, by
    KeyboardInterrupt. `when` says to the user when it ends. Signals come to the main thread alone: in another one it
    stays False.
    """

    def __init__(self, when: str = "after this call and saving"):
        self.signal: int | None = None
        self._at = 0.0  # when it came
        self._said = f"jaxgen: stopping {when}; a second signal ends it at once\n".encode()

    def __enter__(self) -> "Stop":
        numbers = [getattr(signal, name) for name in _MEANT if self._is_listened_to(name)]
        self._before = {number: signal.signal(number, self._note) for number in numbers}
        return self

    @staticmethod
    def _is_listened_to(name: str) -> bool:
        if threading.current_thread() is not threading.main_thread() or not hasattr(signal, name):
            return False
        return name not in _UNLESS_IGNORED or signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN

    def __exit__(self, *error: object) -> None:
        if self.signal is not None:  # what still comes of the same stop must not hit the default handlers
            time.sleep(max(0.0, self._at + ONE_STOP - time.monotonic()))
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: object) -> None:
        if self.signal is None:
            self.signal, self._at = number, time.monotonic()
            with contextlib.suppress(OSError):  # no print here: a signal may come in the middle of one
                os.write(2, self._said)
        elif time.monotonic() - self._at > ONE_STOP:
            raise KeyboardInterrupt

    def __call__(self) -> bool:
        return self.signal is not None
