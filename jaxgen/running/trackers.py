"""The trackers of one run: opened once, told each step once, and left behind where they fail."""
# SPDX-License-Identifier: Apache-2.0

import importlib.util
import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxgen.core.tracker import NeedsPackage, Session, ShowsSamples, TrackedRun, Tracker
from jaxgen.errors import UserError
from jaxgen.training.folder import EXPERIMENT, FollowedFolder, RunFolder, read_json

TRACKED = "tracked.json"  # the run's id, and how far each tracker has been told of it
_SAMPLES = "samples"


def refuse_unusable(trackers: Sequence[Any]) -> None:
    """UserError for what is no tracker, and for one whose package is not installed; nothing is imported."""
    for tracker in trackers:
        kind = type(tracker).__name__
        if not isinstance(tracker, Tracker):
            raise UserError(f"trackers holds a {kind}, which has no method start(run); docs/tracking.md shows one")
        if isinstance(tracker, NeedsPackage) and importlib.util.find_spec(tracker.package) is None:
            package = tracker.package
            raise UserError(f"trackers: {kind} needs the package {package}; run pip install 'jaxgen[{package}]'")


class Trackers:
    """What was told is noted before it is told, so that a run that was killed in between tells it less than once rather
    than twice. A run that goes on from a checkpoint, or is rolled back to one, tells its trackers nothing of the steps
    that they know already.
    """

    def __init__(self, folder: RunFolder | FollowedFolder, trackers: Sequence[Tracker], say: Callable[[str], None]):
        self._folder, self._say = folder, say
        self._trackers, self._sessions = dict(_named(trackers)), {}
        self._opened = False
        self._tracked: dict[str, Any] = {}

    def open(self) -> None:
        """Start them all, once; UserError where one cannot be started."""
        if self._opened or not self._trackers:
            return
        self._opened = True
        match read_json(self._folder.path / TRACKED):
            case {"id": str(), "told": dict()} as held:
                self._tracked = held
            case None:
                self._tracked = {"id": secrets.token_hex(8), "told": {}}
            case _:
                raise UserError(f"{self._folder.path / TRACKED} is damaged; restore it from a copy, or delete it")
        path = self._folder.path.resolve()
        config = read_json(path / EXPERIMENT) or {}
        for name, tracker in self._trackers.items():
            goes_on = bool(self._known(name))
            try:
                self._sessions[name] = tracker.start(TrackedRun(path.name, self._tracked["id"], path, config, goes_on))
            except UserError:
                raise
            except Exception as error:
                raise UserError(f"the tracker {name} cannot be started ({_in_a_line(error)})") from error

    def log(self, step: int, split: str, metrics: Mapping[str, float]) -> None:
        tagged = {f"{name}/{split}": float(value) for name, value in metrics.items()}
        self._tell(step, split, lambda session: session.log(step, tagged))

    def samples(self, step: int, file: Path) -> None:
        def show(session: Session) -> None:
            if isinstance(session, ShowsSamples):
                session.samples(step, file)

        self._tell(step, _SAMPLES, show)

    def finish(self) -> None:
        for name in list(self._sessions):
            self._try(name, lambda session: session.finish())
        self._sessions = {}

    def _tell(self, step: int, what: str, tell: Callable[[Session], None]) -> None:
        new = [name for name in self._sessions if step > self._known(name).get(what, -1)]
        if not new:
            return
        for name in new:
            self._known(name)[what] = step
        self._folder.write(TRACKED, json.dumps(self._tracked, indent=2) + "\n")
        for name in new:
            self._try(name, tell)

    def _known(self, name: str) -> dict[str, int]:
        """The newest step of each split that a tracker has been told."""
        return self._tracked["told"].setdefault(name, {})

    def _try(self, name: str, tell: Callable[[Session], None]) -> None:
        """A tracker that fails is left behind, and that is told: days of training do not end for it."""
        try:
            tell(self._sessions[name])
        except Exception as error:
            self._say(f"the tracker {name} has failed ({_in_a_line(error)}); the run goes on without it")
            del self._sessions[name]


def _named(trackers: Sequence[Tracker]) -> Iterator[tuple[str, Tracker]]:
    """Each with its class's name, numbered where there are several of one class."""
    seen: Counter = Counter()
    for tracker in trackers:
        name = type(tracker).__name__
        seen[name] += 1
        yield (name if seen[name] == 1 else f"{name}-{seen[name]}"), tracker


def _in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
