"""A damaged picture restored by a diffusion model as prior: laid out for the model, then walked step by step."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.core.degradation import Degradation
from jaxgen.core.restoration import Damaged, Restoration
from jaxgen.errors import UserError
from jaxgen.families.diffusion.restoration.canvas import canvas_for
from jaxgen.families.diffusion.restoration.operators import Grey
from jaxgen.families.diffusion.restoration.recipes import TAKES, Beginning, recipe_for
from jaxgen.families.diffusion.restoration.steps import Measured, Start, first_level
from jaxgen.families.diffusion.samplers import Denoise
from jaxgen.ops.noise import schedule
from jaxgen.ops.rows import normal
from jaxgen.types import Key, Variables


class Prior(NamedTuple):
    """What restoration knows of a model."""

    denoise: Callable[[Variables], Denoise]  # D(x, σ), for pictures of any class
    shape: tuple[int, int, int]  # H, W, C that it was trained on
    multiple: int | None  # it takes all pictures whose sides are multiples of it; None: those of its own size alone
    sigma_min: float
    sigma_max: float
    sigma_data: float  # the standard deviation of its pictures


def restoration_of(prior: Prior, damaged: Damaged) -> Restoration:
    """The walk from noise (or from the noisy picture itself) to a restoration, a call of the network a step."""
    _check(damaged)
    by_channel, grey = _layout(prior, damaged)
    y = np.moveaxis(damaged.picture, 2, 0)[..., None] if by_channel else damaged.picture[None]  # [B, h, w, C]
    size = tuple(side * (damaged.factor or 1) for side in y.shape[1:3])  # of the restored picture
    canvas = canvas_for(size, prior.shape[:2], prior.multiple)
    recipe = recipe_for(damaged, y, grey, canvas)
    first, sigmas = recipe.beginning, _sigmas(prior, damaged.evaluations, recipe.beginning)

    def begin(arguments: tuple, key: Key, row: jax.Array) -> jax.Array:
        own, _ = jax.random.split(key)
        _, _, sigmas, picture = arguments
        if first is not None and first.has_noise:
            return picture
        return picture + sigmas[0] * normal(own, row, (*canvas.canvas, prior.shape[2]))

    def advance(variables: Variables, arguments: tuple, x: jax.Array, step: jax.Array, key: Key, row: jax.Array):
        y, operator, sigmas, _ = arguments
        _, steps_key = jax.random.split(key)
        end = jnp.append(sigmas, 0.0)[step + 1]
        start = Start(x, sigmas[step][None], steps_key, row, end, step)
        denoise = canvas.over(prior.denoise(variables))
        return recipe.solve(Measured(denoise, operator, y, recipe.sigma_y), start)

    def shown(x: jax.Array) -> jax.Array:
        x = canvas.crop.forward(x)
        if by_channel:
            return jnp.moveaxis(x[..., 0], 0, 2)
        return Grey().forward(x)[0] if grey and damaged.degradation is not Degradation.COLOUR else x[0]

    picture = jnp.zeros(()) if first is None else jnp.asarray(first.picture, jnp.float32)
    arguments = jnp.asarray(recipe.y, jnp.float32), recipe.operator, sigmas, picture
    return Restoration(arguments, len(y), len(sigmas), begin, advance, shown, ", ".join(recipe.found))


def _layout(prior: Prior, damaged: Damaged) -> tuple[bool, bool]:
    """Whether each channel is restored by itself, and whether the picture is the grey of one in colour."""
    model, photograph = prior.shape[2], damaged.picture.shape[2]
    if damaged.degradation is Degradation.COLOUR and photograph != 1:
        raise UserError("the picture has colours already; give a grey one, or another --degradation")
    if damaged.degradation is Degradation.COLOUR and model == 1:
        raise UserError("this run makes grey pictures and knows no colours; give a --workdir trained on colour ones")
    return model == 1, model == 3 and photograph == 1


def _sigmas(prior: Prior, evaluations: int, first: Beginning | None) -> jax.Array:
    """[evaluations] noise levels that fall from `first_level`, or from that of the beginning, to the smallest."""
    if first is None:
        return schedule(evaluations, prior.sigma_min, first_level(prior.sigma_max, prior.sigma_data))
    if first.has_noise and first.sigma > prior.sigma_max:
        raise UserError(
            f"the noise is {50 * first.sigma:.3g} % of the range, and the run was trained on at most "
            f"{50 * prior.sigma_max:.3g} %; give a smaller --noise"
        )
    if first.sigma <= prior.sigma_min * 1.01:  # less than it was trained on: one step
        return jnp.asarray([prior.sigma_min], jnp.float32)
    return schedule(evaluations, prior.sigma_min, min(first.sigma, prior.sigma_max))


def _check(damaged: Damaged) -> None:
    """UserError for numbers that make no sense, and for those that this degradation has no use for."""
    for field in ("missing", "noise", "blur", "factor", "quality"):
        if getattr(damaged, field) is not None and field not in TAKES[damaged.degradation]:
            option, word = "mask" if field == "missing" else field, damaged.degradation.value
            raise UserError(f"--{option} says nothing of {word}; leave it out, or give another --degradation")
    if damaged.noise is not None and not 0 < damaged.noise <= 1:
        raise UserError(f"--noise is {damaged.noise}; give its deviation as a part of the range, above 0 and up to 1")
    if damaged.blur is not None and not 0.3 <= damaged.blur <= 100:
        raise UserError(f"--blur is {damaged.blur}; give its deviation in pixels, 0.3 to 100")
    if damaged.quality is not None and not 1 <= damaged.quality <= 100:
        raise UserError(f"--quality is {damaged.quality}; give 1 to 100")
    if not 2 <= damaged.evaluations <= 10_000:
        raise UserError(f"--evaluations is {damaged.evaluations}; give at least 2, and no more than 10,000")
