"""How a run's figures are taken: its task's own on a split, and its samples' measures against held-out examples."""
# SPDX-License-Identifier: Apache-2.0

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from jaxgen.core.data import Between, Finite, first_or_spread
from jaxgen.core.task import Likelihood, Reconstructs
from jaxgen.errors import UserError
from jaxgen.metrics.unmeasured import Figures, Unmeasured
from jaxgen.modalities.presents import Compared, Measured, request_for
from jaxgen.reporting.reasons import REASONS
from jaxgen.rewards.reference import at_start
from jaxgen.running.assembly import Assembly
from jaxgen.running.bounded import Evaluation, Sampling, never
from jaxgen.running.lagging import lag_figures
from jaxgen.running.trained import Trained
from jaxgen.types import Batch, Key, Variables

_REWARDED = 512  # samples that a reward is measured on
MEASURED = 2000  # held-out examples of a large set that samples are measured against


def figures_of(trained: Trained, split: str, stopped: Callable[[], bool] = never) -> tuple[Figures, int]:
    """Every figure of a run on a split, under names that carry their unit; of how many examples the task's own are."""
    assembly = trained.assembly
    evaluation = Evaluation(assembly, split, assembly.experiment.evaluate.examples)
    figures: dict[str, Any] = evaluation.figures(assembly.devices.put_evaluated(trained.variables), stopped)
    if isinstance(assembly.task, Likelihood):
        figures["bound"] = assembly.task.bound
    if assembly.experiment.rewards is not None and _draws_as_tuned(assembly):
        figures |= _reward_figures(trained, split)
    if assembly.experiment.rewards is None or assembly.prompted:
        figures |= _sample_figures(trained, split, stopped)
    return figures, evaluation.weighed


def _draws_as_tuned(assembly: Assembly) -> bool:
    """Whether the reward can be told: not under a sampler, a beam search say, that the run could not be tuned under."""
    try:
        assembly.experiment.rewards.check(assembly.task, assembly.game.batch_size)
    except UserError:
        return False
    return True


def _reward_figures(trained: Trained, split: str) -> Figures:
    """The reward before and after, the distance from the start, and how various samples still are.

    Where samples are drawn for prompts, each has another one of the split.
    """
    assembly = trained.assembly
    rewards, size = assembly.experiment.rewards, assembly.game.batch_size
    source = assembly.rewarded(assembly.prompts(split, MEASURED, each=1))
    state = {**trained.source, "key": jax.random.fold_in(assembly.key, 6)}  # other noise than in training
    rows = np.arange(size, dtype=np.int32)
    traced = None if isinstance(source, Between) else jax.jit(lambda source, *how: source.next(*how, rows)[0])

    def draw(variables: Variables, number: int) -> Batch:
        how = state, variables, np.int32(number * rewards.passes)
        batch = source.make(*how, rows)[0] if traced is None else traced(source, *how)
        return jax.device_get({name: batch[name] for name in ("reward", rewards.distance, "example")})

    def drawn(variables: Variables) -> Batch:
        batches = [draw(variables, number) for number in range(-(-_REWARDED // size))]
        return jax.tree.map(lambda *arrays: np.concatenate(arrays), *batches)

    before, after = drawn(at_start(trained.source, trained.variables)), drawn(trained.variables)
    figures: Figures = {name: float(after[name].mean()) for name in ("reward", rewards.distance)}
    figures["reward_at_start"] = float(before["reward"].mean())
    made = assembly.presentation.made
    if isinstance(made, Measured) and isinstance(assembly.data, Finite):
        figures |= made.variety(after["example"], first_or_spread(assembly.data, split, MEASURED))
    return figures


def _sample_figures(trained: Trained, split: str, stopped: Callable[[], bool]) -> Figures:
    """The measures of sets of samples made for what the split's own examples give, and how fast samples come."""
    assembly, made = trained.assembly, trained.assembly.presentation.made
    if not isinstance(made, Measured) or not isinstance(assembly.data, Finite):
        return {}
    asked = assembly.experiment.evaluate.examples
    real = first_or_spread(assembly.data, split, asked or MEASURED)
    request = request_for(real)
    count = len(request["row"])
    sampling, drawn, seconds = Sampling(assembly), [], []
    keys = [jax.random.fold_in(jax.random.fold_in(assembly.key, 5), draw) for draw in range(1, made.draws + 1)]
    sampling.compile(trained.variables, request, keys[0])
    for key in keys:
        began = time.perf_counter()
        drawn.append(sampling(trained.variables, request, key, stopped))
        seconds.append(time.perf_counter() - began)
    told = {"held_out_examples": count, "samples_per_second": count / float(np.median(seconds))}
    found = made.measures(drawn, real) | lag_figures(assembly.task, assembly.presentation, drawn[0], real)
    return found | _reconstruction_figures(trained, real, stopped) | told


def _reconstruction_figures(trained: Trained, real: Batch, stopped: Callable[[], bool]) -> Figures:
    """The same held-out examples made again from their latents, where the task has some, beside themselves."""
    assembly, made = trained.assembly, trained.assembly.presentation.made
    if not isinstance(assembly.task, Reconstructs) or not isinstance(made, Compared):
        return {}

    def again(variables: Variables, request: Batch, key: Key) -> Batch:
        return {"made": {"value": assembly.task.reconstruct(variables, request, key)}}

    request = {**request_for(real), "made": real["made"]}
    key = jax.random.fold_in(assembly.key, 8)
    return made.compared(Sampling(assembly, again)(trained.variables, request, key, stopped)["made"], real["made"])


def in_json(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures as JSON has them: null for a missing one and for a number that is not finite.

    Where there are such, the last entry, "unmeasured", maps the name of each to its reason.
    """
    missing = {name: reason for name, value in figures.items() if (reason := _reason(value)) is not None}
    shown = {name: None if name in missing else value for name, value in figures.items()}
    return {**shown, REASONS: missing} if missing else shown


def _reason(value: Any) -> str | None:
    if isinstance(value, Unmeasured):
        return value.reason
    if isinstance(value, float) and not math.isfinite(value):
        return f"the value is {value}, not a finite number"
    return None
