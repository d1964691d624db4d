"""A VAE that is given a class or a prompt from now on has the bounds that it had, and all that is new learns."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.core.condition_growth import GrowClasses
from jaxgen.core.masks import by_path
from jaxgen.errors import UserError
from jaxgen.families.gan.task import Gan
from jaxgen.families.vae.dense import DenseDecoder, DenseEncoder
from jaxgen.families.vae.network import Decoder, Encoder, Prior
from jaxgen.families.vae.task import Vae
from jaxgen.families.vae.top_down import BottomUp, TopDown
from jaxgen.families.vae.vae_growth import NewCondition
from jaxgen.nn.text_encoder import TextEncoder
from jaxgen.types import Framing, Image, Label, Spec, Tokens, Unit
from tests.given import pictures
from tests.lacking import operated, trained

KEY = jax.random.key(6)
TEXT = TextEncoder(width=8, blocks=1, heads=2)
IMAGE, WORDS = Image(4, 4, 1, 2), Tokens(3, 7, Unit.WORD, Framing.SOURCE)
CLASS, PROMPT = ("class", Label(3)), ("prompt", WORDS)
VALUE = {"class": jnp.array([0, 1, 2, 2]), "prompt": jnp.arange(12).reshape(4, 3) % 7}
ONE = (
    Encoder(width=8, blocks=1, text=TEXT),
    Decoder(width=8, blocks=1, latent=2, components=2, text=TEXT),
    Prior(layers=2, width=4),
)
NETWORKS = {
    "one layer": ONE,
    "a standard normal prior": (*ONE[:2], None),
    "two dense layers": (DenseEncoder((6, 5), 1), DenseDecoder((6, 5), 1, latent=(3, 2)), Prior(layers=1, width=4)),
    "linear": (DenseEncoder((1,), 0), DenseDecoder((1,), 0, latent=(2,)), None),
    "a hierarchy": (BottomUp(6, 4, (1, 1)), TopDown(6, 4, (1, 1), latent=1, patch=1), None),
}


def task_of(networks, *given):
    return Vae(*NETWORKS[networks], importance_samples=1).sized(Spec(IMAGE, given))


def batch_of(spec):
    given = {name: {"value": VALUE[name]} for name, _ in spec.given}
    if "prompt" in given:
        given["prompt"]["mask"] = jnp.arange(3) < jnp.array([[3], [2], [1], [0]])
    made = jax.random.randint(KEY, (4, *spec.made.shape), 0, spec.made.levels).astype(jnp.uint8)
    return {"row": jnp.arange(4), "given": given, "made": {"value": made}, "weight": jnp.ones(4)}


def computed(task, variables, batch):
    """The bound with its parts, and the mean pictures of each row's posterior and of its draw from the prior."""
    free = replace(task, condition_dropout=0.1)  # so that what is not given stays hidden

    def each(variables, batch):
        nats, aux = task.loss(variables, batch, KEY)
        drawn = free._decoded(variables.params, batch, task.draw_noise(batch["row"], KEY))
        return nats, aux.metrics, task.reconstruct(variables, batch, KEY), drawn.levels_mean(task.levels)

    return jax.jit(each)(variables, batch)


def assert_same(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)


def grown_from_nothing(networks, *given):
    """The conditional task, what it begins with, and the start's task and variables."""
    plain, task = task_of(networks), task_of(networks, *given)
    variables = trained(plain)
    return task, variables.replace(params=operated(NewCondition(), variables.params, task)), plain, variables


@pytest.mark.parametrize(
    ("networks", "given"),
    [
        *((networks, (CLASS,)) for networks in ("two dense layers", "linear", "a hierarchy")),
        ("one layer", (PROMPT, CLASS)),
        ("a standard normal prior", (PROMPT,)),
    ],
    ids=lambda value: value if isinstance(value, str) else " and ".join(name for name, _ in value),
)
def test_bounds_and_pictures_are_what_they_were_whatever_is_given_shown_or_hidden(networks, given):
    task, grown, plain, variables = grown_from_nothing(networks, *given)
    batch = batch_of(task.spec)
    hidden = {**batch, "given": {}}
    before = computed(plain, variables, hidden)
    assert_same(computed(task, grown, batch), before)
    if PROMPT in given or networks == "linear":
        assert_same(computed(task, grown, hidden), before)


@pytest.mark.parametrize(
    ("networks", "given"),
    [("one layer", CLASS), ("a standard normal prior", PROMPT), ("two dense layers", CLASS), ("a hierarchy", CLASS)],
)
def test_all_that_is_new_learns_from_the_second_step_on(networks, given):
    task, grown, _, variables = grown_from_nothing(networks, given)
    batch = batch_of(task.spec)
    slopes = jax.jit(jax.grad(lambda params: task.loss(grown.replace(params=params), batch, KEY)[0].total))
    slope = slopes(grown.params)
    first, old = by_path(slope), by_path(variables.params)
    new = {path for path, leaf in first.items() if path not in old}
    for path in (path for path, leaf in first.items() if path in old and leaf.shape != old[path].shape):
        assert jnp.abs(first[path][len(old[path]) :]).max() > 0  # of a dense layer, the rows for the class
    idle = {path for path in new if not jnp.abs(first[path]).max() > 0}
    assert all("/text/" in path or (given is PROMPT and path.endswith("condition/kernel")) for path in idle)
    stepped = jax.tree.map(lambda leaf, by: leaf - 0.1 * by, grown.params, slope)
    second = by_path(slopes(stepped))
    idle = {path for path in new if not jnp.abs(second[path]).max() > 0}
    assert all(path.endswith("condition/kernel") for path in idle) and (given is PROMPT or not idle)  # none is hidden


@pytest.mark.parametrize("networks", ["one layer", "two dense layers"])
def test_more_classes_of_a_vae(networks):
    """Old ones' bounds stay, wherever they stand, and so do those of any class."""
    before, after = (
        Vae(*NETWORKS[networks], importance_samples=1).sized(pictures((4, 4, 1), levels=2, classes=classes))
        for classes in (3, 5)
    )
    variables = trained(before)
    grown = variables.replace(params=operated(GrowClasses(places=(4, 0, 2)), variables.params, after))
    batch = batch_of(before.spec)
    moved = {**batch, "given": {"class": {"value": jnp.array([4, 0, 2])[VALUE["class"]]}}}
    hidden = {**batch, "given": {}}
    for one, other in [(moved, batch), *([(hidden, hidden)] if networks == "two dense layers" else [])]:
        assert_same(computed(after, grown, one), computed(before, variables, other))


@pytest.mark.parametrize("networks", ["one layer", "two dense layers", "linear"])
def test_a_start_that_has_a_condition_is_refused(networks):
    params = trained(task_of(networks, CLASS)).params
    with pytest.raises(UserError, match="given one already; leave it out, or take GrowClasses"):
        operated(NewCondition(), params, task_of(networks, ("class", Label(5))))


def test_what_cannot_be_given():
    params = trained(task_of("one layer")).params
    with pytest.raises(UserError, match="these give nothing; leave it out"):
        operated(NewCondition(), params, task_of("one layer"))
    with pytest.raises(UserError, match=r"give a class beside it, or start from a run with task.prior=none"):
        operated(NewCondition(), params, task_of("one layer", PROMPT))
    with pytest.raises(UserError, match="this NewCondition is for a Vae"):
        operated(NewCondition(), params, Gan().sized(Spec(IMAGE, (CLASS,))))
