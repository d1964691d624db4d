"""A sampler's numbers are arguments of the program: ten values share one compilation, and do what a setting does."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.core.task import Sampled, Sampler
from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.families.diffusion.picture_samplers import DDIM, Heun
from jaxgen.families.diffusion.task import Diffusion
from jaxgen.families.gan.network import Discriminator, Generator
from jaxgen.families.gan.task import Gan
from jaxgen.families.gan.task import LatentSampler as Truncated
from jaxgen.families.language_model import LanguageModel, TokenSampler
from jaxgen.families.rnn.network import RecurrentNetwork
from jaxgen.families.transformer.network import Transformer
from jaxgen.families.vae.network import Decoder, Encoder, Prior
from jaxgen.families.vae.task import LatentSampler, Vae
from tests.given import asked, pictures, values_of

KEY, SPEC = jax.random.key(3), pictures((2, 4, 1), levels=9, classes=3)
REQUEST = asked(jnp.arange(24) % 3)
RNN = LanguageModel(RecurrentNetwork(width=8, embedding=6))
TRANSFORMER = LanguageModel(Transformer(width=8, blocks=1, heads=2, hidden=8))
DIFFUSION = Diffusion(DiffusionTransformer(width=8, blocks=1, heads=2), sigma_max=3.0)
GAN = Gan(Generator(width=8, blocks=1, latent=4), Discriminator(width=8, blocks=1))
VAE = Vae(Encoder(width=8, blocks=1), Decoder(width=8, blocks=1, latent=3), Prior(layers=2, width=8))
CASES = {  # a task, its sampler by one number, the number's name, and its least and largest value
    "rnn's temperature": (RNN, TokenSampler, "temperature", (0.0, 2.0)),
    "transformer's temperature": (
        TRANSFORMER,
        TokenSampler,
        "temperature",
        (0.0, 2.0),
    ),
    "rnn's top_p": (RNN, lambda value: TokenSampler(top_p=value), "top_p", (0.1, 1.0)),
    "diffusion's guidance": (DIFFUSION, lambda value: Heun(steps=3, guidance=value), "guidance", (0.0, 4.0)),
    "diffusion's eta": (DIFFUSION, lambda value: DDIM(steps=3, eta=value), "eta", (0.0, 1.0)),
    "gan's truncation": (GAN, Truncated, "truncation", (0.0, 2.0)),
    "vae's temperature": (VAE, LatentSampler, "temperature", (0.0, 3.0)),
}


def lively(task):
    """Variables that make something: fresh outputs are zero."""
    variables = jax.jit(task.init)(KEY)
    leaves, tree = jax.tree.flatten(variables.params)
    keys = jax.random.split(KEY, len(leaves))
    moved = [leaf + 0.4 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return variables.replace(params=jax.tree.unflatten(tree, moved))


@pytest.mark.parametrize("case", CASES)
def test_ten_values_of_a_knob_are_one_compilation_and_each_is_the_setting(case):
    task, sampler, name, (low, high) = CASES[case]
    task = replace(task, sampler=sampler(high)).sized(SPEC)
    assert isinstance(task, Sampled) and isinstance(task.sampler, Sampler) and task.sampler.knobs()[name] == high
    variables, sample = lively(task), jax.jit(task.sample)
    values = np.linspace(low, high, 10)
    made = [values_of(sample(variables, REQUEST | {"knobs": {name: float(value)}}, KEY)) for value in values]
    assert sample._cache_size() == 1
    assert np.mean(made[0] != made[-1]) > 0.05
    for place in (0, 4, 9):
        setting = replace(task, sampler=sampler(float(values[place])))
        alone = values_of(jax.jit(setting.sample)(variables, REQUEST, KEY))
        assert np.mean(alone == made[place]) > 0.97  # a rounding may fall the other way
