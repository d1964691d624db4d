"""`jaxgen score`: how likely a run finds the user's own examples, or how real."""
# SPDX-License-Identifier: Apache-2.0

import csv
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from jaxgen.atomic_write import write_whole
from jaxgen.core.task import Calibratable, Critic, Likelihood
from jaxgen.errors import UserError
from jaxgen.modalities.presentation import Presentation
from jaxgen.output_files import check_output
from jaxgen.reporting.terminal import Work, say
from jaxgen.running.calibrating import kept
from jaxgen.running.scoring import Figures, Scoring
from jaxgen.running.trained import Trained, load_trained
from jaxgen.standard_streams import put_out
from jaxgen.types import Batch


def score(
    workdir: str,
    config: str | None,
    settings: Sequence[str],
    examples: Sequence[str],
    given: Sequence[str],
    out: str | None = None,
) -> int:
    """One JSON object a line of stdout, in the order of the examples; all of them in the file `out` too.

    `out` is a table where its name ends in .csv, else one JSON list. UserError where it cannot be written.
    """
    trained = load_trained(Path(workdir), config, say, settings)
    if out is not None:
        check_output(Path(out), [Path(example) for example in examples if os.path.isfile(example)], "--out")
    with Work(len(examples), "scoring") as work:
        lines = []
        for number, line in scores_of(trained, examples, given):
            lines.append(line)
            put_out(json.dumps(line))
            if not sys.stdout.isatty():  # where they are shown, the lines themselves tell how far it is
                work.done(number + 1)
    if isinstance(trained.assembly.task, Calibratable) and kept(trained) is None:
        say(
            "probability_real is by what the discriminator made of its training set, which it may know; `jaxgen "
            f"evaluate --workdir {workdir}` calibrates it on held-out examples, and `score` then gives that"
        )
    if out is not None:
        _write(Path(out), lines)
    return 0


def _write(path: Path, lines: Sequence[Figures]) -> None:
    text = io.StringIO()
    if path.suffix == ".csv":
        table = csv.DictWriter(text, list(dict.fromkeys(name for line in lines for name in line)))
        table.writeheader()
        table.writerows(lines)
    else:
        text.write(json.dumps(lines, indent=2) + "\n")
    try:
        write_whole(path, text.getvalue())
    except OSError as error:
        raise UserError(f"--out {path} could not be written ({error.strerror}); give another file") from None


def scores_of(trained: Trained, examples: Sequence[str], given: Sequence[str]) -> Iterator[tuple[int, Figures]]:
    """(its number, its figures) of each example: under what is given for it, or under every class."""
    task, presentation = trained.assembly.task, trained.assembly.presentation
    if not isinstance(task, Likelihood | Critic):
        raise UserError(
            f"a {type(task).__name__} gives neither a likelihood nor a probability of being real; nothing to score"
        )
    if given and len(given) != len(examples):
        raise UserError(
            f"{len(examples)} examples and {len(given)} given; give --given once for each example, or not at all"
        )
    for (number, named), figures in Scoring(trained)(_batches(presentation, examples, given)):
        yield number, {"example": examples[number], **named, **figures}


def _batches(
    presentation: Presentation, examples: Sequence[str], given: Sequence[str]
) -> Iterator[tuple[tuple[int, dict[str, str]], Batch]]:
    """((an example's number, what is given for it in words), a batch of one), read when they are asked for."""
    for number, example in enumerate(examples):
        batch = presentation.example(example)
        for named, arrays in presentation.alternatives(given[number : number + 1]):
            yield (number, named), {**batch, "given": arrays}
