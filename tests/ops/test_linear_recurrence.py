"""Every form of the linear recurrence gives the values and gradients of a plain loop in float64."""
# SPDX-License-Identifier: Apache-2.0

import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxgen.ops.linear_recurrence import Form, linear_recurrence, min_gru, rg_lru, rg_lru_decay

B, D = 2, 3
FORMS = [*Form, None]
LENGTHS = [1, 63, 150]  # within a block, and three blocks with a part


def arguments(length):
    draw = np.random.default_rng(length)
    decay = draw.uniform(0, 1, (B, length, D))
    decay[:, ::7] = 0.0  # a decay may vanish
    inputs, carry = draw.normal(size=(B, length, D)), draw.normal(size=(B, D))
    going = draw.integers(0, 4, (B, length)) > 0
    return tuple(array.astype(np.float32) for array in (decay, inputs, carry, going))


def plain(decay, inputs, carry, going):
    """The loop, in NumPy and float64."""
    outputs, h = [], np.float64(carry)
    for t in range(inputs.shape[1]):
        h = decay[:, t] * going[:, t, None] * h + inputs[:, t]
        outputs.append(h)
    return np.stack(outputs, axis=1), h


def plain_gradients(decay, inputs, carry, going, d_outputs, d_last):
    """Its derivative, step by step from the end, in NumPy and float64."""
    outputs, _ = plain(decay, inputs, carry, going)
    d_decay, d_inputs, dh = np.zeros(decay.shape), np.zeros(decay.shape), np.float64(d_last)
    for t in reversed(range(decay.shape[1])):
        dh = dh + d_outputs[:, t]
        d_inputs[:, t] = dh
        d_decay[:, t] = dh * (outputs[:, t - 1] if t else carry) * going[:, t, None]
        dh = dh * decay[:, t] * going[:, t, None]
    return d_decay, d_inputs, dh


def close(left, right):
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients_are_those_of_a_plain_loop(form, length):
    *given, going = arguments(length)

    @jax.jit
    def ours(given, cotangents):
        values, backward = jax.vjp(lambda *given: linear_recurrence(*given, going, form), *given)
        return values, backward(cotangents)

    draw = np.random.default_rng(9)
    cotangents = tuple(draw.normal(size=shape).astype(np.float32) for shape in ((B, length, D), (B, D)))
    values, gradients = ours(given, cotangents)
    close(values, plain(*given, going))
    close(gradients, plain_gradients(*given, going, *cotangents))


@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_those_of_differences(form):
    *given, going = arguments(5)
    check_grads(
        functools.partial(linear_recurrence, going=going, form=form), given, 1, modes=["rev"], atol=2e-2, rtol=2e-2
    )


@pytest.mark.parametrize("form", FORMS)
def test_two_parts_are_the_whole(form):
    decay, inputs, carry, going = arguments(12)
    ours = jax.jit(functools.partial(linear_recurrence, form=form))
    first, between = ours(decay[:, :7], inputs[:, :7], carry, going[:, :7])
    second, last = ours(decay[:, 7:], inputs[:, 7:], between, going[:, 7:])
    close((jnp.concatenate([first, second], axis=1), last), ours(decay, inputs, carry, going))


def test_a_form_for_each_platform():
    """One exported function holds a loop for a CPU; for an accelerator it holds none."""
    *given, _ = arguments(64)
    gradient = jax.jit(jax.grad(lambda *given: linear_recurrence(*given)[0].sum(), (0, 1, 2)))
    loops = {
        platform: "stablehlo.while" in jax.export.export(gradient, platforms=[platform])(*given).mlir_module()
        for platform in ("cpu", "cuda", "tpu")
    }
    assert loops == {"cpu": True, "cuda": False, "tpu": False}
    both = jax.export.export(gradient, platforms=["cpu", "cuda", "tpu"])(*given)
    close(both.call(*given), gradient(*given))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_min_gru_is_its_papers_loop():
    """Listing by listing (arXiv 2410.01201): the gates of a step, then h = (1 - z) h + z g(c), in float64."""
    draw = np.random.default_rng(0)
    inputs, h = draw.normal(size=(B, 6, 2 * D)), np.abs(draw.normal(size=(B, D)))
    ours = jax.jit(min_gru)(jnp.float32(inputs), jnp.float32(h))
    expected = []
    for t in range(6):
        z, c = sigmoid(inputs[:, t, :D]), inputs[:, t, D:]
        h = (1 - z) * h + z * np.where(c >= 0, c + 0.5, sigmoid(c))
        expected.append(h)
    close(ours, (np.stack(expected, axis=1), h))


def test_the_rg_lru_is_its_papers_loop():
    """Equations 1 to 4 of arXiv 2402.19427 as they stand there, a = sigmoid(-decay), in float64."""
    draw = np.random.default_rng(0)
    inputs, decay, h = draw.normal(size=(B, 6, 3 * D)), draw.normal(size=D), draw.normal(size=(B, D))
    ours = jax.jit(rg_lru)(jnp.float32(inputs), jnp.float32(decay), jnp.float32(h))
    expected = []
    for t in range(6):
        r, i, x = sigmoid(inputs[:, t, :D]), sigmoid(inputs[:, t, D : 2 * D]), inputs[:, t, 2 * D :]
        a = sigmoid(-decay) ** (8 * r)
        h = a * h + np.sqrt(1 - a**2) * (i * x)
        expected.append(h)
    close(ours, (np.stack(expected, axis=1), h))


def test_a_fresh_rg_lru_remembers_and_one_that_never_forgets_has_finite_gradients():
    decay = rg_lru_decay(jax.random.key(0), 1000)
    a = np.exp(-8 * np.logaddexp(0, np.float64(decay)))
    assert 0.8999 < a.min() < 0.901 and 0.998 < a.max() < 0.99901 and abs(a.mean() - 0.9495) < 5e-3
    shut = jnp.full((B, 4, 3 * D), -200.0)  # r = 0 and a = 1 to every digit
    gradient = jax.jit(jax.grad(lambda *given: rg_lru(*given)[0].sum(), (0, 1, 2)))
    gradients = gradient(shut, jnp.zeros(D), jnp.ones((B, D)))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
