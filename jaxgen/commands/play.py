"""`jaxgen play`: a run's latent space on a local page with sliders."""
# SPDX-License-Identifier: Apache-2.0

import math
import threading
from collections.abc import Sequence
from pathlib import Path

from jaxgen.atomic_write import write_whole
from jaxgen.errors import UserError
from jaxgen.output_files import check_output
from jaxgen.play.explorer import Explorer, explorer_of
from jaxgen.play.server import PlayServer
from jaxgen.play.view import View
from jaxgen.reporting.terminal import say
from jaxgen.running.stopping import Stop
from jaxgen.standard_streams import put_out


def play(
    workdir: str,
    config: str | None,
    settings: Sequence[str],
    which: str | None,
    given: str | None,
    count: int,
    seed: int,
    sliders: str,
    attribute: float,
    having: Sequence[str],
    lacking: Sequence[str],
    port: int,
    out: str | None,
) -> int:
    """Serve the page until Ctrl-C, beginning with this view; with `out` write its pictures there and end."""
    view = View(given, seed, count, _numbers(sliders), attribute)
    if out is not None:
        check_output(Path(out), (), "--out")
    explorer = explorer_of(Path(workdir), config, say, settings, which, having, lacking)
    explorer.check(view)
    if out is not None:
        _write(explorer, view, Path(out))
        return 0
    with PlayServer(explorer, view, port) as server:
        if given is not None or not explorer.reads_prompt:
            explorer.see(view)  # so that the page's first picture waits for no compiler
        with Stop("after this picture") as stop:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            put_out(f"{server.address} (Ctrl-C stops)")
            while not stop():
                threading.Event().wait(0.1)
            server.shutdown()
            server.drawing.alone(lambda: None)  # nothing is drawn any more when the process ends
    return 0


def _numbers(words: str) -> tuple[float, ...]:
    """Of --sliders."""
    try:
        found = tuple(float(word) for word in words.split(",")) if words else ()
    except ValueError:
        found = (math.nan,)
    if not all(map(math.isfinite, found)):
        raise UserError(f"--sliders={words}: give numbers with commas between, as in --sliders=1,0,-0.5")
    return found


def _write(explorer: Explorer, view: View, path: Path) -> None:
    artefact = explorer.see(view).artefact
    if path.suffix.lower() != f".{artefact.suffix}":
        raise UserError(f"{path}: this is a .{artefact.suffix} file; end --out in .{artefact.suffix}")
    try:
        write_whole(path, artefact.content)
    except OSError as error:
        raise UserError(f"{path} could not be written ({error.strerror}); give another --out") from None
    put_out(path)
