"""Densities, draws and divergences: distributions over integer levels, and diagonal normal distributions."""
# SPDX-License-Identifier: Apache-2.0

from typing import NamedTuple

import jax
import jax.numpy as jnp

_SMALLEST_LOG_SCALE = -7.0  # a thousandth of a level: all mass on one level, and nothing overflows
_LARGEST_LOG_SCALE = 20.0
_HALF_LOG_TWO_PI = 0.9189385332046727
_OPEN = 1e-7  # keeps a uniform draw inside (0, 1), about float32's resolution near 1


class LogisticMixture(NamedTuple):
    """A mixture of K logistic distributions, rounded to the levels 0 .. levels-1 (arXiv 1701.05517, eq. 2).

    The first level takes all that lies below it, the last all above. Each array is [..., K]; `mean` and the scale are
    in levels. Log scales are held within [-7, 20].
    """

    logits: jax.Array
    mean: jax.Array
    log_scale: jax.Array

    def log_prob(self, level: jax.Array, levels: int) -> jax.Array:
        """[...] nats of integer `level` [...]: exact, and finite for all logits and means up to 1e30."""
        x, log_scale = level.astype(jnp.float32)[..., None], _held(self.log_scale)
        inverse = jnp.exp(-log_scale)
        upper = (x + 0.5 - self.mean) * inverse
        lower = (x - 0.5 - self.mean) * inverse
        # sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)): three factors, none a difference of nearly
        # equal numbers. An edge level lacks the factor of the side that is open, and the third is then 1.
        first, last = x == 0, x == levels - 1
        inside = jnp.where(first | last, 0.0, jnp.log(-jnp.expm1(-inverse)))
        below = jnp.where(last, 0.0, jax.nn.log_sigmoid(upper))
        above = jnp.where(first, 0.0, jax.nn.log_sigmoid(-lower))
        return jax.nn.logsumexp(jax.nn.log_softmax(self.logits) + below + above + inside, axis=-1)

    def levels_mean(self, levels: int) -> jax.Array:
        """[...] the exact mean level: the sum over k = 1 .. levels-1 of the probability of level k or more."""
        weight, inverse = jax.nn.softmax(self.logits), jnp.exp(-_held(self.log_scale))

        def add(k: int, total: jax.Array) -> jax.Array:
            return total + jnp.sum(weight * jax.nn.sigmoid((self.mean - (k - 0.5)) * inverse), axis=-1)

        return jax.lax.fori_loop(1, levels, add, jnp.zeros(self.mean.shape[:-1], self.mean.dtype))

    def draw(self, key: jax.Array, levels: int) -> jax.Array:
        """[...] float levels drawn from the mixture with one key, differentiable in `mean` and `log_scale`.

        The component drawn is a constant to the gradient, and rounding is passed straight through. Outside the levels
        the gradient is that of the clip, zero: there the sample does not change either.
        """
        choosing, placing = jax.random.split(key)
        component = jax.random.categorical(choosing, self.logits)[..., None]
        mean = jnp.take_along_axis(self.mean, component, axis=-1)[..., 0]
        scale = jnp.exp(jnp.take_along_axis(_held(self.log_scale), component, axis=-1)[..., 0])
        u = jax.random.uniform(placing, mean.shape, jnp.float32, _OPEN, 1.0 - _OPEN)
        x = mean + scale * (jnp.log(u) - jnp.log1p(-u))
        x = jnp.clip(x, -0.5, levels - 0.5)
        return x + jax.lax.stop_gradient(jnp.clip(jnp.round(x), 0, levels - 1) - x)


class Bernoulli(NamedTuple):
    """The levels 0 and 1 of pictures of two levels; `logits` [...] are of level 1."""

    logits: jax.Array

    def log_prob(self, level: jax.Array, levels: int) -> jax.Array:
        """[...] nats of `level` [...], 0 or 1."""
        return jax.nn.log_sigmoid(jnp.where(level > 0, self.logits, -self.logits))

    def levels_mean(self, levels: int) -> jax.Array:
        """[...] the probability of level 1."""
        return jax.nn.sigmoid(self.logits)

    def draw(self, key: jax.Array, levels: int) -> jax.Array:
        """[...] float levels drawn with one key; the gradient is that of a sigmoid of logits plus logistic noise.

        The straight-through Gumbel-softmax estimator at temperature 1 for two categories (arXiv 1611.01144, section
        2.2): biased, as each estimator through a discrete draw is.
        """
        u = jax.random.uniform(key, self.logits.shape, jnp.float32, _OPEN, 1.0 - _OPEN)
        relaxed = jax.nn.sigmoid(self.logits + jnp.log(u) - jnp.log1p(-u))
        return (relaxed > 0.5) + (relaxed - jax.lax.stop_gradient(relaxed))


class Categorical(NamedTuple):
    """Each level's own probability: `logits` [..., levels]."""

    logits: jax.Array

    def log_prob(self, level: jax.Array, levels: int) -> jax.Array:
        """[...] nats of integer `level` [...]."""
        chosen = jnp.take_along_axis(self.logits, level.astype(jnp.int32)[..., None], axis=-1)[..., 0]
        return chosen - jax.nn.logsumexp(self.logits, axis=-1)

    def levels_mean(self, levels: int) -> jax.Array:
        """[...] the mean level."""
        return jnp.sum(jax.nn.softmax(self.logits) * jnp.arange(levels), axis=-1)

    def draw(self, key: jax.Array, levels: int) -> jax.Array:
        """[...] float levels drawn with one key; the gradient is that of the mean level of a Gumbel-softmax.

        The straight-through estimator at temperature 1 (arXiv 1611.01144, section 2.2), biased.
        """
        noisy = self.logits + jax.random.gumbel(key, self.logits.shape, jnp.float32)
        relaxed = jnp.sum(jax.nn.softmax(noisy) * jnp.arange(levels), axis=-1)
        return jnp.argmax(noisy, axis=-1) + (relaxed - jax.lax.stop_gradient(relaxed))


PixelDistribution = LogisticMixture | Bernoulli | Categorical


def normal_log_density(x: jax.Array, mean: jax.Array, log_std: jax.Array) -> jax.Array:
    """[...] nats of x [..., Z] under a normal distribution with a diagonal covariance."""
    return -jnp.sum(0.5 * ((x - mean) * jnp.exp(-log_std)) ** 2 + log_std + _HALF_LOG_TWO_PI, axis=-1)


def normal_entropy(log_std: jax.Array) -> jax.Array:
    """[...] nats: the differential entropy of a diagonal normal distribution with `log_std` [..., Z]."""
    return jnp.sum(log_std + 0.5 + _HALF_LOG_TWO_PI, axis=-1)


def kl_to_standard_normal(mean: jax.Array, log_std: jax.Array) -> jax.Array:
    """[...] nats: KL(N(mean, std^2) || N(0, 1)) of [..., Z] (arXiv 1312.6114, appendix B)."""
    return 0.5 * jnp.sum(mean**2 + jnp.exp(2 * log_std) - 1.0 - 2 * log_std, axis=-1)


def normal_kl(mean: jax.Array, log_std: jax.Array, other_mean: jax.Array, other_log_std: jax.Array) -> jax.Array:
    """[...] nats: KL(N(mean, std^2) || N(other_mean, other_std^2)) of diagonal normal distributions [..., Z]."""
    ratio = jnp.exp(2 * (log_std - other_log_std)) + ((mean - other_mean) * jnp.exp(-other_log_std)) ** 2
    return jnp.sum(other_log_std - log_std + 0.5 * (ratio - 1.0), axis=-1)


def reparameterised(noise: jax.Array, mean: jax.Array, log_std: jax.Array) -> jax.Array:
    """Standard normal `noise` as a draw from N(mean, std^2), differentiable in both (arXiv 1312.6114, eq. 4)."""
    return mean + jnp.exp(log_std) * noise


def _held(log_scale: jax.Array) -> jax.Array:
    return jnp.clip(log_scale, _SMALLEST_LOG_SCALE, _LARGEST_LOG_SCALE)
