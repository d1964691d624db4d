"""A clip of layers: what each frame shows is each layer's picture at its place, one over the other."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.families.gan.layered_clips import LayeredClipGenerator, _seen
from jaxgen.families.gan.network import Generator
from jaxgen.families.gan.task import Gan
from jaxgen.types import Image, Spec

FRAMES, HEIGHT, WIDTH, SIDE = 4, 9, 12, 5
SMALL = LayeredClipGenerator(
    Generator(width=16, blocks=1, latent=4), layers=3, side=SIDE, fastest=2.5, motion=6, hidden=8
)


@pytest.fixture(scope="module")
def made():
    """A generator whose layers fly far (some beyond walls), its latents, its clips and what its parts say."""
    network = SMALL.sized((FRAMES, HEIGHT, WIDTH, 2))
    z = jax.random.normal(jax.random.key(0), (5, network.latent))
    params = jax.jit(network.init)(jax.random.key(1), z, None)["params"]
    keys = iter(jax.random.split(jax.random.key(2), 99))
    params = jax.tree.map(lambda leaf: leaf + 0.5 * jax.random.normal(next(keys), leaf.shape), params)
    clips, state = jax.jit(lambda p, z: network.apply({"params": p}, z, None, capture_intermediates=True))(params, z)
    parts = {name: value["__call__"][0] for name, value in state["intermediates"].items() if name != "__call__"}
    return np.asarray(clips), jax.tree.map(np.asarray, parts | {"background": params["background"]})


def test_a_frame_is_a_background_and_layer_over_layer_at_whole_pixels(made):
    """Pixel by pixel, of the parts' own outputs."""
    clips, parts = made
    assert clips.shape == (5, FRAMES, HEIGHT, WIDTH, 2)
    drawn = parts["picture"].reshape(5, 3, SIDE, SIDE, 3)
    first = parts["to_place"].reshape(5, 3, 1, 2)
    velocity = np.clip(parts["to_velocity"].reshape(5, 3, FRAMES - 1, 2), -SMALL.fastest, SMALL.fastest)
    assert np.any(np.abs(parts["to_velocity"]) > SMALL.fastest)
    room = np.array([HEIGHT, WIDTH]) - SIDE
    corner = room * (first + 1) / 2 + np.concatenate([0 * first, np.cumsum(velocity, axis=2)], axis=2)
    assert np.any(corner < 0) and np.any(corner > room)
    for _ in range(20):  # thrown back by both walls until it is inside
        corner = np.where(corner < 0, -corner, corner)
        corner = np.where(corner > room, 2 * room - corner, corner)
    corner = np.floor(corner + 0.5).astype(int)
    for clip in range(5):
        for frame in range(FRAMES):
            expected = np.broadcast_to(parts["background"], (HEIGHT, WIDTH, 2)).copy()
            for layer in range(3):
                top, left = corner[clip, layer, frame]
                for row, column in np.ndindex(SIDE, SIDE):
                    *colour, opacity = np.clip(drawn[clip, layer, row, column], -1, 1)
                    seen = (opacity + 1) / 2
                    pixel = expected[top + row, left + column]
                    pixel[:] = (1 - seen) * pixel + seen * np.array(colour)
            np.testing.assert_allclose(clips[clip, frame], expected, rtol=1e-4, atol=1e-4)


def test_a_layer_is_the_same_in_all_frames_and_layers_differ(made):
    drawn = made[1]["picture"].reshape(5, 3, SIDE, SIDE, 3)  # one picture a layer, of whatever number of frames
    for one in range(3):
        for other in range(one):
            assert np.all(np.any(drawn[:, one] != drawn[:, other], axis=(1, 2, 3)))


def test_the_gradient_to_a_place_is_that_of_bilinear_interpolation():
    """Of one bright row: towards the pixels that it lies between, though it is drawn at the nearest alone."""
    size, side = 8, 1
    weight = jnp.asarray(np.random.default_rng(3).normal(size=size), jnp.float32)

    def seen(corner):
        return _seen(jnp.full((1, 1), corner), side, size)[0, 0, :, 0]

    for corner in (2.3, 4.8, 5.5):
        below = int(np.floor(corner))
        shown = np.zeros(size)
        shown[int(np.floor(corner + 0.5))] = 1
        np.testing.assert_allclose(seen(corner), shown, atol=1e-5)
        slope = jax.grad(lambda at: seen(at) @ weight)(corner)
        np.testing.assert_allclose(slope, weight[below + 1] - weight[below], rtol=1e-4)


def test_what_does_not_suit_is_told():
    with pytest.raises(UserError, match=r"layers is 0 and side 8; give at least 1 of each"):
        LayeredClipGenerator(layers=0)
    with pytest.raises(UserError, match=r"generator.fastest is 0.0; give more than 0 pixels a frame"):
        LayeredClipGenerator(fastest=0.0)
    with pytest.raises(UserError, match=r"generator.side is 9; give less than the 9x12 pixels of a frame"):
        SMALL.clone(side=9).sized((FRAMES, HEIGHT, WIDTH, 1))
    with pytest.raises(UserError, match="5x5 cannot be halved"):
        SMALL.clone(picture=Generator(channels=(4, 4))).sized((FRAMES, HEIGHT, WIDTH, 1))
    with pytest.raises(UserError, match="a LayeredClipGenerator is not for pictures"):
        Gan(generator=SMALL).sized(Spec(Image(8, 8, 1, 17)))
