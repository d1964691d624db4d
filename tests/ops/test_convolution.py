"""The convolution whose gradients are fast inside loops: equal to XLA's own, of first and second order."""
# SPDX-License-Identifier: Apache-2.0

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.nn.convolution_3x3 import convolution_3x3
from jaxgen.nn.precision import Precision
from jaxgen.ops.convolution import _between_zeros, _by_convolution, _by_products, _convolved, convolution
from jaxgen.training.program import shapes_and_loops


def native(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def drawn(seed, *shapes):
    return [jax.random.normal(jax.random.key(seed + number), shape) for number, shape in enumerate(shapes)]


@settings(max_examples=8, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 5),
    st.sampled_from([(1, 1), (3, 3), (3, 5)]),
)
def test_value_and_gradients_are_those_of_xla(rows, height, width, features, window):
    x, kernel, slope = drawn(0, (rows, height, width, features), (*window, features, 3), (rows, height, width, 3))
    value, pull = jax.vjp(convolution, x, kernel)
    expected, expected_pull = jax.vjp(native, x, kernel)
    for ours, theirs in zip((value, *pull(slope)), (expected, *expected_pull(slope)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    np.testing.assert_allclose(_by_products(x, slope, window), _by_convolution(x, slope, window), atol=1e-4)


@pytest.mark.parametrize("features", [(8, 40), (40, 8)])
def test_pictures_are_multiplied_a_few_lines_at_a_time_to_the_same_sum(features):
    """Pictures of 30 lines whose shifted copies do not fit into the cache at once; exact, as they are whole numbers."""
    x, slope = (jnp.round(each) for each in drawn(3, *((12, 30, 31, count) for count in features)))
    np.testing.assert_array_equal(_by_products(x, slope, (3, 5)), _by_convolution(x, slope, (3, 5)))


@pytest.mark.parametrize("variable", [0, 1], ids=["picture", "kernel"])
def test_a_gradient_s_gradient_is_that_of_xla(variable):
    arguments = drawn(1, (2, 5, 4, 3), (3, 3, 3, 2))

    def gradients(convolve):
        def steepness(*arguments):
            slope = jax.grad(lambda *arguments: jnp.sum(jnp.tanh(convolve(*arguments))), variable)(*arguments)
            return jnp.sum(slope**2)

        return jax.jit(jax.grad(steepness, (0, 1)))(*arguments)

    for ours, theirs in zip(gradients(convolution), gradients(native), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize("precision", Precision)
def test_the_module_is_flax_s(precision):
    from flax import linen as nn

    (x,) = drawn(2, (2, 6, 6, 3))
    ours, flax_s = convolution_3x3(4, precision), nn.Conv(4, (3, 3), dtype=precision.dtype)
    variables = flax_s.init(jax.random.key(0), x)
    assert ours.apply(variables, x).dtype == flax_s.apply(variables, x).dtype
    np.testing.assert_array_equal(ours.apply(variables, x), flax_s.apply(variables, x))
    assert shapes_and_loops(lambda key: ours.init(key, x), jax.random.key(0))[1]
    assert not shapes_and_loops(lambda key: flax_s.init(key, x), jax.random.key(0))[1] or jax.default_backend() != "cpu"


@settings(max_examples=4, deadline=None)
@given(st.sampled_from([(1, 1), (2, 1), (2, 3), (3, 2)]), st.integers(1, 3))
def test_groups_between_zeros_are_a_grouped_convolution(features, groups):
    own, out = features
    x, kernel, slope = drawn(2, (2, 4, 3, own * groups), (3, 3, own, out * groups), (2, 4, 3, out * groups))
    forms = (functools.partial(form, groups=groups) for form in (_between_zeros, _convolved))
    ours, theirs = (jax.vjp(form, x, kernel) for form in forms)
    for one, other in zip((ours[0], *ours[1](slope)), (theirs[0], *theirs[1](slope)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
