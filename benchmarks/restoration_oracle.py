"""The bias of each restoration solver where the posterior is known: a Gaussian prior, a linear degradation, noise.

    python benchmarks/restoration_oracle.py [--draws 4000] [--steps 25 100 400]

The prior is N(m, C) over pictures of 4 x 4 pixels and 2 channels, its denoiser exact. One measurement y is restored
`draws` times by each solver. Columns: the distance of the draws' mean from the posterior's, in units of the posterior's
total standard deviation; the relative error of their covariance (Frobenius norm); their total variance over the
posterior's. The first row, as many draws from the posterior itself, is what chance alone gives.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.environment import set_up_jax
from jaxgen.families.diffusion.restoration import guided, projected
from jaxgen.families.diffusion.restoration.blur import blur, gaussian_kernel
from jaxgen.families.diffusion.restoration.operators import (
    Downsample,
    Identity,
    Linear,
    Mask,
    Spectral,
    old_photo,
    spectral,
)
from jaxgen.families.diffusion.restoration.steps import Measured, Start
from jaxgen.ops.noise import schedule
from jaxgen.ops.rows import normal

SHAPE = (4, 4, 2)
SMALLEST, LARGEST = 0.01, 20.0
WEIGHTS = (0.5, 0.5)  # of the two channels in "grey"
KEY = jax.random.key(11)


@dataclass(frozen=True)
class Gaussian:
    """N(mean [D], covariance [D, D]) over pictures of SHAPE, D their elements, in float64."""

    mean: np.ndarray
    covariance: np.ndarray

    def denoise(self, x: jax.Array, σ: jax.Array) -> jax.Array:
        """E[x_0 | x_0 + σ ε = x], exactly: each eigenvector's part shrinks by λ/(λ + σ²)."""
        values, vectors = (jnp.asarray(part, jnp.float32) for part in np.linalg.eigh(self.covariance))
        kept = values / (values + σ[:, None] ** 2)  # [B, D]
        flat = x.reshape(len(x), -1) - jnp.asarray(self.mean, jnp.float32)
        return (jnp.asarray(self.mean, jnp.float32) + (kept * (flat @ vectors)) @ vectors.T).reshape(x.shape)

    def posterior(self, operator: Linear, y: np.ndarray, sigma_y: float) -> "Gaussian":
        """N of x_0 given y = A x_0 + σ_y n, by A's dense matrix; `y` [1, ...]."""
        a = dense(operator)
        seen = a @ self.covariance @ a.T + sigma_y**2 * np.eye(len(a))
        gain = self.covariance @ a.T @ np.linalg.pinv(seen, rcond=1e-9, hermitian=True)
        return Gaussian(self.mean + gain @ (y.ravel() - a @ self.mean), self.covariance - gain @ a @ self.covariance)

    def draw(self, count: int, seed: int) -> np.ndarray:
        """[count, *SHAPE]."""
        drawn = np.random.default_rng(seed).multivariate_normal(self.mean, self.covariance, count, method="eigh")
        return drawn.reshape(-1, *SHAPE)


def dense(operator: Linear) -> np.ndarray:
    """The matrix [measurements, D] in float64."""
    size = int(np.prod(SHAPE))
    return np.asarray(operator.forward(jnp.eye(size).reshape(-1, *SHAPE)), np.float64).reshape(size, -1).T


def smooth_prior() -> Gaussian:
    """Near pixels are alike (a squared-exponential kernel, 1.5 pixels wide), and so are the channels."""
    places = np.stack(np.meshgrid(np.arange(4), np.arange(4), indexing="ij"), -1).reshape(-1, 2)
    apart = ((places[:, None] - places[None]) ** 2).sum(-1)
    pixels = np.exp(-apart / (2 * 1.5**2)) + 0.05 * np.eye(16)
    channels = np.array([[1, 0.6], [0.6, 1.2]])
    mean = np.linspace(-0.3, 0.3, int(np.prod(SHAPE)))
    return Gaussian(mean, 0.25 * np.kron(pixels, channels))


def white_prior(variance: float = 0.3) -> Gaussian:
    """Every element by itself, all of one variance."""
    size = int(np.prod(SHAPE))
    return Gaussian(np.linspace(-0.3, 0.3, size), variance * np.eye(size))


@dataclass(frozen=True)
class Problem:
    """A degradation and the deviation of its noise."""

    name: str
    operator: Spectral
    sigma_y: float

    def measured(self, prior: Gaussian) -> np.ndarray:
        """[1, ...]: one y, of a picture drawn from the prior; unknown pixels of a mask are 0."""
        clean = self.operator.forward(jnp.asarray(prior.draw(1, 5), jnp.float32))
        noise = np.random.default_rng(6).standard_normal(clean.shape)
        known = spectral(self.operator).gram(lambda squares: 1.0 * (squares > 0), jnp.asarray(noise, jnp.float32))
        return np.asarray(clean + self.sigma_y * known, np.float64)


KNOWN = np.ones((4, 4, 1), np.float32)
KNOWN[1:3, 1:3] = 0
PROBLEMS = (
    Problem("denoise", Identity(), 0.3),
    Problem("inpaint, no noise", Mask(jnp.asarray(KNOWN)), 0.0),
    Problem("inpaint", Mask(jnp.asarray(KNOWN)), 0.1),
    Problem("small, no noise", Downsample(2), 0.0),
    Problem("small", Downsample(2), 0.1),
    Problem("blurred", blur(gaussian_kernel(0.8)), 0.1),
    Problem("old photo", old_photo(jnp.asarray([[[1.0], [1.0]], [[1.0], [0.0]]]), 2, WEIGHTS), 0.05),
)
Solver = Callable[..., jax.Array]
SOLVERS: dict[str, Solver] = {
    "DDRM": projected.ddrm,
    "DDNM+": projected.ddnm,
    "RePaint": projected.repaint,
    "DiffPIR": projected.diffpir,
    "DPS": guided.dps,
    "PiGDM": functools.partial(guided.pigdm, sigma_data=0.5),
    "PiGDM, Tweedie's covariance": guided.tweedie,
}


def restored(prior: Gaussian, problem: Problem, solver: Solver, sigmas: jax.Array, draws: int) -> np.ndarray:
    """[draws, *SHAPE] restorations of the problem's one y."""
    row = jnp.arange(draws)
    y = jnp.asarray(problem.measured(prior), jnp.float32)

    @jax.jit
    def run(y: jax.Array) -> jax.Array:
        x = sigmas[0] * normal(jax.random.fold_in(KEY, 1), row, SHAPE)
        tiled = jnp.broadcast_to(y, (draws, *y.shape[1:]))
        measured = Measured(prior.denoise, problem.operator, tiled, problem.sigma_y)
        return solver(measured, Start(x, sigmas, KEY, row))

    return np.asarray(run(y), np.float64)


def errors(draws: np.ndarray, truth: Gaussian) -> tuple[float, float, float]:
    """Of the draws' mean and covariance, and their total variance over the truth's: see the top of this file."""
    flat = draws.reshape(len(draws), -1)
    total = np.trace(truth.covariance)
    covariance = np.cov(flat.T)
    return (
        float(np.linalg.norm(flat.mean(axis=0) - truth.mean) / np.sqrt(total)),
        float(np.linalg.norm(covariance - truth.covariance) / np.linalg.norm(truth.covariance)),
        float(np.trace(covariance) / total),
    )


def fits(name: str, problem: Problem) -> bool:
    """RePaint is for masks, and pictures without loss are a mask too."""
    return name != "RePaint" or isinstance(problem.operator, Mask)


def table(draws: int, steps: Sequence[int]) -> None:
    """Prints a line a solver and problem, three figures for each number of steps."""
    prior = smooth_prior()
    print("| problem | solver | " + " | ".join(f"{count} steps: mean, covariance, variance" for count in steps) + " |")
    print("|---|---|" + "---|" * len(steps))
    for problem in PROBLEMS:
        truth = prior.posterior(problem.operator, problem.measured(prior), problem.sigma_y)
        chance = [said(errors(truth.draw(draws, 7), truth))] * len(steps)
        print(f"| {problem.name} | chance | " + " | ".join(chance) + " |")
        for name, solver in SOLVERS.items():
            if not fits(name, problem):
                continue
            cells = [
                said(errors(restored(prior, problem, solver, schedule(count, SMALLEST, LARGEST), draws), truth))
                for count in steps
            ]
            print(f"| {problem.name} | {name} | " + " | ".join(cells) + " |", flush=True)


def said(figures: tuple[float, float, float]) -> str:
    """Two decimals each."""
    return ", ".join(f"{figure:.2f}" for figure in figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--steps", type=int, nargs="+", default=[25, 100, 400])
    options = parser.parse_args()
    set_up_jax()
    table(options.draws, options.steps)
