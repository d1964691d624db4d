"""Bounds on a picture's log-likelihood from any number of posterior samples, in the memory of a few."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

MOST_ROWS = 1024  # pictures that are decoded together, all their samples counted
_AT_ONCE = 16  # samples of a picture, at most
MOST_SAMPLES = 2**30  # of a picture in all: their numbers are of 32 bits


class Drawn(NamedTuple):
    """K posterior samples of each of B pictures, in nats; layers as `latents.Inferred` has them."""

    log_likelihood: jax.Array  # [K, B]: log p(picture | latents)
    log_q: jax.Array  # [L, K, B]
    log_p: jax.Array  # [L, K, B]
    kl: jax.Array  # [L, K, B]
    means: jax.Array  # [K, B, Z]

    @property
    def log_weights(self) -> jax.Array:
        """[K, B] nats: log p(picture, latents) - log q(latents | picture)."""
        return self.log_likelihood + jnp.sum(self.log_p - self.log_q, axis=0)


class Bounds(NamedTuple):
    """What all samples say together, in nats."""

    importance: jax.Array  # [B]: the importance-weighted bound (arXiv 1509.00519, eq. 8)
    elbo: jax.Array  # [B]: the evidence lower bound, the mean log weight
    log_likelihood: jax.Array  # [B]: the mean of log p(picture | latents); minus it is the distortion
    kl: jax.Array  # [L, B]: the mean of log q - log p of each layer; their sum is the rate
    means: jax.Array  # [B, Z]: the posteriors' means


def bounds_of(draw: Callable[[jax.Array], Drawn], samples: int, rows: int) -> Bounds:
    """The bounds from `samples` samples of `rows` pictures; `draw` makes those of the numbers [K] that it is given.

    A few at a time in a loop that carries sums and the logarithm of the weights' sum.
    """
    at_once = max(1, min(samples, _AT_ONCE, MOST_ROWS // max(rows, 1)))
    shapes = jax.eval_shape(draw, jnp.arange(at_once))
    nothing = jax.tree.map(lambda s: jnp.zeros((s.shape[0], *s.shape[2:]), s.dtype), (shapes.kl, shapes.log_q))
    sums = jnp.full(rows, -jnp.inf), jnp.zeros(rows), nothing[0], jnp.zeros(shapes.means.shape[1:])

    def add(carry: tuple[jax.Array, ...], _: None) -> tuple[tuple[jax.Array, ...], None]:
        numbers, total, log_likelihood, kl, means = carry
        drawn, own = draw(numbers), (numbers < samples)[:, None]  # the last ones fill the loop's last turn
        more = jax.nn.logsumexp(jnp.where(own, drawn.log_weights, -jnp.inf), axis=0)
        each = jnp.where(own, drawn.log_q - drawn.log_p, 0.0).sum(axis=1)
        return (
            numbers + at_once,
            jnp.logaddexp(total, more),
            log_likelihood + jnp.where(own, drawn.log_likelihood, 0.0).sum(axis=0),
            kl + each,
            means + jnp.where(own[..., None], drawn.means, 0.0).sum(axis=0),
        ), None

    first = (jnp.arange(at_once), *sums)
    (_, total, *sums), _ = jax.lax.scan(add, first, length=-(-samples // at_once))
    log_likelihood, kl, means = (each / samples for each in sums)
    return Bounds(total - math.log(samples), log_likelihood - kl.sum(axis=0), log_likelihood, kl, means)
