"""Reals and fakes changed alike before D sees them, differentiably: colour, translation, cutout (arXiv 2006.10738)."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgen.errors import UserError
from jaxgen.families.gan.calibration import MOST_SEEN
from jaxgen.ops.rows import draw, integers, uniform
from jaxgen.types import Key

_SHIFT, _CUT = 1 / 8, 1 / 2  # of a side: the farthest that a picture is moved, and the square that is blanked


@dataclass(frozen=True)
class DiffAugment:
    """Against a discriminator that learns its training pictures by themselves: it sees each of them changed.

    Each row is changed with `probability`, by all three at once. Of `strength` 1 they are those of the paper's section
    4: brightness, saturation and contrast, a translation by up to an eighth of each side, a blank square of half of
    each. At 0 nothing is changed. The probability rises linearly from 0 over the first `ramp` real pictures that D is
    trained on: a linear schedule, where arXiv 2006.06676 (section 3) moves it by what it sees of overfitting.
    """

    strength: float = 1.0
    probability: float = 0.5  # below 1, so that whole pictures, which are judged after training, are seen too
    ramp: int = 0  # real pictures; 0: the probability is constant

    def __post_init__(self):
        if not 0 <= self.strength <= 1 or not 0 <= self.probability <= 1:
            raise UserError(
                f"augment.strength is {self.strength} and augment.probability {self.probability}; give numbers from 0 "
                "to 1"
            )
        if not 0 <= self.ramp <= MOST_SEEN:
            raise UserError(f"augment.ramp is {self.ramp}; give a number of pictures from 0 to {MOST_SEEN:,}")

    def probability_after(self, seen: Int[Array, ""] | None) -> Float[Array, ""] | float:
        """The probability once D has been trained on so many real pictures; `seen` is asked for with a ramp alone."""
        return self.probability * jnp.minimum(seen / self.ramp, 1.0) if self.ramp else self.probability

    def __call__(
        self, picture: Float[Array, "B ..."], key: Key, row: Int[Array, "B"], seen: Int[Array, ""] | None = None
    ) -> Float[Array, "B ..."]:
        """Pictures [B, H, W, C] around [-1, 1] changed by draws of each row's own: the same ones under the same key.

        All frames of a clip [B, T, H, W, C] are changed by one draw. `seen` is as in `probability_after`.
        """
        if not self.strength:
            return picture
        if picture.ndim == 5:
            return jax.vmap(self, (1, None, None, None), 1)(picture, key, row, seen)
        chosen_key, *keys = jax.random.split(key, 4)
        probability = self.probability_after(seen)
        chosen, changed = draw(lambda one: jax.random.bernoulli(one, probability), chosen_key, row), picture
        for change, one in zip((coloured, moved, cut), keys, strict=True):
            changed = change(changed, one, row, self.strength)
        return jnp.where(chosen[:, None, None, None], changed, picture)


def coloured(picture: jax.Array, key: Key, row: jax.Array, strength: float) -> jax.Array:
    """Brighter or darker by up to 1/2, then colours scaled by 0 to 2, then contrast by 1/2 to 3/2."""
    brightness, saturation, contrast = strength * (2 * uniform(key, row, (3, 1, 1, 1)).swapaxes(0, 1) - 1)
    picture = picture + brightness / 2
    grey = picture.mean(axis=3, keepdims=True)
    picture = grey + (1 + saturation) * (picture - grey)
    mean = picture.mean(axis=(1, 2, 3), keepdims=True)
    return mean + (1 + contrast / 2) * (picture - mean)


def moved(picture: jax.Array, key: Key, row: jax.Array, strength: float) -> jax.Array:
    """Moved by whole pixels along each side; what comes in is zero (mid-grey).

    A product with a matrix for each side, not a gather: its gradients, of any order, are products again.
    """
    for axis, equation in ((1, "bij,bjwc->biwc"), (2, "bij,bhjc->bhic")):
        side = picture.shape[axis]
        most = round(strength * _SHIFT * side)
        shift = integers(jax.random.fold_in(key, axis), row, (), 2 * most + 1) - most  # [B]
        place = jnp.arange(side)
        matrix = (place[:, None] == place[None] + shift[:, None, None]).astype(picture.dtype)  # [B, to, from]
        picture = jnp.einsum(equation, matrix, picture, precision=jax.lax.Precision.HIGHEST)
    return picture


def cut(picture: jax.Array, key: Key, row: jax.Array, strength: float) -> jax.Array:
    """A square of zeros anywhere, at the borders in part outside."""
    inside = []
    for axis in (1, 2):
        side = picture.shape[axis]
        size = round(strength * _CUT * side)
        first = integers(jax.random.fold_in(key, axis), row, (), side + 1 - size % 2) - size // 2  # [B]
        place = jnp.arange(side) - first[:, None]  # [B, side]
        inside.append((place >= 0) & (place < size))
    hole = inside[0][:, :, None, None] & inside[1][:, None, :, None]
    return jnp.where(hole, 0, picture)
