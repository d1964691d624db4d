"""`jaxgen score`: how likely a run finds the user's own examples, or how real."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax

from jaxgen.core.task import Critic, InWindows, Likelihood
from jaxgen.errors import UserError
from jaxgen.reporting.terminal import say
from jaxgen.running.trained import Trained, load_trained
from jaxgen.standard_streams import put_out
from jaxgen.training.evaluation import added, finish
from jaxgen.types import Batch


def score(
    workdir: str, config: str | None, settings: Sequence[str], examples: Sequence[str], given: Sequence[str]
) -> int:
    """One JSON object a line of stdout, in the order of the examples."""
    for line in scores_of(load_trained(Path(workdir), config, say, settings), examples, given):
        put_out(json.dumps(line))
    return 0


def scores_of(trained: Trained, examples: Sequence[str], given: Sequence[str]) -> Iterator[dict[str, float | str]]:
    """The figures of each example: under what is given for it, or under every class."""
    task, presentation = trained.assembly.task, trained.assembly.presentation
    if not isinstance(task, Likelihood | Critic):
        raise UserError(
            f"a {type(task).__name__} gives neither a likelihood nor a probability of being real; nothing to score"
        )
    if given and len(given) != len(examples):
        raise UserError(
            f"{len(examples)} examples and {len(given)} given; give --given once for each example, or not at all"
        )
    scored = _scoring(trained)
    for number, example in enumerate(examples):
        batch = presentation.example(example)
        for named, arrays in presentation.alternatives(given[number : number + 1]):
            yield {"example": example, **named, **scored({**batch, "given": arrays})}


def _scoring(trained: Trained) -> Callable[[Batch], dict[str, float | str]]:
    """The figures of a batch of one; each program is compiled once for all examples of a shape."""
    task, variables, key = trained.assembly.task, trained.variables, trained.assembly.key
    likelihood = jax.jit(task.log_prob) if isinstance(task, Likelihood) else None
    critic = jax.jit(task.probability) if isinstance(task, Critic) else None
    in_windows = _summing(trained, task) if isinstance(task, InWindows) else lambda batch: None

    def scored(batch: Batch) -> dict[str, float | str]:
        figures = in_windows(batch) or {}
        if likelihood is not None and not figures:
            figures |= {"log_prob_nats": float(likelihood(variables, batch, key)[0]), "bound": task.bound}
        if critic is not None:
            figures["probability_real"] = float(critic(variables, batch)[0])
        return figures

    return scored


def _summing(trained: Trained, task: InWindows) -> Callable[[Batch], dict[str, float | str] | None]:
    """The figures of a sequence of any length, summed over its parts: one program, of one part's memory."""
    evaluate, variables, key = jax.jit(trained.assembly.task.evaluate), trained.variables, trained.assembly.key

    def scored(batch: Batch) -> dict[str, float | str] | None:
        found = task.parts(batch)
        if found is None:
            return None
        parts, how = found
        rows, sums = trained.assembly.task.rows(len(parts[0]["row"])), None
        for part in parts:
            present = variables.replace(extra=variables.extra.replace(rows=rows))
            each, rows = evaluate(present, part, key)
            sums = added(sums, each)
        nats = sums["nats"]
        figures = {"log_prob_nats": -float(nats.total), "tokens": int(nats.weight)}
        return figures | finish(trained.assembly.task, sums) | {"bound": how}

    return scored
