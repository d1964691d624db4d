"""A start put through a surgery that sees the new task, as a run does it; nothing is compiled for it."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict

from jaxgen.core.masks import by_path

KEY = jax.random.key(11)


def trained(task, seed: int = 0):
    """Variables of a sized task of which no parameter is zero, as after some training; all else is zeros."""
    draw, shapes = np.random.default_rng(seed), jax.eval_shape(task.init, KEY)
    params = jax.tree.map(lambda leaf: draw.normal(0.0, 0.2, leaf.shape).astype(np.float32), shapes.params)
    rest = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes.replace(params={}))
    return rest.replace(params=params)


def operated(surgery, params, task):
    """The parameters after the surgery, which fill the sized task's every leaf; what it begins with is drawn too."""
    first = trained(task, seed=1).params
    there = {path: jnp.shape(leaf) for path, leaf in by_path(params).items()}
    lacking = {path: leaf for path, leaf in by_path(first).items() if there.get(path) != leaf.shape}
    grown = surgery.fit(params, task, unflatten_dict(lacking, sep="/"), KEY)
    assert jax.tree.map(jnp.shape, grown) == jax.tree.map(jnp.shape, first)
    return grown
