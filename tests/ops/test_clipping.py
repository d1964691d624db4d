"""A bounded number is a clipped one, and whatever is asked of it, it comes back from beyond its bounds."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ops.clipping import bounded

X = jnp.array([-3.0, -1.0, -0.5, 0.0, 1.9, 2.0, 7.0])


@pytest.mark.parametrize("wanted", [1.0, -1.0])
def test_its_gradient_is_a_clip_s_inside_and_beyond_it_only_what_brings_back(wanted):
    """Descent adds to `x` where the sum should grow (-1) and takes from it where it should fall (1)."""
    value, gradient = jax.value_and_grad(lambda x: jnp.sum(wanted * bounded(x, -1.0, 2.0)))(X)
    np.testing.assert_allclose(value, wanted * np.clip(X, -1, 2).sum())
    back = {1.0: [0, 1, 1, 1, 1, 1, 1], -1.0: [-1, -1, -1, -1, -1, -1, 0]}[wanted]
    np.testing.assert_array_equal(gradient, back)


def test_descent_reaches_a_target_inside_from_far_beyond():
    x = jnp.array([-50.0, 50.0])
    for _ in range(300):
        x = x - 0.3 * jax.grad(lambda x: jnp.sum((bounded(x, 0.0, 1.0) - 0.4) ** 2))(x)
    np.testing.assert_allclose(x, 0.4, atol=1e-4)
