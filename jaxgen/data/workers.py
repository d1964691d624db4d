"""What a process that loads examples does about signals and about the end of the process that started it."""
# SPDX-License-Identifier: Apache-2.0

import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import wait

_TO_ALL = ("SIGINT", "SIGHUP", "SIGUSR1")  # what a terminal or a launcher sends to all processes of a run
_SECONDS_LEFT = 10.0  # after SIGTERM, which a launcher sends to all, and Python itself to workers at its end
_LEFT_BEHIND = "ignore:resource_tracker:UserWarning"


def begin_worker(place: int, count: int) -> None:
    """Begin as worker `place` of `count`: end when the trainer ends, in whatever way, and not before.

    Ctrl-C reaches all processes of a terminal: the trainer then wants a few batches more, and says when it has enough.
    """
    if threading.current_thread() is threading.main_thread():
        for name in _TO_ALL:
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), signal.SIG_IGN)
        signal.signal(signal.SIGTERM, _end_later)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True, name="parent").start()


def quiet() -> None:
    """Before the first worker: where the trainer is killed, what it shared with them is tidied up without a warning."""
    if _LEFT_BEHIND not in sys.warnoptions:  # which are handed on to the processes that Python starts
        sys.warnoptions.append(_LEFT_BEHIND)


def _end_later(number: int, frame: object) -> None:
    timer = threading.Timer(_SECONDS_LEFT, os._exit, (128 + number,))
    timer.daemon = True
    timer.start()


def _end_with(sentinel: int) -> None:
    """Wait for the end of the process that `sentinel` belongs to, which a killed one tells as well; then end at once.

    Without a farewell: it would go to a process that is no more, and be told as an error.
    """
    wait([sentinel])
    os._exit(1)
