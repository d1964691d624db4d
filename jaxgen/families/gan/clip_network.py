"""Generator and discriminator of clips, made of those of pictures: a motion code; a spatial and a temporal critic."""
# SPDX-License-Identifier: Apache-2.0

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.errors import UserError
from jaxgen.families.gan.network import Discriminator, Generator
from jaxgen.nn.conditions import Condition
from jaxgen.nn.precision import Precision
from jaxgen.nn.sizes import check_sizes
from jaxgen.ops.rows import repeated

Shape = tuple[int, int, int, int]  # T, H, W, C


class MotionStep(nn.Module):
    """The motion code of the next frame: this one's and what two dense layers add to it."""

    width: int
    frames: int  # T; the layers are scaled so that over so many steps the code's variance at first grows e-fold
    precision: Precision

    @nn.compact
    def __call__(self, code: Float[Array, "B M"], _: None) -> tuple[jax.Array, jax.Array]:
        """The next code, as a scan carries it, and the one that it starts from, as a scan keeps it."""
        # Bounded, so that codes grow at most linearly: with a leaky ReLU those of rare latents tripled every frame.
        hidden = nn.tanh(self.precision.dense(self.width)(code))
        small = nn.initializers.variance_scaling(2 / self.frames, "fan_in", "normal")
        return code + self.precision.dense(code.shape[-1], use_bias=False, kernel_init=small)(hidden), code


def motion_codes(first: Float[Array, "B M"], hidden: int, frames: int, precision: Precision) -> Float[Array, "B T M"]:
    """The codes of all frames, of a network whose `motion_step` makes each of the one before it."""
    step = nn.scan(MotionStep, variable_broadcast="params", split_rngs={"params": False}, length=frames)
    _, codes = step(hidden, frames, precision, name="motion_step")(first, None)  # [T, B, M]
    return codes.swapaxes(0, 1)


class ClipGenerator(nn.Module):
    """Latent and condition to a clip, whose content and motion are apart (MoCoGAN, arXiv 1707.04993, section 3.1).

    `frame.latent` numbers of the latent are the content, the same for all frames. The others are the first frame's
    motion code, from which a recurrent step makes those of the frames after it. `frame` makes each frame of both.
    """

    frame: Generator = Generator(channels=(128, 64), stage_blocks=1, patch=4, expansion=1)
    motion: int = 32  # numbers of a motion code
    hidden: int = 128  # width of the recurrent step
    frames: int | None = None  # T, from the data

    def __post_init__(self):
        check_sizes(self)
        super().__post_init__()

    def sized(self, clip: Shape) -> "ClipGenerator":
        """For clips [T, H, W, C]; UserError where their frames do not suit its stages."""
        return self.clone(frame=self.frame.sized(clip[1:]), frames=clip[0])

    @property
    def latent(self) -> int:
        """Numbers of content and motion together."""
        return self.frame.latent + self.motion

    @nn.compact
    def __call__(self, z: Float[Array, "B Z"], condition: Condition | None) -> Float[Array, "B T H W C"]:
        """Clips around [-1, 1], not bounded to it."""
        content, first = z[:, : self.frame.latent], z[:, self.frame.latent :]
        codes = motion_codes(first, self.hidden, self.frames, self.frame.precision)
        latents = jnp.concatenate([repeated(content, self.frames), codes.reshape(-1, self.motion)], axis=-1)
        pictures = self.frame(latents, repeated(condition, self.frames))
        return pictures.reshape(-1, self.frames, *pictures.shape[1:])


class ClipDiscriminator(nn.Module):
    """A clip and its condition to one number, the higher the more real: the sum of two critics' (arXiv 1907.06571).

    The spatial critic sees every `stride`-th frame by itself in full resolution, and its outputs' mean counts. The
    temporal one sees the whole clip at once, in half the resolution, its frames one after another as a picture's
    channels. Without a condition each ends in a linear layer, so that a pair's relativistic loss compares both sums.
    """

    spatial: Discriminator = Discriminator(blocks=1, channels=(64, 32), stage_blocks=1, patch=4, expansion=1)
    temporal: Discriminator = Discriminator(blocks=1, channels=(128, 128), stage_blocks=1, patch=2, expansion=1)
    stride: int = 4  # frames from one that the spatial critic sees to the next; that paper's 8 of 48 are drawn

    def __post_init__(self):
        check_sizes(self)
        super().__post_init__()

    def sized(self, clip: Shape) -> "ClipDiscriminator":
        """For clips [T, H, W, C]; UserError where they do not suit its stages."""
        frames, height, width, channels = clip
        if height % 2 or width % 2:
            raise UserError(f"a clip's critic halves its frames, and these have {height}x{width} pixels; scale them")
        small = height // 2, width // 2, frames * channels
        return self.clone(spatial=self.spatial.sized(clip[1:]), temporal=self.temporal.sized(small))

    @nn.compact
    def __call__(self, clip: Float[Array, "B T H W C"], condition: Condition | None) -> Float[Array, "B"]:
        seen = clip[:, :: self.stride]
        count, frames = seen.shape[:2]
        spatial = self.spatial(seen.reshape(-1, *seen.shape[2:]), repeated(condition, frames))
        return spatial.reshape(count, frames).mean(axis=1) + self.temporal(_halved(clip), condition)


def _halved(clip: jax.Array) -> jax.Array:
    """[B, H / 2, W / 2, T * C] means of squares of 2x2 pixels, frame after frame."""
    count, frames, height, width, channels = clip.shape
    small = clip.reshape(count, frames, height // 2, 2, width // 2, 2, channels).mean(axis=(3, 5))
    return small.transpose(0, 2, 3, 1, 4).reshape(count, height // 2, width // 2, frames * channels)
