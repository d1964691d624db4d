"""Sizes that no network can have, refused when it is described and not when it is traced."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
from typing import Any

from jaxgen.errors import UserError

_LEAST = {
    **dict.fromkeys(("width", "heads", "hidden", "embedding", "expansion", "patch"), 1),
    **dict.fromkeys(("channels", "features", "groups", "inner", "motion", "stride", "widths"), 1),
    **dict.fromkeys(("blocks", "layers", "encoder_blocks", "encoder_layers", "stage_blocks", "head", "low_rank"), 0),
}


def check_sizes(network: Any) -> None:
    """UserError for a field of a network (a Linen module) below what it can be, or a `dropout` outside [0, 1).

    Of a tuple each number counts.
    """
    for field in dataclasses.fields(network):
        value = getattr(network, field.name)
        bound = _LEAST.get(field.name)
        if bound is not None and min(value if isinstance(value, tuple) else (value,), default=bound) < bound:
            raise UserError(f"{field.name} is {value}; give at least {bound}")
        if field.name == "dropout" and not 0 <= value < 1:
            raise UserError(f"dropout is {value}; give a rate from 0 up to, not including, 1")
