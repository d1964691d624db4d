"""What a network is told of the noise level: sines and cosines of c_noise."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp

_FREQUENCIES = 16


def noise_features(c_noise: jax.Array) -> jax.Array:
    """[B, 32]: sines and cosines of c_noise [B], which keeps within 1 of zero, at 1 to 64 radians a unit."""
    angle = c_noise[:, None] * 64.0 ** (jnp.arange(_FREQUENCIES, dtype=jnp.float32) / (_FREQUENCIES - 1))
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)
