"""How fast the device at hand multiplies matrices, measured on the spot."""
# SPDX-License-Identifier: Apache-2.0

import functools
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

_TIMES = 9


@functools.cache
def product_rate(size: int, precision: str = "float32") -> float:
    """FLOP/s of one device in a product of two matrices [size, size]; once a process."""
    a, b = (jax.random.normal(jax.random.key(n), (size, size), jnp.dtype(precision)) for n in (0, 1))
    return 2 * size**3 / median_seconds(jax.jit(jnp.matmul), a, b)


def median_seconds(program: Callable, *arguments: jax.Array) -> float:
    """The median of a call, after the first, which compiles."""
    jax.block_until_ready(program(*arguments))
    seconds = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        jax.block_until_ready(program(*arguments))
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)
