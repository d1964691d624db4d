"""Trains the feature net for digits: `python -m jaxgen.metrics.train_digits_cnn [--out FILE]`, 12 s on two cores.

Held-out accuracy to expect: 99.7 %. The same machine gives the same bytes; another, or fewer cores, rounds differently,
and so the net that ships, and not this script, is what a measure's name stands for.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen.atomic_write import write_whole
from jaxgen.data.builtin import digits
from jaxgen.metrics.features import DigitsNet, decode, encode, log_probabilities
from jaxgen.types import Key, Params

_STEPS = 1320
_BATCH = 64
_NOISE = 0.5  # standard deviation, in levels; more would teach the net to overlook a model's noise
_OPTIMISER = optax.adamw(optax.warmup_cosine_decay_schedule(0.0, 3e-3, 50, decay_steps=_STEPS), weight_decay=1e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("digits-cnn.safetensors"), help="file to write (%(default)s)")
    out = parser.parse_args().out
    if not out.parent.is_dir():
        parser.error(f"the folder {out.parent} does not exist; make it first")
    sets = digits()
    (labels,), (held_out,) = (jax.tree.leaves(sets[split]["given"]) for split in ("train", "test"))
    weights = encode(train(sets["train"]["made"]["value"], labels))
    net = decode(weights)
    accuracy = np.mean(net.probabilities(sets["test"]["made"]["value"]).argmax(axis=1) == held_out)
    write_whole(out, weights)
    print(f"{net.name}: held-out accuracy {100 * accuracy:.2f} %, {len(weights)} bytes in {out}")


def train(images: np.ndarray, labels: np.ndarray, steps: int = _STEPS) -> Params:
    """The net's parameters after the first `steps` batches of `images` [N, 8, 8, 1] levels with `labels` [N]."""
    init_key, order_key, augment_key = jax.random.split(jax.random.key(0), 3)
    params = jax.jit(DigitsNet().init)(init_key, images[:1])["params"]
    opt_state = _OPTIMISER.init(params)
    batches = len(images) // _BATCH
    for number in range(steps):  # from the host: gradients of convolutions inside lax.scan are slow on a CPU
        epoch, place = divmod(number, batches)
        if place == 0:
            order = np.asarray(jax.random.permutation(jax.random.fold_in(order_key, epoch), len(images)))
        rows = order[place * _BATCH : (place + 1) * _BATCH]
        batch = images[rows], labels[rows]
        params, opt_state = _step(params, opt_state, batch, jax.random.fold_in(augment_key, number))
    return params


def augment(images: jax.Array, key: Key) -> jax.Array:
    """Levels [B, 8, 8, 1] moved by up to a pixel either way, blank moving in, with a little Gaussian noise."""
    shift_key, noise_key = jax.random.split(key)
    padded = jnp.pad(images.astype(jnp.float32), ((0, 0), (1, 1), (1, 1), (0, 0)))
    corners = jax.random.randint(shift_key, (len(images), 2), 0, 3)
    shift = jax.vmap(lambda image, corner: jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), images.shape[1:]))
    return shift(padded, corners) + _NOISE * jax.random.normal(noise_key, images.shape)


@jax.jit
def _step(params: Params, opt_state: Any, batch: tuple[jax.Array, jax.Array], key: Key) -> tuple[Params, Any]:
    def loss(params: Params) -> jax.Array:
        images, labels = batch
        scores = log_probabilities(params, augment(images, key))
        return -jnp.take_along_axis(scores, labels[:, None], axis=1).mean()

    updates, opt_state = _OPTIMISER.update(jax.grad(loss)(params), opt_state, params)
    return optax.apply_updates(params, updates), opt_state


if __name__ == "__main__":
    main()
