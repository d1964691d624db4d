"""The MLP is two matrices around a GELU, the same for every position."""
# SPDX-License-Identifier: Apache-2.0

import jax
import numpy as np
from scipy.special import erf

from jaxgen.nn.mlp import MLP


def test_it_is_two_matrices_around_a_gelu():
    x = jax.random.normal(jax.random.key(0), (2, 3, 4))
    variables = MLP(7).init(jax.random.key(1), x)
    first, second = (variables["params"][name] for name in ("in", "out"))
    hidden = np.asarray(x @ first["kernel"] + first["bias"], np.float64)
    hidden = hidden * (1 + erf(hidden / np.sqrt(2))) / 2
    expected = hidden @ second["kernel"] + second["bias"]
    assert hidden.shape[-1] == 7
    np.testing.assert_allclose(MLP(7).apply(variables, x), expected, atol=2e-3)  # flax's GELU is the tanh of it
