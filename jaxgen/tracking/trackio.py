"""Trackio: a tracker that keeps its runs in a local database, for `trackio show`."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from jaxgen.core.tracker import TrackedRun
from jaxgen.tracking.media import shown


@dataclass(frozen=True)
class Trackio:
    """A run of Trackio for each run folder, in Trackio's own folder ($TRACKIO_DIR, or that of its default)."""

    project: str
    space: str | None = None  # a Hugging Face Space that shows the project to others; None: this machine alone
    package: ClassVar[str] = "trackio"

    def start(self, run: TrackedRun) -> "_Session":
        import trackio

        # Two run folders may have one name; of a run's id four digits tell them apart.
        with _its_words_on_stderr():
            opened = trackio.init(
                project=self.project,
                name=f"{run.name}-{run.id[:4]}",
                space_id=self.space,
                config=dict(run.config),
                resume="allow" if run.goes_on else "never",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
        return _Session(opened)


class _Session:
    def __init__(self, run: Any):
        self._run = run

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def samples(self, step: int, file: Path) -> None:
        import trackio

        def as_it_stands(text: str) -> Any:
            return trackio.Markdown("    " + text.replace("\n", "\n    "))

        self._run.log(shown(trackio, file, as_it_stands), step=step)

    def finish(self) -> None:
        from trackio import context_vars, finish

        # Of the current run Trackio must know that it has ended, or it ends it again, in words, as the process leaves.
        is_current = context_vars.current_run.get() is self._run
        with _its_words_on_stderr():
            finish() if is_current else self._run.finish()


def _its_words_on_stderr() -> contextlib.AbstractContextManager:
    """Trackio prints what it does to stdout, which is for results here."""
    return contextlib.redirect_stdout(sys.stderr)
