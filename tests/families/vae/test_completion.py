"""Pictures known in part are completed by the conditional distribution; known pixels stay, and all else may differ."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.core.task import Completing
from jaxgen.errors import UserError
from jaxgen.families.vae.completion import completed
from jaxgen.ops.levels import to_unit
from tests.families.cases import batch_of, lively, task_of
from tests.families.vae.test_latents import KEY, NOISE, linear, moments
from tests.given import values_of


@pytest.mark.parametrize("layers", [1, 2])
def test_a_linear_gaussian_picture_is_completed_by_its_conditional_distribution(layers):
    """The first of three pixels is known; mean and covariance of the others' means are the closed form."""
    task, variables, _ = linear(layers, 0.0)
    count, off, (mean, covariance) = 8000, 0.9, moments(layers)
    row = jnp.arange(count)
    levels = 127.5 * jnp.float32(mean + np.array([1 + off, 1, 1]))
    picture = jnp.broadcast_to(levels, (count, 3)).reshape(count, 1, 3, 1)
    known = jnp.broadcast_to(jnp.array([True, False, False]), (count, 1, 3))

    def reconstruct(x, key):
        return task._posterior(variables.params, {"row": row, "made": {"value": x}}, key).likelihood

    levels = jax.jit(lambda: completed(reconstruct, jnp.zeros_like(picture), picture, known, 256, KEY, row))()
    found = np.asarray(to_unit(levels, 256)).reshape(count, 3)
    np.testing.assert_allclose(found[:, 0], mean[0] + off, atol=1e-5)
    gain = covariance[1:, 0] / covariance[0, 0]
    exact = covariance[1:, 1:] - np.outer(gain, covariance[0, 1:]) - NOISE**2 * np.eye(2)
    spread = np.sqrt(np.diag(exact) / count)
    assert (np.abs(found[:, 1:].mean(axis=0) - mean[1:] - gain * off) < 5 * spread + 1e-3).all()
    np.testing.assert_allclose(np.cov(found[:, 1:].T), exact, atol=0.08 * exact.max())


@pytest.mark.parametrize("case", ["gan", "vae"])
def test_known_pixels_stay_and_outputs_of_one_picture_differ(case):
    task, batch = task_of(case), batch_of(case, 1)
    assert isinstance(task, Completing)
    four = jax.tree.map(lambda array: np.repeat(array, 4, axis=0), dict(batch)) | {"row": np.arange(4)}
    known = np.zeros((4, 8, 8), bool)
    known[:, :4] = True
    complete = jax.jit(task.complete)
    whole = np.asarray(values_of(complete(lively(case), four, KEY)))
    holes = four | {"made": four["made"] | {"known": known}}
    found = np.asarray(values_of(complete(lively(case), holes, KEY)))
    np.testing.assert_array_equal(found[known], values_of(four)[known])
    assert len(np.unique(found[:, 4:], axis=0)) > 1 and found.dtype == np.uint8
    assert len(np.unique(whole, axis=0)) > 1
    with pytest.raises(UserError, match="never trained to draw without class; give one"):
        task.complete(lively(case), {name: four[name] for name in ("row", "made")}, KEY)
