"""Posterior collapse, seen in the figures of an evaluation: latents that carry nothing, and the setting that helps."""
# SPDX-License-Identifier: Apache-2.0

import re
from collections.abc import Mapping
from typing import Any

_UNUSED = 0.05  # nats that a layer in use carries at least


def warning_of(figures: Mapping[str, Any]) -> str | None:
    """One sentence where the posterior of all latents, or of a stochastic layer, has become the prior."""
    if figures["kl_nats_per_example"] < _UNUSED:
        return (
            f"the latents carry {figures['kl_nats_per_example']:.2g} nats a picture: the posterior has collapsed to "
            "the prior; set task.objective.warmup to a tenth of the steps, task.objective.free_nats to 1, or a smaller "
            "task.objective.beta"
        )
    rates = {m[1]: rate for name, rate in figures.items() if (m := re.fullmatch(r"kl_nats_layer_(\d+)", name))}
    if unused := [number for number, rate in rates.items() if rate < _UNUSED]:
        return (
            f"stochastic layer{'s' if len(unused) > 1 else ''} {', '.join(unused)} of {len(rates)} carry less than "
            f"{_UNUSED} nats and are not used; raise task.objective.warmup, set task.objective.free_nats, or train "
            "fewer layers"
        )
    return None
