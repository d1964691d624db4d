"""Pictures folded so that squares of pixels become features, and back (space-to-depth, arXiv 1609.05158)."""
# SPDX-License-Identifier: Apache-2.0

import jax


def folded(x: jax.Array, side: int) -> jax.Array:
    """[B, H, W, C] to [B, H / side, W / side, side * side * C]: a square's pixels in reading order, channels last."""
    size, height, width, channels = x.shape
    x = x.reshape(size, height // side, side, width // side, side, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(size, height // side, width // side, side * side * channels)


def unfolded(x: jax.Array, side: int) -> jax.Array:
    """[B, H, W, side * side * C] back to [B, side * H, side * W, C]."""
    size, height, width, features = x.shape
    channels = features // side**2
    x = x.reshape(size, height, width, side, side, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(size, side * height, side * width, channels)
