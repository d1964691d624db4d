"""A VAE under a sentence: both networks see the words that are a row's own, and without one it makes nothing."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import lively

from jaxgen.core.layout import check_layout
from jaxgen.core.masks import paths
from jaxgen.errors import UserError
from jaxgen.families.vae.dense import DenseDecoder, DenseEncoder
from jaxgen.families.vae.network import Decoder, Encoder, Prior
from jaxgen.families.vae.task import Vae
from jaxgen.families.vae.top_down import BottomUp, TopDown
from jaxgen.nn.text_encoder import TextEncoder
from jaxgen.types import Framing, Image, Spec, Tokens, Unit
from tests.given import cut, values_of

KEY = jax.random.key(3)
SPEC = Spec(Image(4, 4, 3, 256), (("prompt", Tokens(3, 7, Unit.WORD, Framing.SOURCE)),))
TEXT = TextEncoder(width=8, blocks=1, heads=2)
TASK = Vae(
    Encoder(width=16, blocks=1, text=TEXT),
    Decoder(width=16, blocks=1, latent=4, components=2, text=TEXT),
    Prior(layers=2, width=8),
    importance_samples=8,
)
PROMPT = {
    "value": jnp.array([[1, 2, 3], [4, 5, 0], [6, 0, 0], [2, 1, 3]]),
    "mask": jnp.array([[True, True, True], [True, True, False], [True, False, False], [True, True, True]]),
}
BATCH = {
    "row": jnp.arange(4),
    "given": {"prompt": PROMPT},
    "made": {"value": jax.random.randint(KEY, (4, 4, 4, 3), 0, 256).astype(jnp.uint8)},
}


def given(prompt):
    return BATCH | {"given": {"prompt": prompt}}


def test_the_likelihood_knows_the_words_that_are_a_rows_own():
    task = TASK.sized(SPEC)
    variables, log_prob = lively(jax.jit(task.init)(KEY)), jax.jit(task.log_prob)
    nats = log_prob(variables, BATCH, KEY)
    padded = {**PROMPT, "value": jnp.where(PROMPT["mask"], PROMPT["value"], 5)}
    np.testing.assert_allclose(log_prob(variables, given(padded), KEY), nats, rtol=1e-5)
    turned = jax.tree.map(lambda array: array[::-1], PROMPT)
    assert (jnp.abs(log_prob(variables, given(turned), KEY) - nats) > 1e-3).all()
    check_layout(task.layout(), variables.params)


def test_both_networks_learn_to_read():
    task = TASK.sized(SPEC)
    variables = lively(jax.jit(task.init)(KEY))
    total = lambda params: task.loss(variables.replace(params=params), BATCH, KEY)[0].total  # noqa: E731
    gradient = jax.jit(jax.grad(total))(variables.params)
    reading = [path for path in paths(gradient) if "/text/" in path]
    assert {path.partition("/")[0] for path in reading} == {"encoder", "decoder"}
    for network in ("encoder", "decoder"):
        for leaf in jax.tree.leaves(gradient[network]["text"]):
            assert float(jnp.abs(leaf).max()) > 0


def test_samples_follow_the_sentence_and_without_one_are_of_any_kind_or_refused():
    task = TASK.sized(SPEC)
    variables, request = lively(jax.jit(task.init)(KEY)), {name: BATCH[name] for name in ("row", "given")}
    made = values_of(jax.jit(task.sample)(variables, request, KEY))
    part = values_of(jax.jit(task.sample)(variables, cut(request, slice(1, 3)), KEY))
    assert made.dtype == jnp.uint8 and np.mean(np.abs(np.int32(part) - np.int32(made[1:3])) < 2) > 0.98
    assert task.needs_given
    with pytest.raises(UserError, match="makes nothing without prompt"):
        task.sample(variables, {"row": jnp.arange(4)}, KEY)
    free = replace(task, condition_dropout=0.2)
    assert not free.needs_given
    assert values_of(jax.jit(free.sample)(variables, {"row": jnp.arange(4)}, KEY)).shape == (4, 4, 4, 3)


def test_networks_that_cannot_read_are_told():
    dense, hierarchy = (DenseEncoder((4,)), DenseDecoder((4,), latent=(2,))), (BottomUp(), TopDown())
    for networks in (dense, hierarchy):
        with pytest.raises(UserError, match="cannot be conditioned on prompt"):
            Vae(*networks, None).sized(SPEC)
