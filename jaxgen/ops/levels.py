"""Pictures between integer levels, numbers in [-1, 1] and sequences of tokens."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp


def to_unit(image: jax.Array, levels: int) -> jax.Array:
    """Levels 0 .. levels-1 to [-1, 1], evenly."""
    return image.astype(jnp.float32) * (2.0 / (levels - 1)) - 1.0


def to_levels(image: jax.Array, levels: int) -> jax.Array:
    """Undo `to_unit`: the nearest level; what lies outside [-1, 1] becomes the first or last one."""
    nearest = jnp.round((image + 1.0) * ((levels - 1) / 2.0))
    return jnp.clip(nearest, 0, levels - 1).astype(jnp.uint8)


def straight_through(image: jax.Array, levels: int) -> jax.Array:
    """The levels of `to_levels` as floats, with the gradient that they had before they were rounded."""
    unrounded = (image + 1.0) * ((levels - 1) / 2.0)
    return unrounded + jax.lax.stop_gradient(to_levels(image, levels).astype(jnp.float32) - unrounded)


def to_tokens(image: jax.Array) -> jax.Array:
    """[B, H, W, C] levels to [B, H*W*C] tokens, row by row, a pixel's channels together."""
    return image.reshape(image.shape[0], -1).astype(jnp.int32)
