"""Spectral regularisation (arXiv 2007.03898, section 3.2): the sum of all kernels' largest singular values.

A kernel is a matrix from all its inputs, the places of a convolution counted, to its outputs.
"""
# SPDX-License-Identifier: Apache-2.0

import math
from collections import defaultdict

import jax
import jax.numpy as jnp

from jaxgen.core.masks import paths
from jaxgen.types import Params

_TURNS = 8  # of the power iteration, from one start each time: no state, and little below the largest value


def sum_of_spectral_norms(params: Params) -> jax.Array:
    """The sum over all leaves named `kernel`; its gradient is that of exact singular vectors. float32.

    Kernels of one shape are worked through together.
    """
    alike = defaultdict(list)
    for path, leaf in zip(paths(params), jax.tree.leaves(params), strict=True):
        if path.endswith("/kernel"):
            alike[math.prod(leaf.shape[:-1]), leaf.shape[-1]].append(leaf.reshape(-1, leaf.shape[-1]))
    return sum(jnp.sum(jax.vmap(spectral_norm)(jnp.stack(kernels))) for kernels in alike.values())


def spectral_norm(kernel: jax.Array) -> jax.Array:
    """The largest singular value of a matrix [N, M], from below."""
    still = jax.lax.stop_gradient(kernel)

    def turn(_: int, v: jax.Array) -> jax.Array:
        return _unit(still.T @ _unit(still @ v))

    v = jax.lax.fori_loop(0, _TURNS, turn, _unit(jax.random.normal(jax.random.key(0), kernel.shape[1:])))
    return _unit(still @ v) @ kernel @ v


def _unit(vector: jax.Array) -> jax.Array:
    return vector / jnp.maximum(jnp.linalg.norm(vector), 1e-12)
