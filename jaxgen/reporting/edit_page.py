"""A page about an edit of pictures: the table of them, the same in motion, and the figures that tell how well it works.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping

from jaxgen.reporting.artefacts import Artefact
from jaxgen.reporting.markup import escaped
from jaxgen.reporting.page import document, footer
from jaxgen.reporting.samples_figure import samples_figure


def edit_page(
    title: str, run: str, purpose: str, table: Artefact, motion: Artefact, figures: Mapping[str, object], command: str
) -> bytes:
    """The page's bytes; `purpose` says in a sentence what the table's rows and columns are."""
    cells = "".join(
        f"<tr><th>{escaped(name)}</th><td>{escaped(_shown(value))}</td></tr>" for name, value in figures.items()
    )
    body = [
        f'<header><p class="kicker">{escaped(run)}</p><h1>{escaped(title)}</h1>',
        f'<p class="lede">{escaped(purpose)}</p></header>',
        f'<section>{samples_figure(table, title, f"{title}: a table of pictures")}',
        samples_figure(motion, "In motion", f"{title}: an animation"),
        "</section>",
        f'<div class="scroll"><table>{cells}</table></div>' if cells else "",
        footer(command),
    ]
    return document(f"{title}, {run}", "\n".join(body)).encode()


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
