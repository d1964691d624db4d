"""The likelihood of tokens in a batch, and its figures in the unit that the tokens are told in."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jaxgen.core.mean import Mean
from jaxgen.types import Batch, Unit


def mean_over_tokens(nats: jax.Array, batch: Batch) -> Mean:
    """The mean over the tokens of `nats` [B, T] in the rows that weigh.

    Summed row by row: thousands of nearly equal terms in one sum all round the same way, and differently on each device
    count (law 2).
    """
    size, length = nats.shape
    weight = batch.get("weight", jnp.ones(size, jnp.float32))
    if "mask" not in batch["made"]:
        return Mean.of(nats.mean(axis=1), weight * length)
    counts = batch["made"]["mask"].sum(axis=1, dtype=jnp.float32)
    return Mean.of(masked(nats, batch).sum(axis=1) / jnp.maximum(counts, 1), weight * counts)


def masked(nats: jax.Array, batch: Batch) -> jax.Array:
    """`nats` [B, T] with nothing at the targets that do not count."""
    return jnp.where(batch["made"]["mask"], nats, 0.0) if "mask" in batch["made"] else nats


def at_first(nats: jax.Array, batch: Batch) -> jax.Array:
    """[B, T]: the nats [B] of whole texts at their first tokens, to be counted like those of single tokens."""
    return jnp.zeros(batch["made"]["mask"].shape, nats.dtype).at[:, 0].set(nats)


def likelihood_sums(log_prob: jax.Array, batch: Batch, unit: Unit | None) -> dict[str, Mean]:
    """What `likelihood_figures` needs of a batch's log-probabilities [B, T]."""
    sums = {"nats": mean_over_tokens(-log_prob, batch)}
    if unit is Unit.SUBWORD:
        sums["bytes"] = mean_over_tokens(batch["made"]["bytes"], batch)
    return sums


def likelihood_figures(sums: Mapping[str, Mean], unit: Unit | None) -> dict[str, float]:
    """Named figures; without a unit the tokens are a picture's levels."""
    nats = sums["nats"].value
    figures, bits = {"nats_per_token": nats}, nats / math.log(2)
    match unit:
        case None:
            return figures | {"bits_per_dim": bits}
        case Unit.CHARACTER:
            return figures | {"bits_per_character": bits, "perplexity": jnp.exp(nats)}
        case Unit.BYTE:
            return figures | {"bits_per_byte": bits}
        case Unit.WORD:  # with the ends of lines among the words, as the benchmarks count them
            return figures | {"perplexity_per_word": jnp.exp(nats)}
        case Unit.SUBWORD:
            return figures | {"bits_per_byte": bits / sums["bytes"].value, "perplexity": jnp.exp(nats)}
