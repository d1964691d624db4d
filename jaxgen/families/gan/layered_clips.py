"""A generator of clips made of layers: each layer's picture is drawn once and moves from frame to frame."""
# SPDX-License-Identifier: Apache-2.0

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.errors import UserError
from jaxgen.families.gan.clip_network import Shape, motion_codes
from jaxgen.families.gan.network import Generator
from jaxgen.nn.conditions import Condition
from jaxgen.nn.sizes import check_sizes
from jaxgen.ops.clipping import bounded
from jaxgen.ops.rows import repeated


class LayeredClipGenerator(nn.Module):
    """Latent and condition to a clip of things that move over one colour (layers as in arXiv 1703.01560).

    The latent has `picture.latent` numbers and a first motion code for each layer. From the numbers, and which layer
    it is, `picture` draws the layer once: `side` x `side` pixels of colour and opacity. From the first motion code a
    linear layer makes the layer's first place and a recurrent step the code of every frame; from each code another
    linear layer makes the velocity with which the layer leaves that frame. So a thing is the same in all frames by
    construction, and moves on unless its codes change. Later layers cover earlier ones, and all of them a colour that
    all clips share, black at first. A place beyond a wall is mirrored at it: layers bounce and are always seen.

    Colours beyond [-1, 1] and opacities beyond [0, 1] are clipped, with a gradient that leads back: by sigmoids, digits
    became outlines in black and white that training could not change any more.

    Places are rounded to whole pixels, since a picture between two pixels is blurred; the gradient is that of bilinear
    interpolation (straight through, arXiv 1308.3432).
    """

    picture: Generator = Generator(width=256, latent=64)  # of each layer; its `image` follows from `side`
    layers: int = 2
    side: int = 8  # pixels of a layer's height and width
    fastest: float = 4.0  # pixels that a layer moves at most from a frame to the next, along each axis
    motion: int = 32  # numbers of a motion code
    hidden: int = 128  # width of the recurrent step
    clip: Shape | None = None  # from the data

    def __post_init__(self):
        check_sizes(self)
        if min(self.layers, self.side) < 1:
            raise UserError(f"layers is {self.layers} and side {self.side}; give at least 1 of each")
        if self.fastest <= 0:
            raise UserError(f"generator.fastest is {self.fastest}; give more than 0 pixels a frame")
        super().__post_init__()

    def sized(self, clip: Shape) -> "LayeredClipGenerator":
        """For clips [T, H, W, C]; UserError where layers cannot move in them or do not suit the stages of `picture`."""
        if self.side >= min(clip[1:3]):
            raise UserError(
                f"generator.side is {self.side}; give less than the {clip[1]}x{clip[2]} pixels of a frame, in which "
                "layers move"
            )
        picture = self.picture.sized((self.side, self.side, clip[-1] + 1))
        return self.clone(picture=picture, clip=clip)

    @property
    def latent(self) -> int:
        """Numbers of all layers' contents and first motion codes."""
        return self.layers * (self.picture.latent + self.motion)

    @nn.compact
    def __call__(self, z: Float[Array, "B Z"], condition: Condition | None) -> Float[Array, "B T H W C"]:
        """Clips around [-1, 1], not bounded to it."""
        frames, height, width, channels = self.clip
        layers = z.reshape(len(z) * self.layers, -1)  # [B * L, content and motion], as of a batch of layers
        content, first = layers[:, : self.picture.latent], layers[:, self.picture.latent :]
        which = jnp.tile(jnp.eye(self.layers), (len(z), 1))  # [B * L, L]
        drawn = self.picture(jnp.concatenate([content, which], axis=-1), repeated(condition, self.layers))
        codes = motion_codes(first, self.hidden, frames, self.picture.precision)  # [B * L, T, M]
        place = self._places(codes)
        background = self.param("background", nn.initializers.constant(-1.0), (channels,), jnp.float32)
        colour, opacity = bounded(drawn[..., :-1], -1.0, 1.0), bounded((drawn[..., -1:] + 1) / 2, 0.0, 1.0)
        layer = jnp.concatenate([opacity * colour, opacity], axis=-1)
        down, across = (_seen(place[..., axis], self.side, size) for axis, size in enumerate((height, width)))
        moved = _moved(layer, down, across).reshape(channels + 1, len(z), self.layers, frames, height, width)
        clips = jnp.broadcast_to(background[:, None, None, None, None], (channels, len(z), frames, height, width))
        for number in range(self.layers):
            clips = clips * (1 - moved[-1, :, number]) + moved[:-1, :, number]
        return jnp.moveaxis(clips, 0, -1)

    def _places(self, codes: Float[Array, "N T M"]) -> Float[Array, "N T 2"]:
        """The pixel, along height and width, of each layer's upper left corner in each frame, as if no walls were."""
        room = jnp.array(self.clip[1:3]) - self.side
        inside = nn.initializers.variance_scaling(0.3, "fan_in", "normal")  # nearly all first places between the walls
        linear = self.picture.precision.output
        first = room * (linear(2, kernel_init=inside, name="to_place")(codes[:, :1]) + 1) / 2
        pixel = nn.initializers.variance_scaling(1.0, "fan_in", "normal")  # about one a frame, at first
        velocity = linear(2, kernel_init=pixel, name="to_velocity")(codes[:, :-1])
        velocity = bounded(velocity, -self.fastest, self.fastest)
        return first + jnp.pad(jnp.cumsum(velocity, axis=1), ((0, 0), (1, 0), (0, 0)))


def _moved(layer: jax.Array, down: jax.Array, across: jax.Array) -> jax.Array:
    """[C * N * T, H, W]: each channel of layers [N, S, S, C] with its rows and columns at [N, T, H or W, S].

    Two products of matrices in a row: as one einsum the gradient takes five times as long on a CPU.
    """
    count, frames, height, side = down.shape
    channels = layer.shape[-1]
    rows = jnp.matmul(
        down.reshape(count, frames * height, side), layer.reshape(count, side, side * channels), precision="highest"
    )
    rows = jnp.moveaxis(rows.reshape(count, frames, height, side, channels), -1, 0)  # [C, N, T, H, S]
    columns = jnp.broadcast_to(across, (channels, *across.shape)).swapaxes(-1, -2)  # [C, N, T, S, W]
    return jnp.matmul(*(each.reshape(-1, *each.shape[-2:]) for each in (rows, columns)), precision="highest")


def _seen(corner: jax.Array, side: int, size: int) -> jax.Array:
    """[N, T, size, side] what part of each of a layer's rows is seen in each row of a frame, for corners [N, T]."""
    room = size - side

    def overlap(corner: jax.Array) -> jax.Array:
        away = jnp.arange(size)[:, None] - jnp.arange(side) - corner[..., None, None]
        return nn.relu(1 - jnp.abs(away))

    inside = room - jnp.abs(jnp.mod(corner, 2 * room) - room)  # mirrored at the walls: beyond them nothing is seen
    between, whole = overlap(inside), overlap(jnp.floor(inside + 0.5))
    return between + jax.lax.stop_gradient(whole - between)
