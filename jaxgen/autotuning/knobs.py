"""The fields of an experiment that change how fast it trains and not what it computes, and the values to try.

Every value leaves the losses as they are, up to rounding; only the batch size does not, which is tried when it is asked
for. XLA flags are no field: a process takes them as it begins.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxgen.config.introspection import below, described_fields, is_part
from jaxgen.errors import UserError, nearest
from jaxgen.experiment import Experiment
from jaxgen.nn.remat import Remat

STEPS_PER_CALL = (1, 10, 50, 200)
LONGEST_CALL = 0.5  # seconds: a call costs the host about a millisecond, so that a longer one gains nothing


@dataclass(frozen=True)
class Candidate:
    """One way to train the experiment: fields as --set takes them, and XLA flags."""

    settings: tuple[str, ...] = ()
    flags: str = ""

    def __str__(self) -> str:
        flags = (f"XLA_FLAGS={self.flags!r}",) if self.flags else ()
        return " ".join((*self.settings, *flags)) or "as it is"

    def changed(self, settings: Sequence[str], flags: str | None = None) -> "Candidate":
        """This one with other values of these fields, or with other flags."""
        fields = {setting.partition("=")[0]: setting for setting in (*self.settings, *settings)}
        return Candidate(tuple(fields.values()), self.flags if flags is None else flags)


@dataclass(frozen=True)
class Seen:
    """What a process has seen of the experiment as it is."""

    most_devices: int  # of this machine that the batch can be cut over
    loops: bool  # whether several steps may go into one call
    step_seconds: float


@dataclass(frozen=True)
class Knob:
    """One thing to try: each value is the settings, or the XLA flags, that stand for it."""

    name: str
    values: tuple[tuple[str, ...], ...]
    flags: tuple[str, ...] = ()
    same_losses: bool = True

    def candidates(self, present: Candidate) -> list[Candidate]:
        """The values in the place of what `present` has."""
        return [present.changed(value) for value in self.values] + [present.changed((), flags) for flags in self.flags]


Values = Iterator[tuple[str, ...]]


def _devices(experiment: Experiment, seen: Seen) -> Values:
    """One device for all, or all; a mesh over parameters is the user's own choice."""
    if seen.most_devices > 1 and experiment.parallel.fsdp * experiment.parallel.tensor == 1:
        yield from (("parallel.data=1",), ("parallel.data=0",))


def _steps_per_call(experiment: Experiment, seen: Seen) -> Values:
    """No call goes on across an event such as a line of the log."""
    longest = min(experiment.steps, *vars(experiment.every).values())
    for steps in STEPS_PER_CALL if seen.loops else ():
        if steps <= longest and (steps == 1 or steps * seen.step_seconds <= LONGEST_CALL):
            yield (f"steps_per_call={steps}",)


def _scan(experiment: Experiment, seen: Seen) -> Values:
    """Blocks in one loop, or unrolled; of all networks of the task alike."""
    paths = [path for path, value in _fields(experiment.task, "task") if path.endswith(".scan") and value in (0, 1)]
    for word in ("true", "false") if paths else ():
        yield tuple(f"{path}={word}" for path in paths)


def _remat(experiment: Experiment, seen: Seen) -> Values:
    """What blocks keep for the backward pass; of all networks of the task alike."""
    paths = [path for path, value in _fields(experiment.task, "task") if isinstance(value, Remat)]
    for remat in Remat if paths else ():
        yield tuple(f"{path}={remat.name}" for path in paths)


def _fields(part: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name in described_fields(type(part)):
        value, place = getattr(part, name), below(path, name)
        yield place, value
        if is_part(value):
            yield from _fields(value, place)


KNOBS: Mapping[str, Callable[[Experiment, Seen], Values]] = {
    "devices": _devices,
    "steps_per_call": _steps_per_call,
    "scan": _scan,
    "remat": _remat,
}


def chosen_knobs(names: Sequence[str]) -> tuple[str, ...]:
    """The knobs of these names in the order they are tried in, all without any. UserError for one that is none."""
    for name in names:
        if name not in KNOBS:
            raise UserError(f"--knobs {name}: there is no such knob{nearest(name, KNOBS)}")
    return tuple(name for name in KNOBS if name in names or not names)


def planned(
    experiment: Experiment, seen: Seen, names: Sequence[str], batches: Sequence[int], flags: Sequence[str]
) -> list[Knob]:
    """What is tried, in this order: what changes a step's shapes first, what changes how it is compiled last."""
    sizes = tuple((f"data.batch_size={size}",) for size in batches)
    knobs = [Knob("batch size", sizes, same_losses=False)]
    knobs += [Knob(name, tuple(KNOBS[name](experiment, seen))) for name in names]
    return [*knobs, Knob("XLA flags", (), tuple(flags))]
