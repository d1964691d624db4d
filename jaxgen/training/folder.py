"""A run's folder: what it says of itself, its two logs, and the lock that keeps a second process out."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxgen.atomic_write import write_whole
from jaxgen.disk import ABSENT, read_text
from jaxgen.errors import UserError
from jaxgen.training.lock import Lock

METRICS, TIMING, EXPERIMENT, ENVIRONMENT, SUMMARY, LOCK, STOPPED = (
    "metrics.jsonl",
    "timing.jsonl",
    "experiment.json",
    "environment.json",
    "summary.json",
    ".lock",
    "stopped.txt",  # why a run gave up; gone as soon as it is begun again
)


def named_folder(path: str | os.PathLike) -> Path:
    """What --workdir names. UserError for nothing, which would be the folder that the command is given in."""
    if not os.fspath(path):
        raise UserError("--workdir is empty; name a folder")
    return Path(path)


def unwritable(path: Path, error: OSError) -> UserError:
    """What is said of a --workdir in which nothing can be written."""
    return UserError(f"the workdir {path} cannot be written ({error.strerror}); give another --workdir")


class RunFolder:
    """Opened for writing by one process at a time."""

    def __init__(self, path: str | os.PathLike):
        self.path = named_folder(path)
        self.made = [place for place in (self.path, *self.path.parents) if not place.exists()]  # innermost first
        try:
            self.found = set() if self.made else set(os.listdir(self.path))
            (self.path / "samples").mkdir(parents=True, exist_ok=True)
            self._place = self.path.stat()
            self._lock = Lock(self.path / LOCK)
        except OSError as error:
            raise unwritable(self.path, error) from None

    @property
    def remark(self) -> str | None:
        """What the user should know of the lock."""
        return self._lock.remark

    @property
    def in_place(self) -> bool:
        """Whether the path still leads to the folder that was opened."""
        try:
            return os.path.samestat(self.path.stat(), self._place)
        except OSError:  # gone, or what a lost network disk answers
            return False

    def document(self) -> dict[str, Any] | None:
        """The experiment that the folder belongs to; None in a new one."""
        return read_json(self.path / EXPERIMENT)

    def describe(self, document: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
        """Write down once what is run, and each time where."""
        if self.document() is None:
            self.write(EXPERIMENT, json.dumps(document, indent=2) + "\n")
        self.write(ENVIRONMENT, json.dumps(environment, indent=2) + "\n")

    def write(self, name: str, content: str | bytes) -> None:
        with self._told(name):
            write_whole(self.path / name, content)

    def emptied(self, name: str) -> Path:
        """The folder of that name inside, made anew."""
        with self._told(name):
            if (self.path / name).exists():
                shutil.rmtree(self.path / name)
            (self.path / name).mkdir(parents=True)
        return self.path / name

    def drop(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def log(self, name: str, line: Mapping[str, Any]) -> None:
        """Append one object to metrics.jsonl or timing.jsonl."""
        text = json.dumps({key: finite(value) for key, value in line.items()}, allow_nan=False)
        with self._told(name), open(self.path / name, "a", encoding="utf-8") as file:
            file.write(text + "\n")

    def forget_after(self, step: int) -> None:
        """Drop both logs' lines past `step`, and a torn last one: the resumed run writes them again."""
        for name in (METRICS, TIMING):
            lines = lines_of(self.path / name)
            if lines:
                self.write(name, "".join(line + "\n" for line in lines if _step(line) <= step))

    def spent(self) -> Mapping[str, float]:
        """The seconds by cause that timing.jsonl told last; none in a new folder."""
        return spent_in(self.path)

    def summarise(self, figures: Mapping[str, Any]) -> None:
        """Add figures to summary.json."""
        merge_summary(self.path, figures)

    def close(self) -> None:
        self._lock.close()

    @contextlib.contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """Whatever keeps a file from being written, said in one sentence; nothing is written into another folder."""
        if not self.in_place:
            raise UserError(
                f"{self.path} is no more the folder that this run writes (moved, removed, or its disk unmounted); put "
                "it back and run the same command again"
            )
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{self.path / name} could not be written ({error.strerror}); mend that (make room, where the disk is "
                "full) and run the same command again"
            ) from None


class FollowedFolder:
    """The run's folder as a process sees it that does not write it: process 0 does."""

    remark: str | None = None

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)

    def describe(self, document: Mapping[str, Any], environment: Mapping[str, Any]) -> None: ...

    def write(self, name: str, content: str | bytes) -> None: ...

    def drop(self, name: str) -> None: ...

    def log(self, name: str, line: Mapping[str, Any]) -> None: ...

    def forget_after(self, step: int) -> None: ...

    def spent(self) -> Mapping[str, float]:
        return {}

    def summarise(self, figures: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


def evaluations(folder: Path) -> dict[int, dict[str, float]]:
    """The figures of each evaluation that metrics.jsonl tells, in the order of their steps; null what is not finite."""
    return {line["step"]: line for line in metric_lines(folder) if line["split"] != "train"}


def metric_lines(folder: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of metrics.jsonl, of training and of evaluations; figures that are not finite are null."""
    lines = lines_of(folder / METRICS)
    return (json.loads(line) for line in lines if '"split"' in line and _step(line) != math.inf)


def spent_in(folder: Path) -> dict[str, float]:
    """The seconds by cause that a run's timing.jsonl told last, of all its sessions; none where there is no run."""
    told = (line for line in reversed(lines_of(folder / TIMING)) if '"spent"' in line and _step(line) != math.inf)
    return next((json.loads(line)["spent"] for line in told), {})


def merge_summary(folder: Path, figures: Mapping[str, Any]) -> None:
    """Add figures to a run's summary.json."""
    before = read_json(folder / SUMMARY)
    summary = (before if isinstance(before, dict) else {}) | {name: finite(value) for name, value in figures.items()}
    try:
        write_whole(folder / SUMMARY, json.dumps(summary, indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise UserError(
            f"{folder / SUMMARY} could not be written ({error.strerror}); make room and run again"
        ) from None


def lines_of(path: Path) -> list[str]:
    """The lines of a text file of jaxgen's own; none when there is no such file. UserError when the disk fails."""
    try:
        return read_text(path).splitlines()
    except ABSENT:
        return []


def read_json(path: Path) -> Any:
    """What a JSON file holds; None when there is no such file. UserError when it is no JSON, or the disk fails."""
    try:
        return json.loads(read_text(path))
    except ABSENT:
        return None
    except ValueError as error:
        raise UserError(f"{path} cannot be read ({error}); restore it, or train into another --workdir") from None


def _step(line: str) -> float:
    """The step of a line; infinite for a torn one."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf


def finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they are written as null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
