"""Pictures changed so that they stay pictures: mirrored, shifted or binarised, each row by draws of its own."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp

from jaxgen.ops.rows import draw, integers, uniform


def flipped(image: jax.Array, key: jax.Array, row: jax.Array) -> jax.Array:
    """[B, H, W, C]: about every other picture mirrored, left for right."""
    mirrored = draw(lambda one: jax.random.bernoulli(one), key, row)
    return jnp.where(mirrored[:, None, None, None], image[:, :, ::-1], image)


def cropped(image: jax.Array, key: jax.Array, row: jax.Array, padding: int) -> jax.Array:
    """[B, H, W, C]: an H x W part of each picture with `padding` black pixels around it; all places equally likely.

    As CIFAR-10 is trained on in section 4.2 of arXiv 1512.03385, with a padding of 4 and the flip above.
    """
    return _part(jnp.pad(image, _around(padding)), image, key, row, padding)


def shifted(image: jax.Array, key: jax.Array, row: jax.Array, most: int) -> jax.Array:
    """[B, H, W, C]: each picture moved by up to `most` pixels along each side; what comes in repeats the border."""
    return _part(jnp.pad(image, _around(most), mode="edge"), image, key, row, most)


def binarised(image: jax.Array, key: jax.Array, row: jax.Array, brightest: int) -> jax.Array:
    """[B, H, W, C] levels 0 .. brightest as 0 and 1: each pixel is 1 with probability level / brightest.

    As pictures of digits are trained on in section 5 of arXiv 1509.00519, anew each time.
    """
    return (uniform(key, row, image.shape[1:]) * brightest < image).astype(jnp.uint8)


def _around(padding: int) -> tuple[tuple[int, int], ...]:
    return (0, 0), (padding, padding), (padding, padding), (0, 0)


def _part(wide: jax.Array, image: jax.Array, key: jax.Array, row: jax.Array, padding: int) -> jax.Array:
    """A part of each of `wide` as large as those of `image`, all places equally likely."""
    start = integers(key, row, (2,), 2 * padding + 1)  # [B, 2]

    def part(picture: jax.Array, corner: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(picture, (corner[0], corner[1], jnp.int32(0)), image.shape[1:])

    return jax.vmap(part)(wide, start)
