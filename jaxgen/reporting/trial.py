"""What was tried with a run beside its own measures, as a section of the page: a sentence, a table, a picture."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Sequence
from dataclasses import dataclass

from jaxgen.reporting.artefacts import Artefact
from jaxgen.reporting.markup import escaped
from jaxgen.reporting.samples_figure import samples_figure
from jaxgen.reporting.table import text_table


@dataclass(frozen=True)
class Trial:
    """`columns` are the table's heads, the first one of the rows' names; all is text."""

    title: str
    told: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    picture: bytes  # PNG
    caption: str


def trial_section(trial: Trial) -> str:
    """A section of the page."""
    figure = samples_figure(Artefact("png", trial.picture), trial.caption, trial.title)
    return (
        f'<section><h2>{escaped(trial.title)}</h2><p class="facts">{escaped(trial.told)}</p>'
        f'<div class="scroll">{text_table([trial.columns, *trial.rows])}</div>{figure}</section>'
    )
