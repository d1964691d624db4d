"""Guidance: a denoiser led away from another one, without what is given or of a weaker model."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jaxgen.core.part import Part
from jaxgen.errors import UserError
from jaxgen.families.diffusion.picture_samplers import PictureSampler
from jaxgen.families.diffusion.samplers import Denoise
from jaxgen.types import Spec


def guided(denoise: Denoise, other: Denoise, knobs: Mapping[str, jax.Array | float]) -> Denoise:
    """D_other + w (D - D_other) where guidance_from <= σ < guidance_to, and D elsewhere; w is the guidance."""

    def of_both(x: jax.Array, σ: jax.Array) -> jax.Array:
        ours, theirs = denoise(x, σ), other(x, σ)
        inside = (knobs["guidance_from"] <= σ) & (σ < knobs["guidance_to"])
        return jnp.where(inside[:, None, None, None], theirs + knobs["guidance"] * (ours - theirs), ours)

    return of_both


def check_guidance(sampler: PictureSampler, spec: Spec, condition_dropout: float, kind: type) -> None:
    """UserError where there is nothing to guide by; `kind` is what a weaker model's task must be."""
    weaker = sampler.weaker
    if isinstance(weaker, Part):
        same = weaker.spec.made == spec.made and set(weaker.spec.given) <= set(spec.given)
        if not (isinstance(weaker.task, kind) and same):
            raise UserError(
                f"{weaker.field} is a {type(weaker.task).__name__} of {weaker.spec.made}, and this run makes "
                f"{spec.made}; name a diffusion run that was trained on the same data"
            )
    if sampler.guidance is not None and weaker is None and not (spec.given and condition_dropout):
        raise UserError(
            f"task.sampler.guidance is {sampler.guidance}, and the model is not trained to draw pictures of any class "
            "beside those of one; train on data with classes and with task.condition_dropout above 0, name a weaker "
            "run by task.sampler.weaker, or set it to none"
        )
