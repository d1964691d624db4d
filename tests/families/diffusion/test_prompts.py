"""Pictures for prompts: what is padded or hidden is not seen by any network, and a reward's samples have prompts."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import lively

from jaxgen.core.task import Prompted
from jaxgen.errors import UserError
from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.families.diffusion.picture_samplers import Heun
from jaxgen.families.diffusion.task import Diffusion
from jaxgen.families.diffusion.unet import UNet
from jaxgen.nn.conditions import condition_of
from jaxgen.nn.text_encoder import TextEncoder
from jaxgen.rewards.host import JpegSize, OnHost
from jaxgen.rewards.prompts import Prompts
from jaxgen.rewards.score_function import ScoreFunction
from jaxgen.types import Framing, Image, Label, Spec, Tokens, Unit

KEY, ROW = jax.random.key(3), jnp.arange(4)
SPEC = Spec(Image(8, 8, 3, 256), (("prompt", Tokens(3, 7, Unit.WORD, Framing.SOURCE)),))
LABELLED = Spec(SPEC.made, (("class", Label(2)), *SPEC.given))
PROMPT = {
    "value": jnp.array([[1, 2, 3], [4, 5, 0], [6, 0, 0], [2, 1, 3]]),
    "mask": jnp.array([[True, True, True], [True, True, False], [True, False, False], [True, True, True]]),
}
TEXT = TextEncoder(width=8, blocks=1, heads=2)
NETWORKS = {
    "transformer": DiffusionTransformer(width=16, blocks=1, heads=2, patch=4, text=TEXT),
    "scanned": DiffusionTransformer(width=16, blocks=2, heads=2, patch=4, text=TEXT, scan=True),
    "unet": UNet(width=8, widths=(1, 2), blocks=1, attention=(1,), heads=2, text=TEXT),
}
X, SIGMA = jax.random.normal(KEY, (4, 8, 8, 3)), jnp.full(4, 0.7)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_sees_the_words_that_are_a_rows_own_and_no_others(network):
    task = Diffusion(network=NETWORKS[network]).sized(SPEC)
    params = lively(jax.jit(task.init)(KEY)).params
    clean = jax.jit(lambda condition: task.denoiser(params, X, SIGMA, condition))

    def of(prompt, hidden=None):
        batch = {"row": ROW, "given": {} if prompt is None else {"prompt": prompt}}
        return np.asarray(clean(condition_of(SPEC, batch, hidden)))

    seen, hidden = of(PROMPT, jnp.zeros(4, bool)), jnp.array([False, True, False, True])
    padded = {**PROMPT, "value": jnp.where(PROMPT["mask"], PROMPT["value"], 5)}
    np.testing.assert_allclose(of(padded, jnp.zeros(4, bool)), seen, atol=1e-5)
    nothing = of(None, jnp.zeros(4, bool))
    np.testing.assert_allclose(of(PROMPT, hidden), np.where(hidden[:, None, None, None], nothing, seen), atol=1e-5)
    turned = {**PROMPT, "value": PROMPT["value"][::-1], "mask": PROMPT["mask"][::-1]}
    differ = np.abs(of(turned, jnp.zeros(4, bool)) - seen).max(axis=(1, 2, 3))
    assert (differ[[1, 2]] > 1e-3).all() and (differ[[0, 3]] > 1e-4).all()  # these two by the order of words alone


def test_a_class_and_a_prompt_may_both_be_given():
    task = Diffusion(network=NETWORKS["transformer"], sampler=Heun(steps=2)).sized(LABELLED)
    variables = lively(jax.jit(task.init)(KEY))
    given = {"class": {"value": jnp.array([0, 1, 0, 1])}, "prompt": PROMPT}
    draw = jax.jit(lambda given: task.sample(variables, {"row": ROW, "given": given}, KEY)["made"]["value"])
    both = np.float32(draw(given))
    assert both.shape == (4, 8, 8, 3)
    other = np.float32(draw({**given, "class": {"value": jnp.array([1, 1, 0, 1])}}))
    assert np.abs(other[0] - both[0]).max() > 0 and np.abs(other[1:] - both[1:]).max() <= 1


def test_a_rewards_samples_are_made_for_the_datas_prompts():
    task = Diffusion(network=NETWORKS["transformer"], sampler=Heun(steps=2), actions=2, condition_dropout=0.0)
    task = task.sized(SPEC)
    assert isinstance(task, Prompted) and task.needs_given
    assert not Diffusion(network=NETWORKS["transformer"]).sized(Spec(SPEC.made, LABELLED.given[:1])).needs_given
    task.check_policy()  # nothing is drawn without a prompt
    examples = {"given": {"prompt": PROMPT}, "made": {"value": np.zeros((4, 8, 8, 3), np.uint8)}}
    tuning, prompts = ScoreFunction(OnHost(JpegSize()), kl_coef=0.1, group=2), Prompts.of(SPEC, examples)
    source = tuning.source(task, 4, prompts, lambda batch: ([None] * 4, list(np.asarray(batch["made"]["value"]))))
    variables = jax.jit(task.init)(KEY)
    batch, _ = source.make(source.init(KEY, variables.params), variables, 0, np.arange(4, dtype=np.int32))
    value = np.asarray(batch["trajectory"].request["given"]["prompt"]["value"])
    assert np.array_equal(value[::2], value[1::2]) and not np.array_equal(value[0], value[2])
    assert (batch["reward"] < -0.3).all() and np.isfinite(batch["advantage"]).all()


def test_levels_without_a_sentence_keep_a_networks_parameters():
    plain = Diffusion(network=NETWORKS["transformer"]).sized(Spec(SPEC.made, LABELLED.given[:1]))
    assert not any("text" in name for name in jax.eval_shape(plain.init, KEY).params)


def test_two_sentences_are_refused():
    with pytest.raises(UserError, match="reads one sentence"):
        Diffusion().sized(Spec(SPEC.made, (*SPEC.given, ("more", SPEC.given[0][1]))))
