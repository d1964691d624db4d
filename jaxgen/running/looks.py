"""What a run shows of itself between its steps: its figures on a held-out split, and samples."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import functools
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator

import jax

from jaxgen.core.data import Finite, first_or_spread
from jaxgen.core.state import TrainState
from jaxgen.core.task import Warns
from jaxgen.errors import UserError
from jaxgen.metrics.unmeasured import Figures, Unmeasured
from jaxgen.modalities.presents import Measured, request_for
from jaxgen.reporting.artefacts import Artefact
from jaxgen.reporting.terminal import Work
from jaxgen.running.assembly import Assembly
from jaxgen.running.bounded import Evaluation, Sampling, Stopped, refuse_other_metric
from jaxgen.running.run_log import RunLog
from jaxgen.training.evaluation import on_one_device
from jaxgen.training.folder import evaluations
from jaxgen.training.goodput import Cause, Goodput
from jaxgen.training.processes import several, told
from jaxgen.training.step import averaged
from jaxgen.types import Batch, Variables


class Looks:
    """`evaluate` and `sample` are hooks of the loop; their programs compile when they are first asked for, and once.

    The split is "validation" where the experiment chooses a checkpoint or its end by figures, so that the test split
    has no part in that; else "test".
    """

    def __init__(
        self,
        assembly: Assembly,
        log: RunLog,
        goodput: Goodput,
        evaluated: Callable[[int, dict[str, float]], None],
        stopped: Callable[[], bool],
        say: Callable[[str], None],
    ):
        self._assembly, self._experiment, self._log = assembly, assembly.experiment, log
        self._goodput, self._evaluated, self._stopped = goodput, evaluated, stopped
        self._say = say
        self._interrupted = False  # whether one was left undone
        self._watched: list[float] = []  # the figures that `stop` looks at
        self._warned = 0  # evaluations in a row that gave a warning
        self.split = "test" if self._experiment.best is None and self._experiment.stop is None else "validation"
        self.work: Callable[..., Work] = Work  # where their progress is shown

    def refuse_other_metrics(self) -> None:
        """UserError where `best` or `stop` name no figure: told before anything is trained."""
        choices = {"best": self._experiment.best, "stop": self._experiment.stop}
        chosen = {f"{field}.metric": choice.metric for field, choice in choices.items() if choice is not None}
        names = [*self._evaluation.names(), *self._measured_names()] if chosen else []
        for field, metric in chosen.items():
            refuse_other_metric(metric, names, field)

    def evaluate(self, step: int, state: TrainState) -> None:
        with self._goodput.spending(Cause.EVALUATION), self._interruptible():
            variables = self._variables(state)
            figures = self._evaluation.figures(variables, self._stopped, self.work) | self._measures(variables)
            self._note_warning(step, figures)
            if step and self._experiment.stop:
                self._watched.append(figures.get(self._experiment.stop.metric, math.nan))
            self._evaluated(step, figures)
            self._log.metrics(step, self.split, figures)

    def sample(self, step: int, state: TrainState) -> None:
        with self._goodput.spending(Cause.SAMPLING), self._interruptible():
            self._log.samples(step, self._samples(state))

    def ended(self) -> bool:
        """Whether the run ends before its last step: a stop cut a look off, or by what the figures say."""
        return self._interrupted or self.spent() or self.failing()

    def failing(self) -> bool:
        """Whether so many evaluations in a row gave a warning that the experiment ends."""
        most = self._experiment.evaluate.warnings
        return most is not None and self._warned >= most

    def spent(self) -> bool:
        """Whether the validation figures have stopped getting better, where the experiment ends then."""
        patience = self._experiment.stop
        return patience is not None and patience.spent(self._watched)

    def due(self, step: int) -> list[Callable[[int, TrainState], None]]:
        """What is still to be shown of `step`: all of a start's weights, and what a killed run had no time for.

        It also recalls the figures that `stop` looks at.
        """
        every, stop, path = self._experiment.every, self._experiment.stop, self._log.folder.path
        lines = evaluations(path)
        figures = [line.get(stop.metric) for at, line in lines.items() if at > 0] if stop else []
        known = figures, step in lines, any(path.glob(f"samples/{step}.*")), self._warned_in(lines.values())
        figures, evaluated, sampled, warned = json.loads(told(json.dumps(known).encode())) if several() else known
        self._watched = [math.nan if value is None else value for value in figures]
        self._warned = warned
        at_end, due = step == self._experiment.steps, []
        if not step and self._experiment.start is None:
            return due  # there is nothing to see of fresh weights
        if not evaluated and (at_end or step % every.evaluate == 0):
            due.append(self.evaluate)
        if not sampled and (at_end or step % every.sample == 0):
            due.append(self.sample)
        return due

    def _note_warning(self, step: int, figures: Figures) -> None:
        """Of trained weights: fresh ones fail in every way."""
        if step and isinstance(self._assembly.task, Warns):
            sentence = self._assembly.task.warning(figures)
            self._warned = self._warned + 1 if sentence else 0
            if sentence:
                self._say(f"step {step}: {sentence}")

    def _warned_in(self, lines: Iterable[Figures]) -> int:
        """How many of the last evaluations, one after another, gave a warning."""
        task = self._assembly.task
        if not isinstance(task, Warns):
            return 0
        trained = [_as_computed(line) for line in lines if line["step"]]
        return sum(1 for _ in itertools.takewhile(lambda line: task.warning(line) is not None, reversed(trained)))

    def _measures(self, variables: Variables) -> Figures:
        """The measures of one set of samples, where the experiment asks for them; what cannot be measured is left out.
        """
        assembly, count = self._assembly, self._experiment.evaluate.samples
        if count is None:
            return {}
        real, key = self._held_out(count), jax.random.fold_in(assembly.key, 5)
        drawn = self._sampling(on_one_device(variables), request_for(real), key, self._stopped, self.work)
        figures = assembly.presentation.made.measures([drawn], real)
        return {name: value for name, value in figures.items() if not isinstance(value, Unmeasured)}

    def _measured_names(self) -> list[str]:
        """The names of the figures that `_measures` gives: those that a single example would get."""
        if self._experiment.evaluate.samples is None:
            return []
        one = self._held_out(1)
        return list(self._assembly.presentation.made.measures([one], one))

    def _held_out(self, count: int) -> Batch:
        """So many examples of the split; UserError where samples cannot be measured by them."""
        data = self._assembly.data
        if not isinstance(self._assembly.presentation.made, Measured) or not isinstance(data, Finite):
            raise UserError("evaluate.samples is set, and samples of these data have no measures; leave it out")
        return first_or_spread(data, self.split, count)

    @contextlib.contextmanager
    def _interruptible(self) -> Iterator[None]:
        """What a stop may leave undone: the run then ends, and makes up for it when it goes on."""
        try:
            yield
        except Stopped:
            self._interrupted = True

    def _samples(self, state: TrainState) -> Artefact:
        assembly = self._assembly
        variables, key = on_one_device(self._variables(state)), jax.random.fold_in(assembly.key, 4)
        made = self._sampling(variables, self._request, key, self._stopped, self.work)
        return assembly.presentation.show(made, self._references)

    def _variables(self, state: TrainState) -> Variables:
        devices = self._assembly.devices
        shown = averaged(devices.fetch(state), self._experiment.shown)
        return shown.replace(params=devices.readable(shown.params), parts=devices.fetch_parts(self._assembly.parts))

    @functools.cached_property
    def _evaluation(self) -> Evaluation:
        return Evaluation(self._assembly, self.split, self._experiment.evaluate.examples)

    @functools.cached_property
    def _request(self) -> dict:
        return self._assembly.presentation.shown(self._assembly.data)

    @functools.cached_property
    def _references(self) -> list[str] | None:
        return self._assembly.presentation.shown_references(self._assembly.data)

    @functools.cached_property
    def _sampling(self) -> Sampling:
        return Sampling(self._assembly)


def _as_computed(line: Figures) -> Figures:
    """A line of metrics.jsonl with the figures that were not finite, which are null in it, as numbers again."""
    return {name: math.nan if value is None else value for name, value in line.items()}
