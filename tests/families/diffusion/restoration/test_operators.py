"""Degradations against their dense matrices: adjoint, pseudo-inverse, singular values, products of several."""
# SPDX-License-Identifier: Apache-2.0

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from jaxgen.errors import UserError
from jaxgen.families.diffusion.restoration.blur import (
    CircularBlur,
    MirrorBlur,
    blur,
    gaussian_kernel,
    motion_kernel,
)
from jaxgen.families.diffusion.restoration.operators import (
    Chain,
    Downsample,
    Grey,
    Identity,
    Mask,
    Spectral,
    SpectralChain,
    chain,
    of_squares,
    old_photo,
    pseudo_inverse,
    resolvent,
)

SHAPE = (4, 6, 3)
KNOWN = jnp.asarray(np.random.default_rng(0).random((4, 6, 1)) < 0.6, jnp.float32)
SLANTED = motion_kernel(3, 30.0)
SPECTRAL = {
    "identity": Identity(),
    "grey": Grey(),
    "down-sampled": Downsample(2),
    "mask": Mask(KNOWN),
    "mask a channel": Mask(jnp.asarray(np.random.default_rng(1).random(SHAPE) < 0.5, jnp.float32)),
    "Gaussian blur": blur(gaussian_kernel(0.8)),
    "wide blur, gains that vanish": blur(gaussian_kernel(2.5)),
    "motion blur, slanted": blur(SLANTED),
    "old photo": old_photo(KNOWN[:2, :3], 2),
    "grey, then blur": chain(Grey(), blur(gaussian_kernel(0.7))),
}
LINEAR = SPECTRAL | {"blur, then small": chain(blur(gaussian_kernel(0.8)), Downsample(2))}


@functools.cache
def measured_shape(name):
    return LINEAR[name].forward(jnp.zeros((1, *SHAPE))).shape[1:]


@functools.cache
def dense(name, shape=SHAPE):
    """The matrix [measurements, pixels] of an operator."""
    units = jnp.eye(int(np.prod(shape))).reshape(-1, *shape)
    return np.asarray(LINEAR[name].forward(units), np.float64).reshape(len(units), -1).T


def flat(x):
    return np.asarray(x, np.float64).reshape(len(x), -1)


def pictures(seed, shape, count=2):
    return jnp.asarray(np.random.default_rng(seed).standard_normal((count, *shape)), jnp.float32)


@pytest.mark.parametrize("name", LINEAR)
@settings(max_examples=5)
@given(seed=st.integers(0, 2**31))
def test_the_adjoint_is_the_adjoint(name, seed):
    x, y = pictures(seed, SHAPE), pictures(seed + 1, measured_shape(name))
    left = (flat(LINEAR[name].forward(x)) * flat(y)).sum(axis=1)
    right = (flat(x) * flat(LINEAR[name].adjoint(y))).sum(axis=1)
    np.testing.assert_allclose(left, right, atol=2e-5)


@pytest.mark.parametrize("name", SPECTRAL)
def test_the_pseudo_inverse_is_moore_and_penroses(name):
    a = dense(name)
    inverse = np.linalg.pinv(a, rcond=1e-3)  # gains below 2e-3 are none
    units = jnp.eye(len(a)).reshape(-1, *measured_shape(name))
    ours = flat(pseudo_inverse(SPECTRAL[name], units)).T
    scale = np.abs(inverse).max()
    np.testing.assert_allclose(ours, inverse, atol=1e-4 * scale)
    np.testing.assert_allclose(a @ ours @ a, a, atol=1e-4)
    np.testing.assert_allclose(ours @ a @ ours, ours, atol=1e-3 * scale)
    np.testing.assert_allclose(a @ ours, (a @ ours).T, atol=1e-3)
    np.testing.assert_allclose(ours @ a, (ours @ a).T, atol=1e-3)


@pytest.mark.parametrize("name", SPECTRAL)
def test_functions_of_the_singular_values_are_those_of_the_matrices(name):
    a, operator = dense(name), SPECTRAL[name]
    assert isinstance(operator, Spectral)
    x, y = pictures(1, SHAPE), pictures(2, measured_shape(name))
    wanted = np.linalg.solve(a @ a.T + 0.3 * np.eye(len(a)), flat(y).T).T
    np.testing.assert_allclose(flat(operator.gram(resolvent(0.3), y)), wanted, atol=1e-4)
    np.testing.assert_allclose(flat(operator.gram(lambda squares: squares, y)), flat(y) @ a @ a.T, atol=1e-4)
    wanted = np.linalg.solve(a.T @ a + 0.3 * np.eye(a.shape[1]), flat(x).T).T
    np.testing.assert_allclose(flat(of_squares(operator, resolvent(0.3), x)), wanted, atol=1e-4)


def test_a_chain_is_the_product_of_its_matrices():
    small, grey, kept = Downsample(2), Grey(), Mask(KNOWN[:2, :3])
    product = np.eye(int(np.prod(SHAPE)))
    shape = SHAPE
    for part in (small, grey, kept):
        units = jnp.eye(int(np.prod(shape))).reshape(-1, *shape)
        out = part.forward(units)
        product, shape = flat(out).T @ product, out.shape[1:]
    np.testing.assert_allclose(dense("old photo"), product, atol=1e-6)
    assert type(LINEAR["old photo"]) is SpectralChain
    assert type(LINEAR["blur, then small"]) is Chain and not isinstance(LINEAR["blur, then small"], Spectral)


@pytest.mark.parametrize(
    ("operator", "kernel", "mode"),
    [(MirrorBlur, gaussian_kernel(1.0), "reflect"), (CircularBlur, motion_kernel(5, 30.0), "wrap")],
)
def test_blur_is_the_convolution_with_its_border(operator, kernel, mode):
    x = pictures(3, (9, 12, 2))
    made = blur(kernel)
    assert type(made) is operator
    wanted = ndimage.convolve(np.asarray(x), kernel[None, :, :, None], mode=mode)
    np.testing.assert_allclose(made.forward(x), wanted, atol=5e-3)  # gains below 2e-3 are none
    strong = operator(jnp.asarray(_with_identity(kernel)))
    wanted = ndimage.convolve(np.asarray(x), np.asarray(strong.kernel)[None, :, :, None], mode=mode)
    np.testing.assert_allclose(strong.forward(x), wanted, atol=1e-5)  # no gain is small: exact


def _with_identity(kernel):
    """Mostly the picture itself, so that no frequency is lost."""
    identity = np.zeros_like(kernel)
    identity[kernel.shape[0] // 2, kernel.shape[1] // 2] = 1
    return (0.7 * identity + 0.3 * kernel).astype(np.float32)


@pytest.mark.parametrize("degrees", [0.0, 30.0, 90.0])
def test_a_motion_kernel_is_a_centred_line_of_its_length_and_angle(degrees):
    kernel = motion_kernel(9, degrees)
    rows, columns = np.indices(kernel.shape) - 4.0
    np.testing.assert_allclose([kernel.sum(), (kernel * rows).sum(), (kernel * columns).sum()], [1, 0, 0], atol=1e-5)
    along = columns * np.cos(np.deg2rad(degrees)) - rows * np.sin(np.deg2rad(degrees))
    across = columns * np.sin(np.deg2rad(degrees)) + rows * np.cos(np.deg2rad(degrees))
    assert abs((kernel * along**2).sum() - 8**2 / 12) < 0.5 and (kernel * across**2).sum() < 0.25


def test_operators_are_arguments_of_programs():
    y = jax.jit(lambda operator, x: operator.forward(x))(SPECTRAL["old photo"], pictures(4, SHAPE))
    np.testing.assert_allclose(y, SPECTRAL["old photo"].forward(pictures(4, SHAPE)), atol=1e-6)


def test_what_does_not_fit_is_said():
    with pytest.raises(UserError, match="multiples of 4"):
        Downsample(4).forward(jnp.zeros((1, 6, 8, 3)))
    with pytest.raises(UserError, match="odd sides"):
        blur(np.ones((2, 3)) / 6)
    with pytest.raises(UserError, match="exceeds"):
        blur(motion_kernel(9, 30.0)).forward(jnp.zeros((1, 6, 8, 3)))
