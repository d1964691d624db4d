"""Training steps of dense VAEs beside PyTorch and Flax's own example: 784-500-20, and an importance-weighted one.

    jaxgen bench vae [--only vae iwae] [--precision float32 bfloat16] [--steps 40] [--blocks 10] [--peer flax=FOLDER]

vae   128 pictures a step through the networks of configs/vae/mnist.py, which are those of google/flax's examples/vae
iwae  100 pictures a step and 50 samples of each, the networks and the bound of configs/vae/iwae.py (arXiv 1509.00519)

All sides have the same weights; the bound and the norm of its gradient are compared first on the same pictures and
noise. Then each draws its own: jaxgen and PyTorch binarise random grey pictures anew in every step, Flax's example is
given pictures of two levels. PyTorch runs as it is written and compiled, on one core and on all. Flax's step is not
compiled by its train.py; it is timed so, and inside jax.jit.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from chosen import IN, add_precisions, experiment_of, precisions
from peers import VAE, add_peers, folders, of_checkout
from pytorch_ways import torch_contestants
from results import ended, parser, race, report, set_up
from training import ours, training_does

from jaxgen.core.data import Traced
from jaxgen.data.sources import ResidentExamples
from jaxgen.experiment import Experiment
from jaxgen.families.vae.bounds import Drawn
from jaxgen.families.vae.latents import noise_of
from jaxgen.nn.precision import Precision
from jaxgen.ops.augmentation import binarised
from jaxgen.ops.levels import to_unit
from jaxgen.ops.rows import row_keys
from jaxgen.running.assembly import Assembly, assemble
from jaxgen.timing.contest import Absent, Contestant, Row
from jaxgen.types import Batch, Image, Key, Params, Spec

EXAMPLES, BRIGHTEST = 12_800, 255
NEEDED = {"flax": (VAE,)}
BATCHES = {"vae": 128, "iwae": 100}
CONFIGS = {"vae": "vae/mnist", "iwae": "vae/iwae"}
TOLERANCE = {Precision.FLOAT32: 1e-4, Precision.BFLOAT16: 2e-2}
TITLES = {"vae": "vae 784-500-20", "iwae": "iwae 784-200-200-50, 50 samples"}


@dataclass(frozen=True)
class GreyPictures:
    """Resident random grey pictures, binarised anew in every step, as `Data` (core/data.py)."""

    batch_size: int

    def spec(self) -> Spec:
        return Spec(Image(28, 28, 1, 2))

    def source(self) -> Traced:
        return ResidentExamples({"given": {}, "made": {"value": pictures()}}, self.spec(), self.batch_size)

    def augment(self, batch: Batch, key: Key) -> Batch:
        drawn = binarised(batch["made"]["value"], jax.random.fold_in(key, 2), batch["row"], BRIGHTEST)
        return {**batch, "made": {"value": drawn}}

    def evaluation(self, split: str) -> Iterator:
        return iter(())


def pictures() -> np.ndarray:
    """[EXAMPLES, 28, 28, 1] uint8, most of them black as digits are."""
    draw = np.random.default_rng(0)
    return np.where(draw.random((EXAMPLES, 28, 28, 1)) < 0.2, draw.integers(0, 256, (EXAMPLES, 28, 28, 1)), 0).astype(
        np.uint8
    )


def experiment(name: str, precision: Precision) -> Experiment:
    """Without averages of the parameters, which the peers have none of."""
    settings = (f"task.{side}.precision={precision.name}" for side in ("encoder", "decoder"))
    held = experiment_of(CONFIGS[name], tuple(settings))
    return replace(held, data=GreyPictures(BATCHES[name]), averages={})


class Fixed:
    """What all sides are compared on: pictures [B, 28, 28, 1] of two levels, and the noise [B, K, Z] of our keys."""

    def __init__(self, assembly: Assembly):
        self.batch, self.samples = assembly.data.batch_size, assembly.task.objective.samples
        (latent,) = assembly.task.decoder.latent
        self.keys = row_keys(jax.random.key(3), jnp.arange(self.batch * self.samples))  # a picture's side by side
        self.value = (pictures()[: self.batch] > BRIGHTEST // 2).astype(np.uint8)
        noise = noise_of(jax.vmap(lambda key: jax.random.fold_in(key, 0))(self.keys), (latent,))
        self.noise = np.asarray(noise).reshape(self.batch, self.samples, latent)


def weights(assembly: Assembly) -> Params:
    """Those that all sides are compared with: of small posteriors, where our bound on log_std does nothing yet."""
    params = jax.jit(assembly.task.init)(assembly.key).params
    small = jax.tree.map(lambda leaf: 0.01 * leaf, params["encoder"]["posterior_0"])
    return {**params, "encoder": {**params["encoder"], "posterior_0": small}}


def our_results(assembly: Assembly) -> dict:
    """The objective and the norm of its gradient on what is fixed."""
    task, fixed = assembly.task, Fixed(assembly)

    def apart(leaf: jax.Array) -> jax.Array:  # [..., B * K] to [..., K, B]
        return leaf.reshape(*leaf.shape[:-1], fixed.batch, fixed.samples).swapaxes(-1, -2)

    def loss(params: Params) -> jax.Array:
        value, encoded = jnp.asarray(fixed.value), task.latents.encode(params, to_unit(fixed.value, 2), None)
        value, encoded = jax.tree.map(lambda leaf: jnp.repeat(leaf, fixed.samples, axis=0), (value, encoded))
        inferred = task.latents.infer(params, encoded, None, fixed.keys)
        nats = inferred.likelihood.log_prob(value, 2).sum(axis=(1, 2, 3))
        layers = (apart(each) for each in (inferred.log_q, inferred.log_p, inferred.kl))
        return jnp.mean(task.objective(Drawn(apart(nats), *layers, inferred.means), None))

    value, gradient = jax.jit(jax.value_and_grad(loss))(weights(assembly))
    return {"loss": value, "gradient norm": jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))}


def torch_training(held: Experiment, compiled: bool) -> tuple:
    """A step and its beginning."""
    import torch_vae as peer

    assembly = assemble(held)
    model = peer.DenseVae(jax.device_get(weights(assembly)), assembly.task.encoder)
    return peer.training(model, pictures(), Fixed(assembly), compiled)


def flaxes(held: Experiment, steps: int, folder: Path) -> Iterator[Contestant]:
    """The example's step of a checkout, as its train.py takes it and compiled."""
    import flax_vae

    assembly = assemble(held)
    params, fixed = jax.device_get(weights(assembly)), Fixed(assembly)
    for compiled in (False, True):
        yield flax_vae.contestant(folder, params, pictures(), fixed.value, fixed.noise[:, 0], steps, compiled)


def row(name: str, precision: Precision, steps: int, blocks: int, named: Mapping[str, Path]) -> Row:
    held = experiment(name, precision)
    contestants: list[Contestant | Absent] = [
        *ours(held, steps, our_results, precision),
        *torch_contestants(functools.partial(torch_training, held), steps, precision=precision.value),
    ]
    if (name, precision) == ("vae", Precision.FLOAT32):  # which is all that Flax's example computes
        contestants += of_checkout(named, "flax", functools.partial(flaxes, held, steps))
    title = f"{TITLES[name]}, training step of {BATCHES[name]}{IN[precision]}"
    return race(title, contestants, blocks, TOLERANCE[precision], training_does(held))


def main(arguments: list[str] | None = None) -> int:
    asked = parser(__doc__, 10, 40)
    asked.add_argument("--only", nargs="+", choices=CONFIGS, default=list(CONFIGS), help="which rows (all)")
    add_precisions(asked)
    add_peers(asked, NEEDED)
    options = asked.parse_args(arguments)
    named = folders(options.peer, NEEDED)
    set_up()
    how = options.steps, options.blocks, named
    ways = itertools.product(options.only, precisions(options))
    return report([functools.partial(row, *way, *how) for way in ways], options)


if __name__ == "__main__":
    ended(main)
