"""`jaxgen score`: how likely a run finds the user's own examples, or how real."""
# SPDX-License-Identifier: Apache-2.0

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from jaxgen.core.task import Critic, Likelihood
from jaxgen.errors import UserError
from jaxgen.modalities.presentation import Presentation
from jaxgen.reporting.terminal import Work, say
from jaxgen.running.scoring import Scoring
from jaxgen.running.trained import Trained, load_trained
from jaxgen.types import Batch


def score(
    workdir: str, config: str | None, settings: Sequence[str], examples: Sequence[str], given: Sequence[str]
) -> int:
    """One JSON object a line of stdout, in the order of the examples."""
    for line in scores_of(load_trained(Path(workdir), config, say, settings), examples, given):
        print(json.dumps(line))
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
    with Work(len(examples), "scoring") as work:
        for (number, named), figures in Scoring(trained)(_batches(presentation, examples, given)):
            yield {"example": examples[number], **named, **figures}
            if not sys.stdout.isatty():  # where they are shown, the lines themselves tell how far it is
                work.done(number + 1)


def _batches(
    presentation: Presentation, examples: Sequence[str], given: Sequence[str]
) -> Iterator[tuple[tuple[int, dict[str, str]], Batch]]:
    """((an example's number, what is given for it in words), a batch of one), read when they are asked for."""
    for number, example in enumerate(examples):
        batch = presentation.example(example)
        for named, arrays in presentation.alternatives(given[number : number + 1]):
            yield (number, named), {**batch, "given": arrays}
