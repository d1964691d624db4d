"""An experiment put together: the sized task, its game, its source and its devices."""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.core.data import Augmenting, Begins, Between, Data, Finite, Shaped, Source
from jaxgen.core.layout import LaidOut, check_layout
from jaxgen.core.part import part_shapes
from jaxgen.core.state import TrainState
from jaxgen.core.task import Prompted, Task
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.modalities.presentation import Presentation
from jaxgen.rewards.prompts import Prompts
from jaxgen.rewards.tuned import TunedGame
from jaxgen.running.data_info import DataInfo, chosen_data
from jaxgen.running.moments import with_moments
from jaxgen.running.other_runs import Placed, load_parts, refuse_other_meanings, resolved
from jaxgen.training.feeds import Devices
from jaxgen.training.program import shapes_and_loops
from jaxgen.training.step import Game, init_state, make_game
from jaxgen.types import Batch, Key, Parts, Spec, Variables

_PROMPTS = 100_000  # training examples that prompts are drawn from, at most


@dataclass(frozen=True)
class Assembly:
    """The parts of one experiment; nothing of the model or the data is allocated before it is asked for."""

    experiment: Experiment  # with a `Part` in the place of each `Run`
    data: Data  # the experiment's, with examples set aside for validation where something chooses by them
    info: DataInfo
    task: Task
    game: Game
    devices: Devices
    loops: bool  # whether several steps may go into one call here
    placed: tuple[Placed, ...] = ()  # the other runs that are parts of this one

    @functools.cached_property
    def parts(self) -> Parts:
        """Their variables, whole on each device; they are read when they are first asked for."""
        return self.devices.put_parts(load_parts(self.placed))

    @functools.cached_property
    def part_shapes(self) -> Parts:
        return part_shapes(self.experiment)

    @functools.cached_property
    def source(self) -> Source:
        if self.experiment.rewards is not None:
            return self.rewarded(self.prompts("train"))
        with jax.ensure_compile_time_eval():  # asked for while something is traced, it must hold arrays all the same
            return self.data.source()

    @property
    def prompted(self) -> bool:
        """Whether a run under a reward draws its samples for prompts: the task makes nothing without."""
        return self.experiment.rewards is not None and isinstance(self.task, Prompted) and self.task.needs_given

    def prompts(self, split: str, most: int = _PROMPTS, each: int = 0) -> Prompts | None:
        """The examples of a split that a run under a reward draws samples for; None where it needs none."""
        if not self.prompted:
            return None
        if not isinstance(self.data, Finite):
            raise UserError("prompts are drawn from a set of examples, and these data have none; choose other data")
        return Prompts.of(self.spec, self.data.first(split, most), each)

    def rewarded(self, prompts: Prompts | None) -> Source:
        """The source of a run under a reward."""
        with jax.ensure_compile_time_eval():  # as `source`: what a reward prepares is no part of a trace
            return self.experiment.rewards.source(self.task, self.game.batch_size, prompts, self.presentation.plain)

    @property
    def spec(self) -> Spec:
        return self.info.spec

    @functools.cached_property
    def presentation(self) -> Presentation:
        free = self.experiment.rewards is not None and not self.prompted
        return Presentation.of(self.spec, self.info.meanings(self.data), free)

    @property
    def key(self) -> Key:
        return jax.random.key(self.experiment.seed)

    def init(
        self, key: Key, start: Variables | None = None, moments: Mapping[str, Any] = MappingProxyType({})
    ) -> TrainState:
        """The state before the first step, from fresh variables or from `start`'s with its `moments`; traceable."""
        state = init_state(self.game, key, functools.partial(self._begin, jax.random.fold_in(key, 2)), start)
        return state.replace(opt_state=with_moments(state.opt_state, moments))

    @property
    def _begin(self) -> Callable[[Key, Any], Any]:
        """The source's `init`; a run that is only looked at must not need what its source reads."""
        if self.prompted:
            return self.rewarded(Prompts.empty(self.spec)).init
        if self.experiment.rewards is None and isinstance(self.data, Begins):
            return self.data.begin
        return self.source.init

    def batch(self) -> Batch:
        """The shapes of a batch."""
        size = self.game.batch_size
        if self.experiment.rewards is None:
            return self.spec.batch(size)
        state = jax.eval_shape(self.init, self.key)
        variables = state.variables.replace(parts=self.part_shapes)
        if isinstance(self.source, Shaped):
            return self.source.shapes(state.source, variables)
        return jax.eval_shape(
            self.source.next, state.source, variables, jnp.int32(0), jnp.arange(size, dtype=jnp.int32)
        )[0]

    def sample(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """What is made for a request; a run under a reward, unless something is given, draws as it was tuned to."""
        if self.experiment.rewards is not None and not request["given"]:
            return self.experiment.rewards.examples(self.task, variables, request, key)
        return self.task.sample(variables, request, key)

    @property
    def steps_per_call(self) -> int:
        return 1 if not self.loops or isinstance(self.source, Between) else self.experiment.steps_per_call


def assemble(experiment: Experiment, info: DataInfo | None = None, workdir: Path | None = None) -> Assembly:
    """Size the task to its data and make its game. UserError when the parts do not fit.

    `info` is what a run has kept of its data, which are then not looked at: the run itself is only looked at, and may
    draw by another sampler than one that it could be tuned under. Other runs that are parts of it are read from what
    the run in `workdir` has kept of them, where it has.
    """
    looked_at = info is not None
    experiment, placed = resolved(experiment, workdir)
    data = chosen_data(experiment)
    info = DataInfo.of(data) if info is None else info
    if not looked_at:
        refuse_other_meanings(placed, data, info)
    task = experiment.task.sized(info.spec)
    shapes, loops = shapes_and_loops(task.init, jax.random.key(0))
    batch_size, steps = data.batch_size, experiment.steps
    played = task
    if experiment.rewards is not None:
        if not looked_at:
            experiment.rewards.check(task, batch_size)
        played = TunedGame(task, experiment.rewards)
    optimisers, averages = experiment.optimisers, experiment.averages
    how = {
        "trainable": experiment.trainable,
        "guard": experiment.guard,
        "accumulate": experiment.accumulate,
        "loops": loops,
    }
    if experiment.rewards is None and isinstance(data, Augmenting):
        how["augment"] = data.augment
    game = make_game(played, shapes.params, optimisers, averages, steps, batch_size, **how)
    rules = task.layout() if isinstance(task, LaidOut) else ()
    if rules:
        check_layout(rules, shapes.params)
    devices = experiment.parallel.place(batch_size, rules)
    if batch_size % (experiment.accumulate * devices.parts):
        raise UserError(
            f"accumulate is {experiment.accumulate}: a batch of {batch_size} on {devices.parts} devices cannot be cut "
            "into so many equal parts; choose another, or another data.batch_size"
        )
    return Assembly(experiment, data, info, task, game, devices, loops, placed)
