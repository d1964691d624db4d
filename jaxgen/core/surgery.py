"""Parameters rearranged without a number changed: a network's blocks one by one, or stacked to be scanned over."""
# SPDX-License-Identifier: Apache-2.0

import re

import jax
import jax.numpy as jnp

from jaxgen.types import Params

_ONE, _STACK = re.compile(r"block_(\d+)"), "blocks"  # the names of one block, and of all in one


def stacked(params: Params) -> Params:
    """Every block_0 .. block_L-1 as one `blocks`, whose arrays [L, ...] have the blocks leading. Traceable."""
    if not isinstance(params, dict):
        return params
    ones = sorted((name for name in params if _ONE.fullmatch(name)), key=lambda name: int(_ONE.fullmatch(name)[1]))
    rest = {name: stacked(part) for name, part in params.items() if name not in ones}
    if not ones:
        return rest
    return rest | {_STACK: jax.tree.map(lambda *leaves: jnp.stack(leaves), *(params[name] for name in ones))}


def unstacked(params: Params) -> Params:
    """Undo `stacked`."""
    if not isinstance(params, dict):
        return params
    rest = {name: unstacked(part) for name, part in params.items() if name != _STACK}
    if _STACK not in params:
        return rest
    length = len(jax.tree.leaves(params[_STACK])[0])
    return rest | {f"block_{n}": jax.tree.map(lambda leaf, n=n: leaf[n], params[_STACK]) for n in range(length)}


def arranged(params: Params, like: Params) -> Params:
    """`params` with their blocks stacked or one by one as those of `like` are, which may be shapes alone."""
    for arrange in (stacked, unstacked):
        if jax.tree.structure(jax.eval_shape(arrange, params)) == jax.tree.structure(like):
            return arrange(params)
    return params
