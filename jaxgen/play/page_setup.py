"""The page, whole in one file: its text, the reports' style, and what it must know of the run."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

from jaxgen.play.explorer import Explorer
from jaxgen.play.view import MOST, REACH, View
from jaxgen.reporting.markup import counted, escaped
from jaxgen.reporting.style import STYLE

# The browser loads nothing but what this server answers, runs no script but the page's, and shows it in no other page.
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@functools.cache
def _template() -> str:
    return (Path(__file__).parent / "page.html").read_text(encoding="utf-8")


def page_of(explorer: Explorer, view: View, nonce: str) -> str:
    """The page's HTML, beginning with `view`; `nonce` is the one script's."""
    trained = explorer.trained
    kind = type(trained.assembly.task).__name__
    texts = {
        "TITLE": escaped(trained.folder.resolve().name),
        "RUN": escaped(f"{kind} at step {counted(trained.step)}"),
        "STYLE": STYLE,
        "NONCE": escaped(nonce),
        "SETUP": _inside_script(_setup(explorer, view)),
    }
    page = _template()
    for name, text in texts.items():
        page = page.replace(f"{{{{{name}}}}}", text)
    return page


def _setup(explorer: Explorer, view: View) -> dict[str, Any]:
    return {
        "choices": explorer.choices,
        "prompt": explorer.reads_prompt,
        "knobs": [dataclasses.asdict(knob) for knob in explorer.knobs],
        "directions": len(explorer.directions),
        "attribute": None if explorer.attribute is None else explorer.attribute.name,
        "reach": REACH,
        "most": MOST,
        "view": dataclasses.asdict(view),
    }


def _inside_script(value: object) -> str:
    """JSON that ends no script element, whatever names a run's classes have."""
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
