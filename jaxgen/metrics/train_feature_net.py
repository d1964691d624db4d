"""Trains a feature net: `python -m jaxgen.metrics.train_feature_net digits|mnist|cifar10 [--out FILE]`.

The same machine gives the same bytes; another, or fewer cores, rounds differently, and so the net that ships, and not
this script, is what a measure's name stands for.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxgen.atomic_write import write_whole
from jaxgen.data.pictures import Pictures
from jaxgen.metrics.features import NETS, decode
from jaxgen.metrics.shipped_nets import encode, shuffled
from jaxgen.types import Key, Params

_BATCH = 64


@dataclass(frozen=True)
class Recipe:
    """How a net is trained: AdamW, the rate a cosine from `rate` to 0."""

    steps: int
    noise: float  # standard deviation, in levels; more would teach the net to overlook a model's noise
    shift: int  # pixels either way, blank moving in
    rate: float = 3e-3
    flip: bool = False  # half of the pictures are mirrored

    @property
    def optimiser(self) -> optax.GradientTransformation:
        schedule = optax.warmup_cosine_decay_schedule(0.0, self.rate, 50, decay_steps=self.steps)
        return optax.adamw(schedule, weight_decay=1e-3)


RECIPES = {
    "digits": Recipe(steps=1320, noise=0.5, shift=1),  # 12 s on two cores; 99.7 % of held-out digits
    "mnist": Recipe(steps=4690, noise=4.0, shift=2, rate=2e-3),  # 3 minutes beside other work; 99.4 %
    # 11 minutes beside other work; 81.4 %, of pictures that went through JPEG once (CIFAR-10 (JPEG))
    "cifar10": Recipe(steps=6256, noise=4.0, shift=3, rate=2e-3, flip=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=NETS, help="the data set that the net is for")
    parser.add_argument("--out", type=Path, help="file to write (KIND.safetensors)")
    arguments = parser.parse_args()
    kind, net, _ = NETS[arguments.data]
    out = arguments.out or Path(f"{kind}.safetensors")
    if not out.parent.is_dir():
        parser.error(f"the folder {out.parent} does not exist; make it first")
    data = Pictures(name=arguments.data)
    (images, labels), (test, held_out) = (_arrays(data, split) for split in ("train", "test"))
    weights = encode(train(images, labels, RECIPES[arguments.data], net))
    trained = decode(arguments.data, weights)
    accuracy = np.mean(trained.probabilities(test).argmax(axis=1) == held_out)
    write_whole(out, weights)
    print(f"{trained.name}: held-out accuracy {100 * accuracy:.2f} %, {len(weights)} bytes in {out}")


def _arrays(data: Pictures, split: str) -> tuple[np.ndarray, np.ndarray]:
    arrays = data.arrays(split)
    (labels,) = jax.tree.leaves(arrays["given"])
    return arrays["made"]["value"], labels


def train(images: np.ndarray, labels: np.ndarray, recipe: Recipe, net: nn.Module, steps: int | None = None) -> Params:
    """The net's parameters after the first `steps` batches (all) of `images` [N, H, W, C] levels, `labels` [N]."""
    init_key, order_key, augment_key = jax.random.split(jax.random.key(0), 3)
    params = jax.jit(net.init)(init_key, images[:1])["params"]
    opt_state = recipe.optimiser.init(params)
    # from the host: gradients of convolutions inside lax.scan are slow on a CPU
    for number, rows in enumerate(shuffled(order_key, len(images), _BATCH, recipe.steps if steps is None else steps)):
        batch = images[rows], labels[rows]
        params, opt_state = _step(recipe, net, params, opt_state, batch, jax.random.fold_in(augment_key, number))
    return params


def augment(images: jax.Array, recipe: Recipe, key: Key) -> jax.Array:
    """Levels [B, H, W, C] moved, perhaps mirrored, with a little Gaussian noise."""
    shift_key, noise_key = jax.random.split(key)
    sides = ((0, 0), (recipe.shift, recipe.shift), (recipe.shift, recipe.shift), (0, 0))
    padded = jnp.pad(images.astype(jnp.float32), sides)
    corners = jax.random.randint(shift_key, (len(images), 2), 0, 2 * recipe.shift + 1)
    shift = jax.vmap(lambda image, corner: jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), images.shape[1:]))
    moved = shift(padded, corners)
    if recipe.flip:
        mirrored = jax.random.bernoulli(jax.random.fold_in(key, 2), shape=(len(images), 1, 1, 1))
        moved = jnp.where(mirrored, moved[:, :, ::-1], moved)
    return moved + recipe.noise * jax.random.normal(noise_key, images.shape)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _step(
    recipe: Recipe, net: nn.Module, params: Params, opt_state: Any, batch: tuple[jax.Array, jax.Array], key: Key
) -> tuple[Params, Any]:
    def loss(params: Params) -> jax.Array:
        images, labels = batch
        scores = jax.nn.log_softmax(net.apply({"params": params}, augment(images, recipe, key))[1])
        return -jnp.take_along_axis(scores, labels[:, None], axis=1).mean()

    updates, opt_state = recipe.optimiser.update(jax.grad(loss)(params), opt_state, params)
    return optax.apply_updates(params, updates), opt_state


if __name__ == "__main__":
    main()
