"""The trials of a search, one after another: each is drawn, trained and measured, and told to those that follow."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.ablation import Metric
from jaxgen.config.document import to_document
from jaxgen.errors import UserError, nearest
from jaxgen.reporting.terminal import say
from jaxgen.running.ablating import MEMBERS, RUNS, Stop, budgeted, failure_of, put, trained_steps
from jaxgen.running.bounded import Stopped
from jaxgen.running.early_stop import EarlyStop, UnknownMetric
from jaxgen.running.evaluate_run import evaluate_run
from jaxgen.running.shared_programs import SharedPrograms
from jaxgen.search_space import Pruner, Range, Sampler, Search, trial_name, word
from jaxgen.training.folder import LOCK, finite, read_json, unwritable
from jaxgen.training.lock import Lock

TRIALS, QUESTION = "trials", "search.json"


@dataclass(frozen=True)
class Trial:
    """What is known of a trial: its values, and when it has ended its figure, or why it has none."""

    values: Mapping[str, Any]
    figure: float | None = None
    steps: int = 0
    seconds: float = 0.0
    pruned: bool = False
    failed: str | None = None
    reported: Mapping[str, float | None] = field(default_factory=dict)  # by steps: evaluations in training; None: NaN

    @property
    def done(self) -> bool:
        """Whether it is not to be run again; what has failed is."""
        return self.figure is not None or self.pruned


def kept_trials(workdir: Path, search: Search) -> dict[int, Trial]:
    """Those that the folder knows. UserError where a file says what this version cannot read."""
    found = {}
    for number in range(search.trials):
        document = read_json(_file(workdir, number))
        if document is not None:
            try:
                found[number] = Trial(**document)
            except TypeError:
                raise UserError(f"{_file(workdir, number)} is no trial; remove it to run it again") from None
    return found


@contextlib.contextmanager
def alone_in(workdir: Path) -> Iterator[None]:
    """Nobody else searches in the folder meanwhile. UserError where another process does."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = Lock(workdir / LOCK)
    except OSError as error:
        raise unwritable(workdir, error) from None
    try:
        if lock.remark:
            say(lock.remark)
        yield
    finally:
        lock.close()


def same_search(workdir: Path, search: Search) -> None:
    """Keep in the folder what is searched; UserError where it holds another search. More trials are no other one."""
    asked = {"base": to_document(search.base), "space": {name: repr(values) for name, values in search.space.items()}}
    asked |= {name: repr(getattr(search, name)) for name in ("metric", "budget", "sampler", "pruner", "seed")}
    kept = read_json(workdir / QUESTION)
    if kept is None and (workdir / MEMBERS).exists():
        raise UserError(f"{workdir} holds the runs of an ablation; give another --workdir")
    if kept is not None and (other := next((name for name in asked if kept.get(name) != asked[name]), None)):
        raise UserError(f"{workdir} holds another search, whose {other} is another; give another --workdir")
    put(workdir / QUESTION, json.dumps(asked, indent=1) + "\n")


def run_trials(search: Search, workdir: Path, stop: Stop) -> None:
    """Run those that are not done until `stop`; one that was stopped or has failed goes on with its own values.

    In the order of their numbers, each drawn and judged by those before it alone: a search that was stopped draws what
    one that was not would.
    """
    shared, study, kept = SharedPrograms(), _Study(search), kept_trials(workdir, search)
    for number in range(search.trials):
        before = kept.get(number)
        if before is not None and before.done:
            study.add(number, before)
            continue
        if stop():
            return
        asked = study.ask(number, None if before is None else before.values)
        put(_file(workdir, number), json.dumps(asdict(Trial(asked.params)), indent=2) + "\n")
        values = ", ".join(f"{name}={value}" for name, value in asked.params.items())
        say(f"{trial_name(number)} of {search.trials}: {values}")
        trial = _run(search, workdir, number, asked, stop, shared)
        if trial is None:
            return
        put(_file(workdir, number), json.dumps(asdict(trial), indent=2) + "\n")
        study.tell(asked, trial)


def _run(search: Search, workdir: Path, number: int, asked: Any, stop: Stop, shared: SharedPrograms) -> Trial | None:
    """None where it was stopped."""
    began, folder, reported = time.monotonic(), workdir / RUNS / trial_name(number), {}

    def ended(**what: Any) -> Trial:
        seconds = round(time.monotonic() - began, 3)
        return Trial(
            asked.params, seconds=seconds, reported={str(at): finite(value) for at, value in reported.items()}, **what
        )

    try:
        member = search.trial(number, asked.params)  # UserError where values refuse each other
        experiment = budgeted(search.budget, workdir, member, stop)
        pruning = None if search.pruner is None else _Pruning(asked, search.metric, experiment.steps, reported)
        early = EarlyStop(stop, pruning, search.metric, folder, ())
        steps, pruned = trained_steps(experiment, workdir, member, early, shared)
        early()  # told of the evaluations of a run that was trained before
        if pruned:
            return ended(steps=steps, pruned=True)
        figures = evaluate_run(folder, config=experiment, stopped=stop)
        return ended(figure=_figure(search.metric, figures), steps=steps)
    except UnknownMetric:
        raise
    except Stopped:
        return None
    except Exception as error:  # the other trials are not to suffer from it
        failure = failure_of(error, folder if folder.is_dir() else workdir)
    say(f"{trial_name(number)} failed: {failure}")
    return ended(failed=failure)


def _figure(metric: Metric, figures: Mapping[str, Any]) -> float:
    """UserError where it could not be measured, UnknownMetric where there is none of that name."""
    if metric.name not in figures:
        raise UnknownMetric(
            f"a trial has no figure {metric.name!r}{nearest(metric.name, figures)}; name in metric what "
            "`jaxgen evaluate` prints"
        )
    if figures[metric.name] is None:
        raise UserError(f"{metric.name} could not be measured")
    return float(figures[metric.name])


def _file(workdir: Path, number: int) -> Path:
    return workdir / TRIALS / f"{number:04}.json"


class _Pruning:
    """Optuna's pruner, asked at each evaluation in training; not to end a trial at its last step, which tells more."""

    def __init__(self, asked: Any, metric: Metric, last: int, reported: dict[int, float]):
        self._asked, self._sign, self._last, self._reported = asked, 1 if metric.lower else -1, last, reported

    def ends(self, own: Mapping[int, float], others: object) -> bool:
        new = {step: self._sign * value for step, value in own.items() if step not in self._reported}
        self._reported.update(new)
        behind = [step for step, value in new.items() if _is_behind(self._asked, step, value)]
        return any(step < self._last for step in behind)


def _is_behind(asked: Any, step: int, value: float) -> bool:
    """Optuna told of an evaluation, and asked: its Hyperband notes where a trial stands only when it is asked."""
    asked.report(value, step)
    return asked.should_prune()


class _Study:
    """Optuna's memory of the trials; it lives in this process, and is made anew from the folder's files.

    It is told of all trials in the order of their numbers, which are then Optuna's as well.
    """

    def __init__(self, search: Search):
        try:
            import optuna
        except ModuleNotFoundError as error:
            raise UserError(f"a search needs the package {error.name}; run `pip install 'jaxgen[optuna]'`") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna, self._search = optuna, search
        pruners = {Pruner.MEDIAN: optuna.pruners.MedianPruner, Pruner.HYPERBAND: optuna.pruners.HyperbandPruner}
        self._study = optuna.create_study(
            study_name="search",  # not a random one: Hyperband draws a trial's rungs from it and the trial's number
            direction="minimize" if search.metric.lower else "maximize",
            pruner=optuna.pruners.NopPruner() if search.pruner is None else pruners[search.pruner](),
        )
        self._space = {name: self._distribution(values) for name, values in search.space.items()}

    def _sampler(self, number: int) -> Any:
        """Of one trial: a sampler that went through several would draw the first trials' values again when resumed."""
        samplers = {Sampler.TPE: self._optuna.samplers.TPESampler, Sampler.RANDOM: self._optuna.samplers.RandomSampler}
        seed = np.random.SeedSequence((self._search.seed, number)).generate_state(1)[0]
        return samplers[self._search.sampler](seed=int(seed))

    def _distribution(self, values: Any) -> Any:
        distributions = self._optuna.distributions
        if not isinstance(values, Range):
            return distributions.CategoricalDistribution([word(value) for value in values])
        kind = distributions.IntDistribution if values.whole else distributions.FloatDistribution
        return kind(values.low, values.high, log=values.log)

    def add(self, number: int, trial: Trial) -> None:
        """One that has ended before, told as when it ran: what pruners note of it is in no file."""
        asked = self.ask(number, trial.values)
        for step, value in trial.reported.items():
            _is_behind(asked, int(step), math.nan if value is None else value)
        self.tell(asked, trial)

    def ask(self, number: int, values: Mapping[str, Any] | None) -> Any:
        """The next trial of Optuna's, with these values where they are given."""
        if values is not None:
            self._study.enqueue_trial(dict(values))
        self._study.sampler = self._sampler(number)
        return self._study.ask(fixed_distributions=self._space)

    def tell(self, asked: Any, trial: Trial) -> None:
        self._study.tell(asked, trial.figure, state=self._state(trial))

    def _state(self, trial: Trial) -> Any:
        states = self._optuna.trial.TrialState
        return states.PRUNED if trial.pruned else states.COMPLETE if trial.failed is None else states.FAIL
