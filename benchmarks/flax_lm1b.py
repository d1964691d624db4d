"""The training step of Flax's own language model example (lm1b), from a checkout's models.py, on batches like ours."""
# SPDX-License-Identifier: Apache-2.0

import functools
from pathlib import Path
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from peers import LM1B, Sizes, module_of
from training import devices_told, most_devices

from jaxgen.timing.contest import Compiling, Contestant, Work


def contestants(folder: Path, tokens: np.ndarray, vocabulary: int, sizes: Sizes, steps: int) -> list[Contestant]:
    """On one device, and on as many as the batch divides by: a step a call, as its train.py takes them."""
    models = module_of(folder / LM1B)
    counts = dict.fromkeys((1, most_devices(sizes.batch)))
    return [_contestant(models, tokens, vocabulary, sizes, steps, count) for count in counts]


def _contestant(models: Any, tokens: np.ndarray, vocabulary: int, sizes: Sizes, steps: int, count: int) -> Contestant:
    mesh = Mesh(np.array(jax.devices()[:count]), ("data",), axis_types=(AxisType.Auto,))
    whole, cut = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("data",)))
    network = models.TransformerLM(_config(models, vocabulary, sizes))
    optimiser = optax.adamw(sizes.rate, b2=sizes.b2, weight_decay=sizes.decay)
    draws = np.random.default_rng(0)

    def batch() -> jax.Array:
        starts = draws.integers(len(tokens) - sizes.length, size=sizes.batch)
        picked = np.stack([tokens[start : start + sizes.length] for start in starts])
        return jax.device_put(picked.astype(np.int32) + 1, cut)  # 0 is padding there

    def step(params: Any, moments: Any, inputs: jax.Array) -> tuple[Any, Any, jax.Array]:
        loss, gradient = jax.value_and_grad(functools.partial(_loss, network))(params, inputs)
        updates, moments = optimiser.update(gradient, moments, params)
        return optax.apply_updates(params, updates), moments, loss

    def prepare(compiling: Compiling) -> Work:
        variables = network.init(jax.random.key(0), jnp.ones((1, sizes.length), jnp.int32))
        params = jax.device_put(flax.core.meta.unbox(variables["params"]), whole)
        state = params, jax.device_put(optimiser.init(params), whole)
        with compiling():
            program = jax.jit(step, donate_argnums=(0, 1)).lower(*state, batch()).compile()

        def block() -> Any:
            nonlocal state
            for _ in range(steps):
                *state, loss = program(*state, batch())
            return state, loss

        return Work(block, steps, {})

    return Contestant(f"Flax's lm1b, flax {flax.__version__}, {devices_told(count)}, single steps", prepare)


def _config(models: Any, vocabulary: int, sizes: Sizes) -> Any:
    """Its own settings but for the sizes, and no dropout."""
    return models.TransformerConfig(
        vocab_size=vocabulary + 1,
        output_vocab_size=vocabulary + 1,
        emb_dim=sizes.width,
        num_heads=sizes.heads,
        num_layers=sizes.blocks,
        qkv_dim=sizes.width,
        mlp_dim=4 * sizes.width,
        max_len=sizes.length,
        dropout_rate=0.0,
        attention_dropout_rate=0.0,
    )


def _loss(network: nn.Module, params: Any, inputs: jax.Array) -> jax.Array:
    """Its train.py's: the mean over the tokens that are no padding; the network shifts its inputs itself."""
    logits, weight = network.apply({"params": params}, inputs), inputs > 0
    nats = optax.softmax_cross_entropy_with_integer_labels(logits, inputs)
    return jnp.sum(nats * weight) / weight.sum()
