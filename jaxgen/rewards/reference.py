"""The frozen reference of a reward run: the model as it was at the start, kept in the source's state."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.core.masks import join
from jaxgen.types import Key, Variables

State = dict[str, Any]


def begun(key: Key, moving: Any) -> State:
    """A source's first state. Of the reference it holds what moves; what is frozen is the run's own."""
    return {"key": key, "start": jax.tree.map(jnp.copy, moving)}


def at_start(state: State, variables: Variables) -> Variables:
    """The variables that the run started from."""
    return variables.replace(params=join(state["start"], variables.params))
