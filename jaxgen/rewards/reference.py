"""The frozen reference of a reward run: the model as it was at the start, kept in the source's state."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.types import Key, Variables

State = dict[str, Any]


def begun(key: Key, moving: Any) -> State:
    """A source's first state. Of the reference it holds what moves; what is frozen is the run's own."""
    return {"key": key, "start": jax.tree.map(jnp.copy, moving)}


def at_start(state: State, variables: Variables) -> Variables:
    """The variables that the run started from; what is kept of them is read as the run's own."""
    params = jax.tree.map(
        lambda now, then: now if then is None else nn.meta.replace_boxed(now, then),
        variables.params,
        state["start"],
        is_leaf=nn.meta.is_axis_metadata,
    )
    return variables.replace(params=params)
