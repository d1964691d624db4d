"""Progress on stderr: a bar with rate and ETA on a terminal, plain lines elsewhere; stdout stays free for results."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Protocol

SECONDS_BETWEEN_LINES = 10.0  # in a log file
SECONDS_BETWEEN_FRAMES = 0.1  # on a terminal
SECONDS_BEFORE_WORK = 2.0  # until work that may be short is shown at all
_whose: ContextVar[str] = ContextVar("whose", default="")


class Progress:
    """`with Progress(steps, "train", batch_size) as progress:` and then `progress.update(step, values, rate)`.

    The remaining time comes from the caller's rate alone (`examples_per_step` of them a step), so that a pause for an
    evaluation or a checkpoint, which the caller leaves out of its rate, does not make it jump.
    """

    def __init__(self, total: int, label: str, examples_per_step: float, shown: bool = True):
        self._total, self._label, self._examples_per_step = total, label, examples_per_step
        self._display = _Nothing() if not shown else _Bar(total, label) if sys.stderr.isatty() else _Lines(label)
        self._last: tuple[int, str] | None = None  # said but not yet shown
        self._step = 0
        self._shown_at = -float("inf")

    def update(self, step: int, values: Mapping[str, float], examples_per_second: float | None) -> None:
        """Say where the run is: `step` steps are done. A rate of None (nothing timed yet) leaves rate and ETA out."""
        self._step = step
        self._last = step, self._line(step, values, examples_per_second)
        if time.monotonic() - self._shown_at >= self._display.interval:
            self._show()

    def work(self, total: int, label: str) -> "Work":
        """Progress of something that the run waits for, in the same place."""
        return Work(total, label, self._display, self._step)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._last is not None:
            self._show()
        self._display.close()

    def _show(self) -> None:
        self._display.show(*self._last)
        self._last, self._shown_at = None, time.monotonic()

    def _line(self, step: int, values: Mapping[str, float], rate: float | None) -> str:
        parts = [f"step {step}/{self._total}", f"{100 * step // max(self._total, 1)} %"]
        parts += [f"{name} {value:.4g}" for name, value in values.items()]
        if rate is not None and 0 < rate < float("inf"):
            left = (self._total - step) * self._examples_per_step / rate
            parts += [f"{rate:,.0f} examples/s" if rate >= 10 else f"{rate:.2g} examples/s", f"ETA {clock(left)}"]
        return "  ".join(parts)


class Work:
    """`with Work(total, "sampling") as work:` and then `work.done(count)`: progress of what may or may not take long.

    Nothing is shown of work that ends within a few seconds. `display` is that of a run's progress, where this is a part
    of a run, and `step` the step that the run stands at.
    """

    def __init__(self, total: int, label: str, display: "_Display | None" = None, step: int = 0):
        self._total, self._label, self._step = total, label, step
        self._display, self._own = display, display is None
        self._began = self._shown_at = time.monotonic()
        self.count = 0

    def __enter__(self) -> "Work":
        return self

    def __exit__(self, *error: object) -> None:
        if self._own and self._display is not None:
            self._display.close()

    def done(self, count: int) -> None:
        """`count` of the total are done."""
        self.count, now = count, time.monotonic()
        if now - self._began < SECONDS_BEFORE_WORK or now - self._shown_at < self._interval:
            return
        if self._display is None:
            self._display = _Bar(self._total, self._label) if sys.stderr.isatty() else _Lines(self._label)
        rate, self._shown_at = count / (now - self._began), now
        parts = [f"{count:,}/{self._total:,}", f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"]
        line = "  ".join([*parts, f"ETA {clock((self._total - count) / rate)}"])
        self._display.show(count if self._own else self._step, line if self._own else f"{self._label} {line}")

    @property
    def _interval(self) -> float:
        return SECONDS_BETWEEN_FRAMES if sys.stderr.isatty() else SECONDS_BETWEEN_LINES / 2


def clock(seconds: float) -> str:
    """Seconds as a clock shows them: 0:31, 12:05, 1:02:03."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


class _Display(Protocol):
    """Where progress is drawn."""

    interval: float  # seconds

    def show(self, step: int, line: str) -> None: ...

    def close(self) -> None: ...


class _Nothing:
    """Of several processes one shows the run's progress, and this is another."""

    interval = float("inf")

    def show(self, step: int, line: str) -> None: ...

    def close(self) -> None: ...


class _Lines:
    """Plain lines, seldom enough for a log file."""

    interval = SECONDS_BETWEEN_LINES

    def __init__(self, label: str):
        self._label = label

    def show(self, step: int, line: str) -> None:
        _tell(f"{self._label}: {line}")

    def close(self) -> None:
        """Nothing is held open."""


class _Bar:
    """A bar that redraws itself in place."""

    interval = SECONDS_BETWEEN_FRAMES

    def __init__(self, total: int, label: str):
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress
        from rich.table import Column

        # Frames are drawn on `show` alone (no thread beside the run), and stdout is not touched: rich would otherwise
        # send what is printed there to stderr.
        self._bar = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[line]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=Console(stderr=True),
            auto_refresh=False,
            redirect_stdout=False,
        )
        self._task = self._bar.add_task(label, total=total, line="")
        self._bar.start()

    def show(self, step: int, line: str) -> None:
        with contextlib.suppress(OSError):  # as in `_tell`
            self._bar.update(self._task, completed=step, line=line, refresh=True)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._bar.stop()


def say(sentence: str) -> None:
    """One sentence to the user; stdout stays for results."""
    _tell(f"jaxgen: {_whose.get()}{sentence}")


@contextlib.contextmanager
def said_of(name: str) -> Iterator[None]:
    """Sentences inside are of one of several runs: its name stands before them."""
    token = _whose.set(f"{name}: ")
    try:
        yield
    finally:
        _whose.reset(token)


def _tell(line: str) -> None:
    # When nobody reads any more (`| tee` got the Ctrl-C too), the run must save all the same.
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)
