"""What a run computed, written to its folder and to TensorBoard alike."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
from collections.abc import Iterator

from jaxgen.reporting.artefacts import Artefact
from jaxgen.reporting.events import EventWriter
from jaxgen.training.folder import METRICS, FollowedFolder, RunFolder
from jaxgen.training.processes import leads


class RunLog:
    """Metrics and samples by step; process 0 alone writes."""

    def __init__(self, folder: RunFolder | FollowedFolder):
        self.folder = folder
        self._events: EventWriter | None = None

    @contextlib.contextmanager
    def events_from(self, step: int) -> Iterator[None]:
        """While this is open TensorBoard's events are written too; a reader drops earlier ones of `step` and after."""
        events = EventWriter(self.folder.path / "events", resumed_at=step) if leads() else contextlib.nullcontext()
        with events as self._events:
            yield

    def metrics(self, step: int, split: str, values: dict[str, float]) -> None:
        self.folder.log(METRICS, {"step": step, "split": split, **values})
        if self._events is not None:
            self._events.scalars(step, split, values)

    def samples(self, step: int, artefact: Artefact) -> None:
        self.folder.write(f"samples/{step}.{artefact.suffix}", artefact.content)
        if self._events is not None:
            self._events.artefact(step, "samples", artefact)
