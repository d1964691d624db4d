"""What a run computed, written to its folder, to TensorBoard and to the experiment's trackers alike."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
from collections.abc import Callable, Iterator, Sequence

from jaxgen.core.tracker import Tracker
from jaxgen.reporting.artefacts import RECORDING, Artefact
from jaxgen.reporting.events import EventWriter
from jaxgen.running.trackers import Trackers
from jaxgen.training.folder import METRICS, FollowedFolder, RunFolder
from jaxgen.training.processes import leads


class RunLog:
    """Metrics and samples by step; process 0 alone writes."""

    def __init__(
        self, folder: RunFolder | FollowedFolder, trackers: Sequence[Tracker] = (), say: Callable[[str], None] = print
    ):
        self.folder = folder
        self._events: EventWriter | None = None
        self._say = say
        self._trackers = Trackers(folder, trackers if leads() else (), say)

    @contextlib.contextmanager
    def events_from(self, step: int) -> Iterator[None]:
        """While this is open TensorBoard's events are written too; a reader drops earlier ones of `step` and after.

        The trackers are opened with it, and stay open until `finish`.
        """
        self._trackers.open()
        with self._events_of(step) as self._events:
            yield

    def _events_of(self, step: int) -> contextlib.AbstractContextManager:
        """The writer, or None where another process writes or where what writes them is not installed."""
        if not leads():
            return contextlib.nullcontext()
        try:
            return EventWriter(self.folder.path / "events", resumed_at=step)
        except ModuleNotFoundError as error:
            missing = f"{error.name} is not installed (pip install tensorboardX)"
            self._say(f"no events are written for TensorBoard: {missing}")
            return contextlib.nullcontext()

    def metrics(self, step: int, split: str, values: dict[str, float]) -> None:
        self.folder.log(METRICS, {"step": step, "split": split, **values})
        if self._events is not None:
            self._events.scalars(step, split, values)
        self._trackers.log(step, split, values)

    def samples(self, step: int, artefact: Artefact) -> None:
        """Recordings that texts were made for are the same at every step, and kept once."""
        for number, recording in enumerate(artefact.recordings, 1):
            self.folder.write(f"samples/{RECORDING}{number}.wav", recording)
        name = f"samples/{step}.{artefact.suffix}"
        self.folder.write(name, artefact.content)
        if self._events is not None:
            self._events.artefact(step, "samples", artefact)
        self._trackers.samples(step, self.folder.path / name)

    def finish(self) -> None:
        """Close the trackers; the events are closed where they were opened."""
        self._trackers.finish()
