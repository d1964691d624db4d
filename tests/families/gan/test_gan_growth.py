"""A GAN that is given a class or a prompt from now on computes what it did, and all that is new learns."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.core.condition_growth import GrowClasses
from jaxgen.core.masks import by_path
from jaxgen.errors import UserError
from jaxgen.families.gan.clip_network import ClipDiscriminator, ClipGenerator
from jaxgen.families.gan.gan_growth import NewCondition
from jaxgen.families.gan.layered_clips import LayeredClipGenerator
from jaxgen.families.gan.network import Discriminator, Generator
from jaxgen.families.gan.task import Gan
from jaxgen.families.vae.task import Vae
from jaxgen.nn.conditions import condition_of
from jaxgen.nn.text_encoder import TextEncoder
from jaxgen.types import Clip, Framing, Image, Label, Spec, Tokens, Unit
from tests.given import pictures
from tests.lacking import operated, trained

KEY = jax.random.key(4)
TEXT = TextEncoder(width=8, blocks=1, heads=2)
TASK = Gan(
    Generator(width=16, blocks=1, channels=(4,), stage_blocks=1, latent=4, text=TEXT),
    Discriminator(width=16, blocks=1, channels=(4,), stage_blocks=1, features=8, text=TEXT),
)
FRAME = {"channels": (4,), "blocks": 1, "stage_blocks": 1, "patch": 2, "expansion": 1}
OF_CLIPS = {
    "frames": ClipGenerator(Generator(width=8, latent=3, **FRAME), motion=2, hidden=8),
    "layers": LayeredClipGenerator(Generator(width=8, latent=3), side=5, motion=2, hidden=8),
}
CLIPS = ClipDiscriminator(
    Discriminator(width=8, features=6, **FRAME), Discriminator(width=8, features=4, **{**FRAME, "patch": 1})
)
IMAGE, WORDS = Image(8, 8, 1, 17), Tokens(3, 7, Unit.WORD, Framing.SOURCE)
VALUE = {"class": jnp.array([0, 1, 2, 2]), "level": jnp.array([1, 0, 1, 0]), "prompt": jnp.arange(12).reshape(4, 3) % 7}
GIVEN = {
    "a class": (("class", Label(3)),),
    "two classes": (("class", Label(3)), ("level", Label(2))),
    "a prompt": (("prompt", WORDS),),
    "a class and a prompt": (("class", Label(3)), ("prompt", WORDS)),
}


def batch_of(spec):
    given = {name: {"value": VALUE[name]} for name, _ in spec.given}
    if "prompt" in given:
        given["prompt"]["mask"] = jnp.arange(3) < jnp.array([[3], [2], [1], [0]])
    made = jax.random.randint(KEY, (4, *spec.made.shape), 0, spec.made.levels).astype(jnp.uint8)
    return {"row": jnp.arange(4), "given": given, "made": {"value": made}}


def begun(task, spec):
    """The task that is given nothing, its parameters, and what both players make of a batch without a condition."""
    plain = task.sized(Spec(spec.made))
    params = trained(plain).params
    batch = {**batch_of(spec), "given": {}}
    return params, outputs(plain, params, batch)


def outputs(task, params, batch, hidden=None):
    """What G makes and what D tells of it."""

    @jax.jit
    def both(params, batch, hidden):
        condition = condition_of(task.spec, batch, hidden)
        (noise,) = task.draw_noise(batch["row"], KEY)
        made = task.generator.apply({"params": params["generator"]}, noise, condition)
        return made, task.discriminator.apply({"params": params["discriminator"]}, made, condition)

    return both(params, batch, hidden)


@pytest.mark.parametrize("given", GIVEN)
def test_outputs_are_what_they_were_whatever_is_given_shown_or_hidden(given):
    spec = Spec(IMAGE, GIVEN[given])
    params, (made, output) = begun(TASK, spec)
    task = TASK.sized(spec)
    grown = operated(NewCondition(), params, task)
    after = outputs(task, grown, batch_of(spec), jnp.array([False, False, False, True]))
    np.testing.assert_allclose(after[0], made, atol=1e-5)
    np.testing.assert_allclose(after[1], output, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("generator", OF_CLIPS)
def test_clips_are_what_they_were(generator):
    spec, task = Spec(Clip(4, 8, 8, 1, 17), GIVEN["a class"]), Gan(OF_CLIPS[generator], CLIPS)
    params, before = begun(task, spec)
    task = task.sized(spec)
    grown = operated(NewCondition(), params, task)
    for one, other in zip(outputs(task, grown, batch_of(spec)), before, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("given", ["a class", "a prompt"])
def test_all_that_is_new_learns_from_the_second_step_on(given):
    spec = Spec(IMAGE, GIVEN[given])
    params, _ = begun(TASK, spec)
    task, batch = TASK.sized(spec), batch_of(spec)
    variables = trained(task).replace(params=operated(NewCondition(), params, task))

    @jax.jit
    def gradients(params):
        own = variables.replace(params=params)
        of = lambda loss: jax.grad(lambda p: loss(own.replace(params=p), batch, KEY)[0].total)(params)  # noqa: E731
        parts = of(task.discriminator_loss), of(task.generator_loss)
        return {"discriminator": parts[0]["discriminator"], "generator": parts[1]["generator"]}

    first = gradients(variables.params)
    new = {path for path in by_path(first) if path not in by_path(params)}
    at_once = {
        "discriminator/to_features/kernel",
        f"discriminator/{'condition/kernel' if given == 'a class' else 'text_vector/bias'}",
    }
    assert all(jnp.abs(by_path(first)[path]).max() > 0 for path in at_once)
    assert jnp.abs(first["generator"]["from_latent"]["kernel"][4:]).max() > 0
    second = gradients(jax.tree.map(lambda leaf, slope: leaf - 0.1 * slope, variables.params, first))
    idle = {path for path in new if not jnp.abs(by_path(second)[path]).max() > 0}
    assert idle == (set() if given == "a class" else {f"{name}/condition/kernel" for name in second})  # none is hidden
    columns = second["discriminator"]["to_features"]["kernel"]
    assert jnp.abs(columns - columns[:, :1]).max() > 1e-6  # not one direction alone


def test_more_classes_of_a_gan():
    """Old ones' pictures and outputs stay to the bit, wherever they stand, and so do those of any class."""
    before, after = (TASK.sized(pictures((8, 8, 1), levels=17, classes=classes)) for classes in (3, 5))
    params = trained(before).params
    grown = operated(GrowClasses(places=(4, 0, 2)), params, after)
    batch = batch_of(before.spec)
    moved = {**batch, "given": {"class": {"value": jnp.array([4, 0, 2])[VALUE["class"]]}}}
    hidden = jnp.array([False, False, False, True])
    pairs = zip(outputs(after, grown, moved, hidden), outputs(before, params, batch, hidden), strict=True)
    assert all((one == other).all() for one, other in pairs)


@pytest.mark.parametrize(
    ("task", "given", "before", "sentence"),
    [
        (TASK, (), (), "these give nothing; leave it out"),
        (TASK, GIVEN["a class"], GIVEN["a class"], "given one already; leave it out, or take GrowClasses"),
        (Vae(), GIVEN["a class"], (), "this NewCondition is for a Gan"),
    ],
    ids=["nothing", "already", "another family"],
)
def test_a_condition_that_cannot_be_new(task, given, before, sentence):
    params = trained(TASK.sized(Spec(IMAGE, before))).params
    with pytest.raises(UserError, match=sentence):
        operated(NewCondition(), params, task.sized(Spec(IMAGE, given)))
