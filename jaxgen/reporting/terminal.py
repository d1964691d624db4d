"""Progress on stderr: a bar with rate and ETA on a terminal, plain lines elsewhere; stdout stays free for results."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import sys
import time
from collections.abc import Mapping
from types import TracebackType

SECONDS_BETWEEN_LINES = 10.0  # in a log file
SECONDS_BETWEEN_FRAMES = 0.1  # on a terminal


class Progress:
    """`with Progress(steps, "train", batch_size) as progress:` and then `progress.update(step, values, rate)`.

    The remaining time comes from the caller's rate alone (`examples_per_step` of them a step), so that a pause for an
    evaluation or a checkpoint, which the caller leaves out of its rate, does not make it jump.
    """

    def __init__(self, total: int, label: str, examples_per_step: float, shown: bool = True):
        self._total, self._label, self._examples_per_step = total, label, examples_per_step
        self._display = _Nothing() if not shown else _Bar(total, label) if sys.stderr.isatty() else _Lines(label)
        self._last: tuple[int, str] | None = None  # said but not yet shown
        self._shown_at = -float("inf")

    def update(self, step: int, values: Mapping[str, float], examples_per_second: float | None) -> None:
        """Say where the run is: `step` steps are done. A rate of None (nothing timed yet) leaves rate and ETA out."""
        self._last = step, self._line(step, values, examples_per_second)
        if time.monotonic() - self._shown_at >= self._display.interval:
            self._show()

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


def clock(seconds: float) -> str:
    """Seconds as a clock shows them: 0:31, 12:05, 1:02:03."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


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
    _tell(f"jaxgen: {sentence}")


def _tell(line: str) -> None:
    # When nobody reads any more (`| tee` got the Ctrl-C too), the run must save all the same.
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)
