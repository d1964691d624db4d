"""The training steps of Flax's own Transformers, lm1b and wmt, from a checkout's models.py, on batches like ours."""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from peers import LM1B, WMT, Sizes, module_of
from training import devices_told, most_devices

from jaxgen.timing.contest import Compiling, Contestant, Work

Rows = tuple[np.ndarray, ...]  # arrays [N, ...]: tokens, 0 where a row is padded


def lm1b(folder: Path, rows: np.ndarray, vocabulary: int, sizes: Sizes, steps: int, dtype: str) -> list[Contestant]:
    """Over rows [N, T] of a text."""
    models = module_of(folder / LM1B)
    network = models.TransformerLM(_config(models, vocabulary, sizes, dtype))
    return _contestants("lm1b", network, (rows + 1,), sizes, steps, dtype)


def wmt(
    folder: Path, pairs: tuple[np.ndarray, np.ndarray], vocabulary: int, sizes: Sizes, steps: int, dtype: str
) -> list[Contestant]:
    """Over padded sources [N, S] and targets [N, T], -1 where there is none."""
    models = module_of(folder / WMT)
    network = models.Transformer(_config(models, vocabulary, sizes, dtype))
    return _contestants("wmt", network, tuple(side + 1 for side in pairs), sizes, steps, dtype)


def _contestants(name: str, network: nn.Module, rows: Rows, sizes: Sizes, steps: int, dtype: str) -> list[Contestant]:
    """On one device, and on as many as the batch divides by: a step a call, as its train.py takes them."""
    counts = dict.fromkeys((1, most_devices(sizes.batch)))
    prepared = functools.partial(_prepared, network, rows, sizes, steps)
    return [
        Contestant(
            f"Flax's {name}, flax {flax.__version__}, {devices_told(count)}, single steps",
            functools.partial(prepared, count),
            dtype,
        )
        for count in counts
    ]


def _prepared(network: nn.Module, rows: Rows, sizes: Sizes, steps: int, count: int, compiling: Compiling) -> Work:
    mesh = Mesh(np.array(jax.devices()[:count]), ("data",), axis_types=(AxisType.Auto,))
    whole, cut = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("data",)))
    optimiser = optax.adamw(sizes.rate, b2=sizes.b2, weight_decay=sizes.decay)
    variables = network.init(jax.random.key(0), *(jnp.asarray(side[:1], jnp.int32) for side in rows))
    params = jax.device_put(flax.core.meta.unbox(variables["params"]), whole)
    state = params, jax.device_put(optimiser.init(params), whole)
    batch = _batches(rows, sizes.batch, cut)
    with compiling():
        step = functools.partial(_step, network, optimiser)
        program = jax.jit(step, donate_argnums=(0, 1)).lower(*state, batch()).compile()

    def block() -> Any:
        nonlocal state
        for _ in range(steps):
            *state, loss = program(*state, batch())
        return state, loss

    return Work(block, steps, None)


def _batches(rows: Rows, size: int, cut: NamedSharding) -> Callable[[], tuple[jax.Array, ...]]:
    """A function that gives the next batch, rows drawn at random."""
    draws = np.random.default_rng(0)

    def batch() -> tuple[jax.Array, ...]:
        picked = draws.integers(len(rows[0]), size=size)
        return tuple(jax.device_put(side[picked].astype(np.int32), cut) for side in rows)

    return batch


def _step(network: nn.Module, optimiser: Any, params: Any, moments: Any, batch: tuple[jax.Array, ...]) -> tuple:
    loss, gradient = jax.value_and_grad(functools.partial(_loss, network))(params, batch)
    updates, moments = optimiser.update(gradient, moments, params)
    return optax.apply_updates(params, updates), moments, loss


def _config(models: Any, vocabulary: int, sizes: Sizes, dtype: str) -> Any:
    """Its own settings but for the sizes, and no dropout."""
    return models.TransformerConfig(
        vocab_size=vocabulary + 1,
        output_vocab_size=vocabulary + 1,
        emb_dim=sizes.width,
        num_heads=sizes.heads,
        num_layers=sizes.blocks,
        qkv_dim=sizes.width,
        mlp_dim=sizes.hidden,
        max_len=sizes.length,
        dropout_rate=0.0,
        attention_dropout_rate=0.0,
        dtype=jnp.dtype(dtype),
    )


def _loss(network: nn.Module, params: Any, batch: tuple[jax.Array, ...]) -> jax.Array:
    """Its train.py's: the mean over the tokens that are no padding; the network shifts its inputs itself."""
    targets = batch[-1]
    logits, weight = network.apply({"params": params}, *batch), targets > 0
    nats = optax.softmax_cross_entropy_with_integer_labels(logits.astype(jnp.float32), targets)
    return jnp.sum(nats * weight) / weight.sum()
