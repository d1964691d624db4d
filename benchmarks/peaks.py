"""What this machine's device reaches at most: a large product, a copy; measured on the spot, once a process."""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.running.chips import chip_of
from jaxgen.running.product_rate import median_seconds, product_rate

_LARGE = {"cpu": (2048, 1 << 26), "gpu": (8192, 1 << 30), "tpu": (8192, 1 << 30)}  # width of a product; bytes of a copy


def times_one(devices: int) -> int:
    """The peak of so many devices over that of one: on a CPU one device uses all cores by itself."""
    return 1 if jax.default_backend() == "cpu" else devices


def product(precision: str) -> float:
    """FLOP/s of one device in a product of two square matrices."""
    return product_rate(_LARGE[jax.default_backend()][0], precision)


@functools.cache
def bandwidth() -> float:
    """Bytes/s that one device reads and writes in all when it negates a long array."""
    _, size = _LARGE[jax.default_backend()]
    return 2 * size / median_seconds(jax.jit(jnp.negative), jnp.ones(size // 4, jnp.float32))


def told(precision: str) -> str:
    """What shares are shares of, in a sentence."""
    size, _ = _LARGE[jax.default_backend()]
    reached = f"A product of two {size:,}-wide {precision} matrices reaches {product(precision) / 1e12:.3g} TFLOP/s"
    chip = chip_of(jax.devices()[0].device_kind)
    if chip is None:
        return f"{reached}."
    published = chip.half_flops if precision == "bfloat16" else chip.flops
    return f"{reached}; the maker's figure is {published / 1e12:.3g}."


def yardstick() -> Callable[[], Any]:
    """Work of some milliseconds, a product and a copy, whose time tells how fast the machine is at a moment."""
    size, copied = _LARGE[jax.default_backend()]
    a = jax.random.normal(jax.random.key(0), (size // 2, size // 2))
    b = jnp.ones(copied // 16)
    work = jax.jit(lambda a, b: (a @ a, -b)).lower(a, b).compile()  # which outlives jax.clear_caches
    return lambda: work(a, b)
