"""An ablation: which fields of an experiment vary over which values, and by which figures the runs are compared."""
# SPDX-License-Identifier: Apache-2.0

import enum
import functools
import itertools
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxgen.config.changes import set_fields
from jaxgen.early_stopping import EarlyStopping
from jaxgen.errors import UserError, check_kind, nearest
from jaxgen.experiment import Experiment

SEED = "seed"  # the axis of repetitions
EXPERIMENT = "experiment"  # the axis of several experiments
PRETRAINED = "the pretrained run"  # as a start's `run`: the one of Ablation.pretrained, of the member's own seed
_LONGEST = 120  # characters of a member's name: folders may have 255


class Design(enum.Enum):
    """Which combinations of the axes' values are run; every one with every seed."""

    GRID = "grid"  # all
    EACH_EXPERIMENT = "each experiment"  # all, compared within each of several experiments, not between them
    ONE_AT_A_TIME = "one at a time"  # the first of each axis, and each other value with the first of the other axes


@dataclass(frozen=True)
class Metric:
    """A figure of `jaxgen evaluate`, and whether less of it is better."""

    name: str
    lower: bool = True


@dataclass(frozen=True)
class Steps:
    """So many steps for every run."""

    steps: int

    def __post_init__(self):
        if not isinstance(self.steps, int) or self.steps < 1:
            raise UserError(f"Steps({self.steps!r}): give a whole number from 1 on")


@dataclass(frozen=True)
class Elements:
    """So many tokens of texts, or pixels of pictures, for every run: as many steps as its batches make of them."""

    elements: float

    def __post_init__(self):
        _refuse_nothing("Elements", self.elements)


@dataclass(frozen=True)
class Flops:
    """So many floating-point operations of training steps for every run, counted as `jaxgen describe` does."""

    flops: float

    def __post_init__(self):
        _refuse_nothing("Flops", self.flops)


@dataclass(frozen=True)
class Seconds:
    """So many seconds of training steps for every run, compiling apart.

    The steps of a configuration are counted from the pace of its first run's own first steps, which are taken before
    and thrown away: choose `processes` so that runs do not slow each other down.
    """

    seconds: float

    def __post_init__(self):
        _refuse_nothing("Seconds", self.seconds)


def _refuse_nothing(name: str, amount: float) -> None:
    if not isinstance(amount, int | float) or not 0 < amount < math.inf:
        raise UserError(f"{name}({amount!r}): give a number above 0")


Budget = Steps | Elements | Flops | Seconds
Change = Sequence[str] | Callable[[Experiment], Experiment]  # what `--set` is given, or a function
Levels = Sequence[Any] | Mapping[str, Change | Mapping[str, Change]]


@dataclass(frozen=True)
class Ablation:
    """Runs of `base`, or of several named experiments, with the fields that `axes` name set to each of their values.

    An axis is a field and its values ("task.network.width": (64, 128)), as `--set` takes them, or a name and for each
    of its levels what `--set` is given ("norm": {"layer": [], "rms": ["task.network.norm=RMS"]}). Others are compared
    with an axis's first value, seed by seed. Without a `budget` each run takes its experiment's own steps.
    `early` ends runs that stand behind others.

    For what `--set` cannot say a level is a function of the experiment, called before the other levels are set. A level
    that is not the same in every experiment is a mapping from their names to what it is there; there is no member where
    it lacks one.

    `pretrained` is trained first, with each seed, in its own steps: members with `start=Start(PRETRAINED)` start from
    the run of their own experiment and seed.
    """

    base: Experiment | Mapping[str, Experiment]
    axes: Mapping[str, Levels]
    metrics: Sequence[Metric]
    budget: Budget | None = None
    design: Design = Design.GRID
    early: EarlyStopping | None = None  # by the first metric, as evaluations in training have it
    pretrained: Experiment | Mapping[str, Experiment] | None = None

    def __post_init__(self):
        self._check_kinds()
        for axis, values in self.axes.items():
            _check_axis(axis, values)
            for level, change in values.items() if isinstance(values, Mapping) else ():
                self._refuse_unknown(change, f"the level {level!r} of {axis!r}")
        if self.budget is not None and "steps" in self.axes:
            raise UserError("the axis 'steps' and a budget both say how many steps a run takes; leave one of them out")
        self._refuse_unknown(self.pretrained, "pretrained")
        if self.design is Design.EACH_EXPERIMENT and not isinstance(self.base, Mapping):
            raise UserError("Design.EACH_EXPERIMENT is for several experiments; give base as {name: experiment}")
        members = self.members  # UserError where a field or a value is none, or two members cannot be told apart
        for axis, levels in self.varied.items():
            for level in levels:
                if not any(member.levels[axis] == level for member in members):
                    raise UserError(
                        f"no member has the level {level!r} of {axis!r}; give it for an experiment that the design "
                        "runs with it, or leave it out"
                    )
        if self.pretrained is not None and not any(member.start for member in members):
            raise UserError("no member starts from `pretrained`; give some start=Start(PRETRAINED), or leave it out")

    def _check_kinds(self) -> None:
        """UserError for fields of another kind."""
        check_kind("axes", self.axes, Mapping, "give {field: values}, as {'task.network.width': (64, 128)}")
        metrics = self.metrics if isinstance(self.metrics, Collection) and not isinstance(self.metrics, str) else ()
        if not metrics or not all(isinstance(metric, Metric) for metric in metrics):
            raise UserError(f"metrics is {self.metrics!r}; give one or more, as [Metric('bits_per_dim')]")
        check_kind("design", self.design, Design, f"give one of {', '.join(map(str, Design))}")
        for name, kind in (("budget", Budget), ("early", EarlyStopping)):
            kinds = ", ".join(f"{one.__name__}(...)" for one in kind.__args__)
            check_kind(name, getattr(self, name), kind | None, f"give one of {kinds}, or None")
        several = self.base.items() if isinstance(self.base, Mapping) else [("the experiment", self.base)]
        if not several or not all(isinstance(name, str) and isinstance(one, Experiment) for name, one in several):
            raise UserError('base is no experiment; give one, or several by name, as {"rnn": experiment}')

    def _refuse_unknown(self, by_experiment: Any, where: str) -> None:
        """UserError where a mapping from the experiments' names has another."""
        known = list(self.base) if isinstance(self.base, Mapping) else []
        for name in by_experiment if isinstance(by_experiment, Mapping) else ():
            if name not in known:
                mend = nearest(name, known) or "; base is one experiment without a name"
                raise UserError(f"{where} is given for {name!r}, which is no experiment of base{mend}")

    @property
    def varied(self) -> dict[str, list[str]]:
        """Each axis but the seeds, and its levels' names, the one that others are compared with first."""
        several = {EXPERIMENT: list(self.base)} if isinstance(self.base, Mapping) else {}
        return several | {axis: _names(values) for axis, values in self.axes.items() if axis != SEED}

    @property
    def seeds(self) -> list[str]:
        """As the axis names them; one nameless where there is none, which has each experiment's own seed."""
        return _names(self.axes[SEED]) if SEED in self.axes else [""]

    @functools.cached_property
    def members(self) -> list["Member"]:
        """Every run, all configurations with the first seed first."""
        found: dict[str, Member] = {}
        for seed, levels in itertools.product(self.seeds, self._configurations()):
            member = self._member(levels, seed)
            if member.name in found:
                raise UserError(
                    f"two members are both called {member.name}; give the axis's values names of their own, as in "
                    '"axis": {"name": ["field=value"], ...}'
                )
            found[member.name] = member
        return list(found.values())

    @property
    def starts(self) -> list["Member"]:
        """The pretrained runs that members start from, each once."""
        return list({member.start.name: member.start for member in self.members if member.start}.values())

    def _configurations(self) -> Iterator[dict[str, str]]:
        """Those of the design that the levels are given for."""
        return (levels for levels in self._designed() if None not in self._changes(levels))

    def _designed(self) -> Iterator[dict[str, str]]:
        axes = self.varied
        if self.design is not Design.ONE_AT_A_TIME:
            for names in itertools.product(*axes.values()):
                yield dict(zip(axes, names, strict=True))
            return
        first = {axis: names[0] for axis, names in axes.items()}
        yield first
        for axis, names in axes.items():
            for name in names[1:]:
                yield first | {axis: name}

    def _member(self, levels: Mapping[str, str], seed: str) -> "Member":
        base = self.base[levels[EXPERIMENT]] if isinstance(self.base, Mapping) else self.base
        changes = [*self._changes(levels), *self._changes({SEED: seed} if seed else {})]
        experiment, settings = _changed(base, changes)
        named_by, start = self._named_by(levels), None
        if experiment.start is not None and experiment.start.run == PRETRAINED:
            start = self._start(levels, seed)
        return Member(_name(named_by, seed), levels, named_by, seed, settings, experiment, start)

    def _start(self, levels: Mapping[str, str], seed: str) -> "Member":
        """The run that members of this experiment and seed start from."""
        several, experiment = isinstance(self.pretrained, Mapping), levels.get(EXPERIMENT)
        first = self.pretrained.get(experiment) if several else self.pretrained
        if first is None:
            of = f" of {experiment}" if several else ""
            raise UserError(f"a member{of} starts from PRETRAINED; give `pretrained` the experiment of that run{of}")
        named_by = {EXPERIMENT: experiment} if several else {}
        first, settings = _changed(first, self._changes({SEED: seed} if seed else {}))
        name = _name({EXPERIMENT: ",".join(("pretrained", *named_by.values()))}, seed)
        return Member(name, named_by, named_by, seed, settings, first)

    def _changes(self, levels: Mapping[str, str]) -> list[Change | None]:
        """What these levels do to the experiment that is among them; None for one that it lacks."""
        found = []
        for axis, level in levels.items():
            if axis not in self.axes:  # the experiment itself
                continue
            values = self.axes[axis]
            change = values[level] if isinstance(values, Mapping) else [f"{axis}={level}"]
            found.append(change.get(levels.get(EXPERIMENT)) if isinstance(change, Mapping) else change)
        return found

    def _named_by(self, levels: Mapping[str, str]) -> dict[str, str]:
        """The levels that a configuration is named by, by their axes' labels.

        Every level, or of one change at a time the one that is not the first.
        """
        if self.design is Design.ONE_AT_A_TIME:
            first = {axis: names[0] for axis, names in self.varied.items()}
            levels = {axis: level for axis, level in levels.items() if axis == EXPERIMENT or level != first[axis]}
        return {self.label(axis): level for axis, level in levels.items()}

    def label(self, axis: str) -> str:
        """What tables and folders call an axis: its last part, or so many of the last that no other ends with them."""
        parts = axis.split(".")
        labels = (".".join(parts[-count:]) for count in range(1, len(parts)))
        others = [f".{other}" for other in self.varied if other != axis]
        return next((label for label in labels if not any(one.endswith(f".{label}") for one in others)), axis)


@dataclass(frozen=True)
class Member:
    """One run of an ablation: its level of each axis, those that its name is made of by label, and its seed."""

    name: str
    levels: Mapping[str, str]
    named_by: Mapping[str, str]
    seed: str
    settings: Sequence[str]  # of its base, as `--set` takes them
    experiment: Experiment
    start: "Member | None" = None  # the pretrained run that it starts from


def _check_axis(axis: str, values: Levels) -> None:
    """UserError where they are no levels."""
    if not isinstance(values, Collection) or isinstance(values, str):
        raise UserError(f'the axis {axis!r} is {values!r}; give a list of values, or {{"name": ["field=value"], ...}}')
    if not len(values):
        raise UserError(f"the axis {axis!r} has no values; give it one or more, or leave it out")
    for level, change in values.items() if isinstance(values, Mapping) else ():
        if not isinstance(level, str):
            raise UserError(f"the axis {axis!r} has a level {level!r}; name levels by words, as {str(level)!r}")
        if axis == SEED and isinstance(change, Mapping):
            raise UserError(f"the seed {level!r} differs by experiment; give what is set for all of them")


def _names(values: Levels) -> list[str]:
    return list(values) if isinstance(values, Mapping) else [_word(value) for value in values]


def _word(value: Any) -> str:
    """A value as `--set` takes it."""
    if isinstance(value, enum.Enum):
        return value.name
    return value.__name__ if isinstance(value, type) else str(value)


def _changed(base: Experiment, changes: Sequence[Change]) -> tuple[Experiment, list[str]]:
    """The experiment after its functions, then all settings together; and these. UserError where one is none."""
    settings = [setting for change in changes if not callable(change) for setting in change]
    for change in filter(callable, changes):
        base = change(base)
        if not isinstance(base, Experiment):
            raise UserError(f"a level's function gave a value of type {type(base).__name__}; return an Experiment")
    try:
        return set_fields(base, settings), settings
    except UserError as error:
        raise UserError(str(error).replace("--set ", "the axis value ", 1)) from None


def configuration_name(named_by: Mapping[str, str]) -> str:
    """A file's name: `width=64,norm=rms`; `base` of none."""
    parts = [level if label == EXPERIMENT else f"{label}={level}" for label, level in named_by.items()]
    return re.sub(r"[^\w.=,+-]+", "_", ",".join(parts)) or "base"


def configuration_title(named_by: Mapping[str, str]) -> str:
    """What a table calls it: `width 64, norm rms`."""
    return ", ".join(level_title(label, level) for label, level in named_by.items()) or "base"


def level_title(label: str, level: str) -> str:
    """`width 64`; of an experiment its name alone."""
    return level if label == EXPERIMENT else f"{label} {level}"


def _name(named_by: Mapping[str, str], seed: str) -> str:
    """A folder's name: the configuration's, and the seed."""
    name = ",".join(filter(None, (configuration_name(named_by), f"{SEED}={seed}" if seed else "")))
    if len(name) > _LONGEST:
        raise UserError(f"the member {name[:60]}... has a name of {len(name)} characters; name levels more shortly")
    return name
