"""The contract of trackers: other programs that follow a run's metrics and samples, beside TensorBoard's events."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told of the run that it shall follow."""

    name: str  # of the run's folder
    id: str  # 16 hexadecimal digits of this run alone, the same when it goes on
    folder: Path  # the run's
    config: Mapping[str, Any]  # the experiment, as experiment.json has it
    goes_on: bool  # whether the tracker was told of steps of this run before


class Session(Protocol):
    """An open tracker. Steps never decrease, and no step is told twice, not by a run that goes on either."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics of a step under the tags of TensorBoard, "loss/train" and "bits_per_dim/test"; some may be NaN."""

    def finish(self) -> None:
        """Write out what is held back; the run ends, is stopped or has failed."""


@runtime_checkable
class ShowsSamples(Protocol):
    """A session that shows samples too."""

    def samples(self, step: int, file: Path) -> None:
        """The samples of a step: RUN/samples/STEP.png, .gif, .wav or .txt."""


@runtime_checkable
class Tracker(Protocol):
    """Settings of a tracker: an entry of an experiment's `trackers`, a frozen dataclass."""

    def start(self, run: TrackedRun) -> Session:
        """Open it; only process 0 of a run does so. An error here ends the run before it is trained."""


@runtime_checkable
class NeedsPackage(Protocol):
    """A tracker whose package may not be installed."""

    package: str  # as it is imported, and the extra of jaxgen that installs it
