"""A text as a network reads it: padding changes nothing, a hidden one is the null, and the order of words counts."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.errors import UserError
from jaxgen.nn.conditions import Sequence, check_conditions, condition_of
from jaxgen.nn.text_encoder import TextEncoder
from jaxgen.types import Framing, Image, Label, Spec, Tokens, Unit

KEY = jax.random.key(2)
PROMPT = Tokens(4, 9, Unit.WORD, Framing.SOURCE)
BOTH = Spec(Image(4, 4, 1, 3), (("class", Label(3)), ("prompt", PROMPT)))
VALUE = jnp.array([[1, 2, 3, 0], [4, 5, 0, 0], [2, 1, 3, 0]])
MASK = jnp.array([[True, True, True, False], [True, True, False, False], [True, True, True, False]])
GIVEN = {"class": {"value": jnp.array([0, 1, 2])}, "prompt": {"value": VALUE, "mask": MASK}}
ENCODER = TextEncoder(width=8, blocks=2, heads=2)
VARIABLES = jax.jit(lambda: ENCODER.init(KEY, Sequence(VALUE, MASK, 9)))()


@jax.jit
def read(value, mask):
    return ENCODER.apply(VARIABLES, Sequence(value, mask, 9))


def test_padding_changes_nothing_whatever_it_holds_and_however_long_it_is():
    places, own, vector = read(VALUE, MASK)
    for value, mask in (
        (jnp.where(MASK, VALUE, 7), MASK),
        (jnp.pad(VALUE, ((0, 0), (0, 3))), jnp.pad(MASK, ((0, 0), (0, 3)))),
    ):
        others, kept, other = read(value, mask)
        assert np.array_equal(kept[:, :5], own) and not kept[:, 5:].any()
        np.testing.assert_allclose(other, vector, atol=1e-6)
        np.testing.assert_allclose(others[:, :5][own], places[own], atol=1e-6)


def test_the_order_of_words_counts_and_an_empty_text_is_the_null():
    _, _, vector = read(VALUE, MASK)
    assert float(jnp.abs(vector[0] - vector[2]).max()) > 1e-3
    _, own, nulls = read(VALUE, jnp.zeros_like(MASK))
    assert own.sum(axis=1).tolist() == [1, 1, 1]
    np.testing.assert_allclose(nulls, jnp.tile(nulls[:1], (3, 1)), atol=1e-6)


def test_a_hidden_prompt_is_a_missing_one():
    batch, hidden = {"row": jnp.arange(3), "given": GIVEN}, jnp.array([False, True, False])
    seen, part = condition_of(BOTH, batch), condition_of(BOTH, batch, hidden)
    nothing = condition_of(BOTH, {"row": jnp.arange(3)})
    assert seen.vector.shape == (3, 3 + 1 + 1) and seen.sequence.vocabulary == 9
    assert np.array_equal(part.sequence.mask, MASK & ~hidden[:, None]) and not nothing.sequence.mask.any()
    np.testing.assert_array_equal(part.vector[1], nothing.vector[1])
    np.testing.assert_array_equal(part.vector[::2], seen.vector[::2])
    (_, _, vector), (_, _, null) = (ENCODER.apply(VARIABLES, one.sequence) for one in (part, nothing))
    np.testing.assert_allclose(vector[1], null[1], atol=1e-6)


def test_one_sentence_is_read_and_only_where_it_can_be():
    check_conditions(BOTH, "Diffusion", prompts=True)
    with pytest.raises(UserError, match="cannot be conditioned on prompt"):
        check_conditions(BOTH, "Gan")
    with pytest.raises(UserError, match="first and second; leave one out"):
        check_conditions(Spec(BOTH.made, (("first", PROMPT), ("second", PROMPT))), "Diffusion", prompts=True)
    with pytest.raises(UserError, match="a class or a prompt"):
        check_conditions(Spec(BOTH.made, (("x", Tokens(4, 9)),)), "Diffusion", prompts=True)
