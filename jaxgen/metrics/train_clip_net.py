"""Trains the feature net of clips: `python -m jaxgen.metrics.train_clip_net [--out FILE] [--steps N]`.

The same machine gives the same bytes; another, or fewer cores, rounds differently, and so the net that ships, and not
this script, is what a measure's name stands for.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxgen.atomic_write import write_whole
from jaxgen.data.clips import BouncingDigits, MovingDigits, kinds_and_speeds
from jaxgen.metrics.clip_features import CLASSES, DATA, KIND, SHAPE, ClipNet, MovingDigitsNet, decode
from jaxgen.metrics.shipped_nets import encode
from jaxgen.types import Key, Params

STEPS, _RATE, _NOISE = 800, 3e-3, 0.5  # batches, AdamW's rate before its cosine, and noise on the pixels in levels
_WEIGHT = 3.0  # of the speeds' squared errors beside the nats of the digits
_TOLD = 100  # steps between two lines


def data(batch_size: int, evaluated: int = 1) -> MovingDigits:
    """The clips that the net is for."""
    return MovingDigits(DATA, batch_size, frames=SHAPE[0], size=SHAPE[1], evaluated=evaluated)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(f"{KIND}.safetensors"), help="file to write")
    parser.add_argument("--steps", type=int, default=STEPS, help="batches of 32 clips")
    arguments = parser.parse_args()
    if not arguments.out.parent.is_dir():
        parser.error(f"the folder {arguments.out.parent} does not exist; make it first")
    weights = encode(train(data(32).source(), arguments.steps))
    net = decode(weights)
    write_whole(arguments.out, weights)
    right, error = held_out_figures(net)
    told = f"{100 * right:.1f} % of clips show the digit that it finds likeliest, speeds {error:.2f} pixels a frame off"
    print(f"{net.name}, held out: {told}; {len(weights)} bytes in {arguments.out}")


def held_out_figures(net: ClipNet, count: int = 1000) -> tuple[float, float]:
    """The share of held-out clips that show the likeliest digit, and the mean absolute error of the speeds."""
    clips = data(100, count).first("test", count)["made"]
    present, speeds = (np.asarray(array) for array in kinds_and_speeds(clips, CLASSES))
    right = np.take_along_axis(present, net.kinds(clips["value"]).argmax(axis=1)[:, None], axis=1).mean()
    return float(right), float(np.abs(net.speeds(clips["value"]) - speeds).mean())


def train(source: BouncingDigits, steps: int, first: int | None = None) -> Params:
    """The net's parameters after the `first` (all) of so many batches of the source's clips."""
    init_key, data_key = jax.random.split(jax.random.key(0))
    params = jax.jit(MovingDigitsNet().init)(init_key, jnp.zeros((1, *SHAPE)))["params"]
    optimiser = optax.adamw(optax.warmup_cosine_decay_schedule(0.0, _RATE, 50, decay_steps=steps), weight_decay=1e-3)
    opt_state, step = optimiser.init(params), jax.jit(functools.partial(_step, optimiser))
    # from the host: gradients of convolutions inside lax.scan are slow on a CPU
    for number in range(steps if first is None else first):
        params, opt_state, loss = step(source, params, opt_state, data_key, number)
        if number % _TOLD == 0:
            print(f"step {number}: loss {float(loss):.3f}", flush=True)
    return params


def _step(
    optimiser: optax.GradientTransformation,
    source: BouncingDigits,
    params: Params,
    opt_state: Any,
    key: Key,
    number: jax.Array,
) -> tuple[Params, Any, jax.Array]:
    clips = source.next(key, None, number, jnp.arange(source.batch_size))[0]["made"]
    noise = _NOISE * jax.random.normal(jax.random.fold_in(key, -1 - number), clips["value"].shape)

    def loss(params: Params) -> jax.Array:
        _, (kinds, speeds) = MovingDigitsNet().apply({"params": params}, clips["value"] + noise)
        present, wanted = kinds_and_speeds(clips, CLASSES)
        squares = _WEIGHT * jnp.sum((speeds - wanted) ** 2, axis=1)
        return (optax.sigmoid_binary_cross_entropy(kinds, present).sum(axis=1) + squares).mean()

    value, gradient = jax.value_and_grad(loss)(params)
    updates, opt_state = optimiser.update(gradient, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, value


if __name__ == "__main__":
    main()
