"""Restoration by gradients through the denoiser: DPS for any degradation, PiGDM for linear ones.

The terms are those of `projected.py`. Both add an estimate of the gradient of log p(y | x_σ) to the denoiser's:

    (1)  E[x_0 | x_σ, y] = D(x, σ) + σ² ∇ log p(y | x_σ = x)                  Tweedie's formula
    (2)  Cov[x_0 | x_σ]  = σ² J,  J = ∂D/∂x                                   Tweedie's formula, second order
    (3)  ∇ log p(y | x_σ) ≈ Jᵀ Aᵀ (A R Aᵀ + σ_y² I)⁻¹ (y - A D),  R ≈ Cov[x_0 | x_σ]

On a Gaussian prior (3) is an equality for R = σ² J.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgen.families.diffusion.restoration.operators import Degradation, Linear, Spectral, resolvent, spectral
from jaxgen.families.diffusion.restoration.steps import Measured, Start, at, walk
from jaxgen.ops.noise import bridge
from jaxgen.ops.rows import normal


def dps(measured: Measured[Degradation], start: Start, scale: float = 1.0) -> jax.Array:
    """DPS (arXiv 2209.14687, algorithm 1): after each ancestral step, down the gradient of |y - A(D(x))|.

    The paper's step ζ = scale / |y - A(D)| makes that of the norm itself; sigma_y therefore plays no part, and the
    size of the steps sums over them: the paper's scales, 0.3 to 1, are for 1,000 steps. Biased on a Gaussian prior.
    """
    denoise, operator, y, _ = measured

    def step(x: jax.Array, σ: jax.Array, σ_next: jax.Array, key: jax.Array) -> jax.Array:
        def misfit(x: jax.Array) -> tuple[jax.Array, jax.Array]:
            clean = denoise(x, at(σ, x))
            square = ((y - operator.forward(clean)) ** 2).reshape(len(x), -1).sum(axis=1)
            return jnp.sqrt(jnp.maximum(square, 1e-12)).sum(), clean  # rows do not meet: each its own gradient

        gradient, clean = jax.grad(misfit, has_aux=True)(x)
        mean, deviation = bridge(x, clean, σ, σ_next)
        # the paper's state is √ᾱ x with 1/ᾱ = 1 + σ²: the step and the gradient are in its units
        units = jnp.sqrt((1 + σ**2) * (1 + σ_next**2))
        return mean + deviation * normal(key, start.row, x.shape[1:]) - scale * units * gradient

    return walk(step, start)


def pigdm(measured: Measured[Spectral], start: Start, sigma_data: float = 1.0) -> jax.Array:
    """PiGDM (Song et al., ICLR 2023, OpenReview 9_gsMA8MRKQ): eq. 3 with R = r² I, r² = σ² σ_data² / (σ² + σ_data²).

    The paper has σ_data = 1 and scales the gradient by weights of its own; here its size is that of eq. 1 and the next
    state is drawn from the posterior around E[x_0 | x_σ, y]. Exact in the limit of many steps on a Gaussian prior whose
    pixels are independent, each of variance σ_data², for every A and σ_y; else R is wrong and the result is biased.
    """

    def solve(_: Callable[[jax.Array], jax.Array], σ: jax.Array, misfit: jax.Array) -> jax.Array:
        r2 = (σ * sigma_data) ** 2 / (σ**2 + sigma_data**2)
        return spectral(measured.operator).gram(resolvent(measured.sigma_y**2 / r2), misfit) / r2

    return _guided(solve, measured, start)


def tweedie(measured: Measured[Linear], start: Start, iterations: int = 8) -> jax.Array:
    """PiGDM with the covariance that the denoiser itself has, R = σ² J (arXiv 2310.06721), by conjugate gradients.

    Exact in the limit of many steps on every Gaussian prior, for every linear A (no singular vectors are needed) and
    σ_y, given as many `iterations` as A R Aᵀ + σ_y² I has distinct eigenvalues. An iteration costs one backward pass.
    """

    def solve(pull: Callable[[jax.Array], jax.Array], σ: jax.Array, misfit: jax.Array) -> jax.Array:
        def matrix(v: jax.Array) -> jax.Array:
            return σ**2 * measured.operator.forward(pull(v)) + measured.sigma_y**2 * v

        return conjugate_gradients(matrix, misfit, iterations)

    return _guided(solve, measured, start)


def _guided(
    solve: Callable[[Callable[[jax.Array], jax.Array], jax.Array, jax.Array], jax.Array],
    measured: Measured[Linear],
    start: Start,
) -> jax.Array:
    """Ancestral steps around eq. 1; `solve` takes v -> Jᵀ Aᵀ v, σ and y - A D, to (A R Aᵀ + σ_y² I)⁻¹ (y - A D)."""
    denoise, operator, y, _ = measured

    def step(x: jax.Array, σ: jax.Array, σ_next: jax.Array, key: jax.Array) -> jax.Array:
        clean, transposed = jax.vjp(lambda x: denoise(x, at(σ, x)), x)

        def pull(v: jax.Array) -> jax.Array:
            return transposed(operator.adjoint(v))[0]

        clean = clean + σ**2 * pull(solve(pull, σ, y - operator.forward(clean)))
        mean, deviation = bridge(x, clean, σ, σ_next)
        return mean + deviation * normal(key, start.row, x.shape[1:])

    return walk(step, start)


def conjugate_gradients(matrix: Callable[[jax.Array], jax.Array], b: jax.Array, iterations: int) -> jax.Array:
    """`iterations` steps from 0 towards the u with matrix(u) = b, for each row of b [B, ...] by itself.

    `matrix` is symmetric and not negative on every row; a row that is solved stays as it is.
    """

    def dot(a: jax.Array, b: jax.Array) -> jax.Array:
        return (a * b).sum(axis=tuple(range(1, a.ndim)), keepdims=True)

    def ratio(a: jax.Array, b: jax.Array) -> jax.Array:
        return jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)

    enough = 1e-10 * dot(b, b)  # float32's own error

    def one(_: int, state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        u, left, along, square = state
        image = matrix(along)
        step = jnp.where(square > enough, ratio(square, dot(along, image)), 0)
        u, left = u + step * along, left - step * image
        return u, left, left + ratio(dot(left, left), square) * along, dot(left, left)

    u, *_ = jax.lax.fori_loop(0, iterations, one, (jnp.zeros_like(b), b, b, dot(b, b)))
    return u
