"""`jaxgen evaluate`: a run's figures on a split."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Sequence
from pathlib import Path

from jaxgen.reporting.terminal import say
from jaxgen.running.bounded import Stopped
from jaxgen.running.evaluate_run import evaluate_run
from jaxgen.running.stopping import Stop
from jaxgen.standard_streams import put_out


def evaluate(workdir: str, config: str | None, settings: Sequence[str], which: str | None, split: str) -> int:
    """The last line of stdout is one JSON object; the test split's figures are kept in summary.json as well."""
    try:
        with Stop("after this batch") as stop:
            figures = evaluate_run(Path(workdir), split, config, settings, which, stop)
    except Stopped:
        say("stopped; nothing was written")
        return 128 + stop.signal
    put_out(json.dumps(figures))
    return 0
