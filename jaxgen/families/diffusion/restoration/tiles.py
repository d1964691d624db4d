"""A denoiser of one size for pictures of any size: overlapping tiles, averaged at every call."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.errors import UserError
from jaxgen.families.diffusion.samplers import Denoise


def tiled(denoise: Denoise, size: tuple[int, int], stride: tuple[int, int], batch: int = 16) -> Denoise:
    """D for pictures [B, H, W, C] of at least `size` = (h, w), from one for [n, h, w, C].

    Tiles start every `stride` pixels down and across and end at the borders; where they overlap D is their weighted
    mean, the weight falling linearly from a tile's centre to its borders. As the mean is taken at every σ, a sampler
    sees one picture and no seams. `batch` tiles are denoised at once, which bounds the memory whatever the picture's
    size.
    """
    weight = jnp.asarray(np.outer(_ramp(size[0], stride[0]), _ramp(size[1], stride[1]))[..., None], jnp.float32)

    def whole(x: jax.Array, σ: jax.Array) -> jax.Array:
        count, height, width, channels = x.shape
        places = np.array(
            [
                (b, top, left)
                for b in range(count)
                for top in _starts(height, size[0], stride[0])
                for left in _starts(width, size[1], stride[1])
            ]
        )

        def one(place: jax.Array) -> jax.Array:
            start = (place[0], place[1], place[2], 0)
            return jax.lax.dynamic_slice(x, start, (1, *size, channels))[0]

        def add(sums: jax.Array, group: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            spots, used = group
            tiles = denoise(jax.vmap(one)(spots), σ[spots[:, 0]]) * weight
            weights = jnp.broadcast_to(weight, (*tiles.shape[:3], 1))
            both = jnp.concatenate([tiles, weights], axis=-1) * used[:, None, None, None]
            rows = spots[:, 1, None, None] + jnp.arange(size[0])[:, None]
            columns = spots[:, 2, None, None] + jnp.arange(size[1])
            return sums.at[spots[:, 0, None, None], rows, columns].add(both), None

        groups = -(-len(places) // batch)
        missing = groups * batch - len(places)
        used = jnp.asarray(np.r_[np.ones(len(places)), np.zeros(missing)].reshape(groups, batch), jnp.float32)
        spots = jnp.asarray(np.r_[places, np.repeat(places[:1], missing, axis=0)].reshape(groups, batch, 3))
        sums, _ = jax.lax.scan(add, jnp.zeros((count, height, width, channels + 1), jnp.float32), (spots, used))
        return sums[..., :-1] / sums[..., -1:]

    return whole


def _ramp(size: int, stride: int) -> np.ndarray:
    """[size] weights along a side of a tile."""
    if not 1 <= stride <= size:
        raise UserError(f"tiles of {size} pixels leave gaps at a stride of {stride}: choose 1 to {size}")
    return np.minimum(np.arange(1, size + 1), np.arange(size, 0, -1)) / size


def _starts(length: int, size: int, stride: int) -> list[int]:
    """Where tiles begin along a side, the last one ending at its end."""
    if length < size:
        raise UserError(f"a picture of {length} pixels a side is smaller than the tiles of {size}: pad it first")
    return [*range(0, length - size, stride), length - size]
