"""Tiles that cover a picture: what acts on each pixel alone is unchanged, and seams are averaged."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.families.diffusion.restoration.tiles import tiled


@pytest.mark.parametrize(("shape", "stride", "batch"), [((2, 11, 9, 3), (3, 2), 4), ((1, 4, 13, 1), (4, 3), 16)])
def test_a_denoiser_of_single_pixels_is_the_same_in_tiles(shape, stride, batch):
    def denoise(x, σ):
        return jnp.tanh(x) / (1 + σ[:, None, None, None])

    x = jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)
    σ = jnp.arange(1.0, len(x) + 1)
    whole = jax.jit(tiled(denoise, (4, 3), stride, batch))
    np.testing.assert_allclose(whole(x, σ), denoise(x, σ), atol=1e-6)
    pulled = jax.grad(lambda x: (whole(x, σ) ** 2).sum())(x)
    np.testing.assert_allclose(pulled, jax.grad(lambda x: (denoise(x, σ) ** 2).sum())(x), atol=1e-5)


def test_where_tiles_overlap_they_are_averaged_by_their_weights():
    """Each tile's mean on a line of 6 pixels in tiles of 4: the overlap goes from one mean to the other."""
    x = jnp.broadcast_to(jnp.arange(6.0)[None, None, :, None], (1, 4, 6, 1))
    means = tiled(lambda x, σ: jnp.broadcast_to(x.mean(axis=(1, 2), keepdims=True), x.shape), (4, 4), (2, 2))
    found = means(x, jnp.ones(1))
    wanted = [1.5, 1.5, (2 * 1.5 + 1 * 3.5) / 3, (1 * 1.5 + 2 * 3.5) / 3, 3.5, 3.5]
    np.testing.assert_allclose(found[0, 0, :, 0], wanted, rtol=1e-6)


def test_what_tiles_do_not_cover_is_said():
    with pytest.raises(UserError, match="gaps"):
        tiled(lambda x, σ: x, (4, 4), (4, 5))
    with pytest.raises(UserError, match="smaller than the tiles"):
        tiled(lambda x, σ: x, (8, 8), (4, 4))(jnp.zeros((1, 6, 9, 1)), jnp.ones(1))
