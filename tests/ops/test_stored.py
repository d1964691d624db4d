"""What is stored is what it was, and so is its gradient of either order."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ops.stored import stored


@pytest.mark.parametrize("known", [0.0, -1.0, jnp.nan, jnp.inf])
@pytest.mark.parametrize("transformed", [jax.jit, jax.vmap, jax.checkpoint])
def test_values_and_gradients_of_both_orders_are_unchanged(known, transformed):
    x, known = jnp.linspace(-2.0, 2.0, 12).reshape(3, 4), jnp.full((2,), known)

    def steepness(through):
        def energy(x):
            return jnp.sum(jnp.sin(transformed(lambda x: through(x) ** 2)(x)))

        return jax.grad(lambda x: jnp.sum(jax.grad(energy)(x) ** 2))

    np.testing.assert_array_equal(jax.jit(lambda x: stored(x, known))(x), x)
    np.testing.assert_allclose(jax.jit(steepness(lambda x: stored(x, known)))(x), steepness(jnp.asarray)(x), rtol=1e-5)


def test_nothing_flows_into_what_is_known():
    known = jnp.ones(2)
    np.testing.assert_array_equal(jax.grad(lambda known: jnp.sum(stored(known * 0 + 3.0, known)))(known), [0.0, 0.0])
    np.testing.assert_array_equal(jax.grad(lambda known: jnp.sum(stored(jnp.ones(4), known)))(known), [0.0, 0.0])
