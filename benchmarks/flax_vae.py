"""The training step of Flax's own VAE example, from a checkout's models.py, with our weights in it."""
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax.training.train_state import TrainState
from peers import VAE, module_of

from jaxgen.timing.contest import Compiling, Contestant, Work


def contestant(
    folder: Path, params: Any, pictures: np.ndarray, value: np.ndarray, noise: np.ndarray, steps: int, compiled: bool
) -> Contestant:
    """A step a call, as its train.py takes it: op by op, or `compiled` by jax.jit with the state donated.

    Compared are loss and gradient of the pictures `value` [B, 28, 28, 1] with the noise [B, Z].
    """
    models, batch = module_of(folder / VAE), len(value)
    network = models.model(noise.shape[1])
    flat = (pictures.reshape(len(pictures), -1) > 127).astype(np.float32)
    draws = np.random.default_rng(0)

    def loss(params: Any, ink: jax.Array, key: jax.Array) -> jax.Array:
        logits, mean, log_variance = network.apply({"params": params}, ink, key)
        return jnp.mean(_cross_entropy(logits, ink) + _divergence(mean, log_variance))

    def step(state: TrainState, ink: np.ndarray, key: jax.Array) -> TrainState:
        return state.apply_gradients(grads=jax.grad(loss)(state.params, ink, key))

    def prepare(compiling: Compiling) -> Work:
        state = TrainState.create(apply_fn=network.apply, params=_theirs(params), tx=optax.adam(1e-3))
        taken, key = jax.jit(step, donate_argnums=0) if compiled else step, jax.random.key(0)
        results = _results(models, state.params, value, noise)
        with compiling():
            state = jax.block_until_ready(taken(state, flat[:batch], key))

        def block() -> Any:
            nonlocal state, key
            for _ in range(steps):
                key, own = jax.random.split(key)
                state = taken(state, flat[draws.integers(len(flat), size=batch)], own)
            return state

        return Work(block, steps, results)

    how = "inside jax.jit" if compiled else "as it is"
    return Contestant(f"Flax's vae, flax {flax.__version__}, {how}", prepare)


def _cross_entropy(logits: jax.Array, ink: jax.Array) -> jax.Array:
    """[B] nats, by the formula of its train.py."""
    log_prob = nn.log_sigmoid(logits)
    return -jnp.sum(ink * log_prob + (1.0 - ink) * jnp.log(-jnp.expm1(log_prob)), axis=-1)


def _divergence(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
    """[B] nats."""
    return -0.5 * jnp.sum(1 + log_variance - mean**2 - jnp.exp(log_variance), axis=-1)


def _theirs(params: Any) -> dict:
    """Our weights under its names: log variances are twice our log_std."""
    encoder, decoder = params["encoder"], params["decoder"]
    posterior = encoder["posterior_0"]
    (kernel_mean, kernel_std), (bias_mean, bias_std) = (np.split(posterior[name], 2, -1) for name in ("kernel", "bias"))
    renamed = {
        "encoder": {
            "fc1": encoder["hidden_0"]["dense_0"],
            "fc2_mean": {"kernel": kernel_mean, "bias": bias_mean},
            "fc2_logvar": {"kernel": 2 * kernel_std, "bias": 2 * bias_std},
        },
        "decoder": {"fc1": decoder["hidden_0"]["dense_0"], "fc2": decoder["likelihood"]},
    }
    return jax.tree.map(jnp.asarray, renamed)


def _results(models: Any, params: Any, value: np.ndarray, noise: np.ndarray) -> dict:
    """Loss and gradient's norm on what is fixed, in our weights' terms."""
    ink = jnp.asarray(value.reshape(len(value), -1), jnp.float32)
    encoder, decoder = models.Encoder(noise.shape[1]), models.Decoder()

    def loss(params: Any) -> jax.Array:
        mean, log_variance = encoder.apply({"params": params["encoder"]}, ink)
        logits = decoder.apply({"params": params["decoder"]}, mean + jnp.exp(0.5 * log_variance) * noise)
        return jnp.mean(_cross_entropy(logits, ink) + _divergence(mean, log_variance))

    nats, gradient = jax.value_and_grad(loss)(params)
    own = _of_ours(gradient)
    return {"loss": nats, "gradient norm": jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(own)))}


def _of_ours(gradient: dict) -> list[jax.Array]:
    """The gradient to our weights by the chain rule through `_theirs`."""
    first, (mean, std) = gradient["encoder"]["fc1"], (gradient["encoder"][name] for name in ("fc2_mean", "fc2_logvar"))
    return [first, mean, jax.tree.map(lambda leaf: 2 * leaf, std), gradient["decoder"]]
