"""How far the tokens of a run that makes them while it reads lag behind what it reads."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from jaxgen.core.task import Task, TranslatesWhileReading
from jaxgen.metrics.latency import average_lagging, read_by
from jaxgen.metrics.unmeasured import Figures
from jaxgen.modalities.presentation import Presentation
from jaxgen.modalities.presents import HasLength
from jaxgen.types import Batch


def lag_figures(task: Task, presentation: Presentation, made: Batch, real: Batch) -> Figures:
    """The mean over examples: `average_lagging_s` behind recordings, `average_lagging_tokens` behind sentences.

    `made` are the samples for what the held-out examples `real` give. Nothing where the network needs all of it at
    once. Beside sentences the end that is made counts as a token, as their last mark does.
    """
    if not isinstance(task, TranslatesWhileReading) or task.reads is None:
        return {}
    ((name, reader),), writer = presentation.given.items(), presentation.made
    if not isinstance(reader, HasLength) or not isinstance(writer, HasLength):
        return {}
    window = task.window
    ends = 1 if window is None else 0

    def wanted(token: int) -> float | None:
        """A place of a recording is known when its last frame, which is longer than a hop, has been heard."""
        places = task.wanted(token)
        if places is None or window is None:
            return places
        return places * window.seconds + (window.frame - window.hop) / window.rate

    lengths = reader.lengths(real["given"][name]), writer.lengths(made["made"]), writer.lengths(real["made"])
    lags = [
        average_lagging(read_by(wanted, length, int(count) + ends), length, int(reference) + ends)
        for length, count, reference in zip(*lengths, strict=True)
    ]
    return {f"average_lagging_{'tokens' if window is None else 's'}": float(np.mean(lags))}
