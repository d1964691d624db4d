"""`jaxgen evaluate`: a run's figures on a split."""
# SPDX-License-Identifier: Apache-2.0

import json
from collections.abc import Sequence
from pathlib import Path

from jaxgen.errors import UserError
from jaxgen.reporting.terminal import say
from jaxgen.running.comparison import figures_of
from jaxgen.running.trained import load_trained
from jaxgen.training.folder import finite, merge_summary


def evaluate(workdir: str, config: str | None, settings: Sequence[str], which: str | None, split: str) -> int:
    """The last line of stdout is one JSON object; the test split's figures are kept in summary.json as well."""
    trained = load_trained(Path(workdir), config, say, settings, which)
    figures = {name: finite(value) for name, value in figures_of(trained, split).items()}
    print(json.dumps({"step": trained.step, "split": split, **figures}), flush=True)
    if split == "test" and which is None:
        try:
            merge_summary(trained.folder, figures)
        except UserError as error:  # a run that may only be read has been evaluated all the same
            say(str(error))
    return 0
