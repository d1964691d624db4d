"""A start put through a surgery that sees the new task, as a run does it."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp

from jaxgen.core.masks import by_path
from jaxgen.core.surgery import unstacked

KEY = jax.random.key(11)


def shaken(params, size: float = 0.1):
    """Parameters none of which is zero, as after some training."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(KEY, len(leaves))
    return jax.tree.unflatten(
        tree, [leaf + size * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    )


def operated(surgery, params, task):
    """The parameters after the surgery, which fill the sized task's every leaf."""
    first = unstacked(jax.jit(task.init)(KEY).params)
    there = {path: jnp.shape(leaf) for path, leaf in by_path(params).items()}
    lacking: dict = {}
    for path, leaf in by_path(first).items():
        if there.get(path) != leaf.shape:
            *outer, last = path.split("/")
            place = lacking
            for name in outer:
                place = place.setdefault(name, {})
            place[last] = leaf
    grown = surgery.fit(params, task, lacking, KEY)
    assert jax.tree.map(jnp.shape, grown) == jax.tree.map(jnp.shape, first)
    return grown
