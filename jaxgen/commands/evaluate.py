"""`jaxgen evaluate`: a run's figures on a split."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Sequence
from pathlib import Path

from jaxgen.running.evaluate_run import evaluate_run


def evaluate(workdir: str, config: str | None, settings: Sequence[str], which: str | None, split: str) -> int:
    """The last line of stdout is one JSON object; the test split's figures are kept in summary.json as well."""
    print(json.dumps(evaluate_run(Path(workdir), split, config, settings, which)), flush=True)
    return 0
