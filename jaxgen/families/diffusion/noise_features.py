"""What a network is told at every place: the noise level, by sines and cosines, and a vector of what is given."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxgen.nn.conditions import Condition, Conditioned
from jaxgen.nn.precision import Precision

_FREQUENCIES = 16
_unit = nn.initializers.normal(1.0)  # a class is heard from the first step on, as loud as the noise level


def noise_condition(width: int, precision: Precision, c_noise: jax.Array, given: Condition | None) -> jax.Array:
    """[B, width] of noise level and condition, before the last nonlinearity.

    Called within a module's compact method, whose layers "noise_in", "noise_out" and "condition" it makes.
    """
    condition = precision.dense(width, name="noise_in")(noise_features(c_noise))
    condition = precision.dense(width, name="noise_out")(nn.silu(condition))
    if given is None:
        return condition
    return condition + Conditioned(width, _unit, name="condition")(given).astype(precision.dtype)


def noise_features(c_noise: jax.Array) -> jax.Array:
    """[B, 32]: sines and cosines of c_noise [B], which keeps within 1 of zero, at 1 to 64 radians a unit."""
    angle = c_noise[:, None] * 64.0 ** (jnp.arange(_FREQUENCIES, dtype=jnp.float32) / (_FREQUENCIES - 1))
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)
