"""A codebook learned as averages of what is replaced by its codes, and the gradient past that replacement.

An encoder's vector z is replaced by the nearest of K code vectors (arXiv 1711.00937):

    k(z) = argmin_k |z - e_k|²                                                                                       (1)
    q(z) = z + sg(e_k(z) - z)        the straight-through estimator: what follows sees e_k, z gets its gradient      (2)
    N_k <- γ N_k + (1 - γ) n_k,   m_k <- γ m_k + (1 - γ) Σ z,   e_k = m_k / N_k       (appendix A.1)                 (3)

with sg for what no gradient flows into, and n_k and the sum over the vectors of the batch whose code is k. With γ = 0
eq. 3 is a step of k-means. A code that is used far less than the others is put where a vector of the batch lies.

Finite scalar quantisation (arXiv 2309.15505) needs none of this state; its authors report competitive results, and
gains from large codebooks. A prior that is learned on a CPU wants a small one, which here lies where the data do and
tells how often each code is used. Chosen by reading; the two were not compared here.
"""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Int

from jaxgen.errors import UserError
from jaxgen.ops.rows import integers
from jaxgen.types import Key

_LEAST = 1e-8  # of N_k, by which m_k may still be divided
_RAREST = 1e-3  # of an even share: what a code that was never seen counts as among the frequencies


@struct.dataclass
class Codes:
    """The code vectors and what they are averages of: shared state, the same on every device."""

    vectors: Float[Array, "K D"]  # e_k
    counts: Float[Array, " K"]  # N_k, vectors a step
    sums: Float[Array, "K D"]  # m_k

    @property
    def share(self) -> jax.Array:
        """The vectors a step that each code would have if all had as many."""
        return jnp.mean(self.counts)

    @property
    def log_frequencies(self) -> Float[Array, " K"]:
        """Nats: how likely each code is, whatever stands beside it; all alike before the first step."""
        floor = jnp.maximum(_RAREST * self.share, _LEAST)
        return jax.nn.log_softmax(jnp.log(self.counts + floor))


@struct.dataclass
class Assigned:
    """What the vectors of a batch say of the codes, to be summed over the devices."""

    counts: Float[Array, " K"]  # n_k
    sums: Float[Array, "K D"]  # of the vectors whose code is k
    offers: Float[Array, " K"]  # vectors that stand ready for code k, whatever their own is
    offered: Float[Array, "K D"]  # their sum


@dataclass(frozen=True)
class Codebook:
    """K = `codes` vectors of D = `size` numbers.

    `decay` is γ of eq. 3. A code with less than `restart` of an even share moves to a vector of the batch; 0: never.
    """

    codes: int = 512
    size: int = 16
    decay: float = 0.99
    restart: float = 0.03

    def __post_init__(self):
        if self.codes < 2 or self.size < 1:
            raise UserError(f"codebook.codes is {self.codes} and codebook.size {self.size}; give at least 2, and 1")
        if not (0 <= self.decay < 1 and 0 <= self.restart < 1):
            raise UserError(
                f"codebook.decay is {self.decay} and codebook.restart {self.restart}; give each from 0 up to, not "
                "including, 1"
            )

    def init(self, key: Key) -> Codes:
        vectors = jax.random.normal(key, (self.codes, self.size), jnp.float32)
        return Codes(vectors, jnp.zeros(self.codes, jnp.float32), jnp.zeros_like(vectors))

    def assigned(
        self,
        z: Float[Array, "B h w D"],
        codes: Int[Array, "B h w"],
        weight: Float[Array, "B"],
        key: Key,
        row: jax.Array,
    ) -> Assigned:
        """Of the rows by their `weight`. Each row offers one of its vectors to one code, both drawn by its number."""
        count = z.shape[1] * z.shape[2]
        z = z.reshape(len(z), count, self.size)
        own = jax.nn.one_hot(codes.reshape(len(z), count), self.codes) * weight[:, None, None]  # [B, N, K]
        place_key, code_key = jax.random.split(key)
        place, code = integers(place_key, row, (), count), integers(code_key, row, (), self.codes)
        offer = jax.nn.one_hot(code, self.codes) * weight[:, None]  # [B, K]
        exact = jax.lax.Precision.HIGHEST
        return Assigned(
            own.sum(axis=(0, 1)),
            jnp.einsum("bnk,bnd->kd", own, z, precision=exact),
            offer.sum(axis=0),
            jnp.einsum("bk,bd->kd", offer, z[jnp.arange(len(z)), place], precision=exact),
        )

    def absorb(self, codes: Codes, seen: Assigned) -> Codes:
        """Eq. 3, and the codes that are hardly used put where one was offered."""
        counts = self.decay * codes.counts + (1 - self.decay) * seen.counts
        sums = self.decay * codes.sums + (1 - self.decay) * seen.sums
        known = counts > _LEAST
        means = sums / jnp.where(known, counts, 1.0)[:, None]
        moved = Codes(jnp.where(known[:, None], means, codes.vectors), counts, sums)
        idle = (counts < self.restart * moved.share) & (seen.offers > 0)
        offered = seen.offered / jnp.where(idle, seen.offers, 1.0)[:, None]
        return Codes(
            jnp.where(idle[:, None], offered, moved.vectors),
            jnp.where(idle, moved.share, counts),
            jnp.where(idle[:, None], moved.share * offered, sums),
        )


def nearest(z: Float[Array, "B h w D"], vectors: Float[Array, "K D"]) -> Int[Array, "B h w"]:
    """Eq. 1; of equally near ones the first."""
    exact = jax.lax.Precision.HIGHEST  # rounded products would choose another one of two near codes
    products = jnp.einsum("bhwd,kd->bhwk", z, vectors, precision=exact)
    return jnp.argmax(products - jnp.sum(vectors**2, axis=-1) / 2, axis=-1).astype(jnp.int32)


def straight_through(z: jax.Array, code: jax.Array) -> jax.Array:
    """Eq. 2."""
    return z + jax.lax.stop_gradient(code - z)


def perplexity(frequencies: Float[Array, " K"]) -> jax.Array:
    """The exponential of the entropy of `frequencies`, which sum to 1: how many codes used evenly would be as many."""
    return jnp.exp(-jnp.sum(jax.scipy.special.xlogy(frequencies, frequencies)))
