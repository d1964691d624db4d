"""Pictures changed so that they stay pictures: mirrored and shifted, each row by draws of its own."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp

from jaxgen.ops.rows import draw, integers


def flipped(image: jax.Array, key: jax.Array, row: jax.Array) -> jax.Array:
    """[B, H, W, C]: about every other picture mirrored, left for right."""
    mirrored = draw(lambda one: jax.random.bernoulli(one), key, row)
    return jnp.where(mirrored[:, None, None, None], image[:, :, ::-1], image)


def cropped(image: jax.Array, key: jax.Array, row: jax.Array, padding: int) -> jax.Array:
    """[B, H, W, C]: an H x W part of each picture with `padding` black pixels around it; all places equally likely.

    As CIFAR-10 is trained on in section 4.2 of arXiv 1512.03385, with a padding of 4 and the flip above.
    """
    wide = jnp.pad(image, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    start = integers(key, row, (2,), 2 * padding + 1)  # [B, 2]

    def part(picture: jax.Array, corner: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(picture, (corner[0], corner[1], jnp.int32(0)), image.shape[1:])

    return jax.vmap(part)(wide, start)
