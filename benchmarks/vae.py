"""A VAE's training step beside PyTorch and Flax's own example: 784-500-20, 128 binarised pictures a step.

    python benchmarks/vae.py [--steps 40] [--blocks 10] [--peer flax=FOLDER]

The networks of configs/vae/mnist.py, which are those of google/flax's examples/vae. All sides have the same weights;
the bound and the norm of its gradient are compared first on the same pictures and noise. Then each draws its own:
jaxgen and PyTorch binarise random grey pictures anew in every step, Flax's example is given pictures of two levels.
PyTorch runs as it is written and compiled, on one core and on all. Flax's step is not compiled by its train.py; it is
timed so, and inside jax.jit.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from harness import Contestant, Row, Work
from peers import VAE, add_peers, folders, of_checkout
from pytorch_ways import torch_contestants
from results import ended, parser, race, report, set_up
from training import contestant as training_contestant
from training import devices_told, most_devices, training_does

from jaxgen.config.reading import load_experiment
from jaxgen.core.data import Traced
from jaxgen.data.sources import ResidentExamples
from jaxgen.experiment import Experiment
from jaxgen.families.vae.latents import noise_of
from jaxgen.ops.augmentation import binarised
from jaxgen.ops.levels import to_unit
from jaxgen.ops.rows import row_keys
from jaxgen.running.assembly import Assembly, assemble
from jaxgen.types import Batch, Image, Key, Params, Spec

EXAMPLES, BATCH, BRIGHTEST = 12_800, 128, 255
NEEDED = {"flax": (VAE,)}


class GreyPictures:
    """Resident random grey pictures, binarised anew in every step, as `Data` (core/data.py)."""

    batch_size = BATCH

    def spec(self) -> Spec:
        return Spec(Image(28, 28, 1, 2))

    def source(self) -> Traced:
        return ResidentExamples({"given": {}, "made": {"value": pictures()}}, self.spec(), BATCH)

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


def experiment() -> Experiment:
    return replace(load_experiment("vae/mnist", Experiment), data=GreyPictures())


class Fixed:
    """What all sides are compared on: pictures [B, 28, 28, 1] of two levels, and the noise [B, 20] of our keys."""

    def __init__(self):
        self.keys = row_keys(jax.random.key(3), jnp.arange(BATCH))
        self.value = (pictures()[:BATCH] > BRIGHTEST // 2).astype(np.uint8)
        self.noise = np.asarray(noise_of(jax.vmap(lambda key: jax.random.fold_in(key, 0))(self.keys), (20,)))


def weights(assembly: Assembly) -> Params:
    """Those that all sides are compared with: of small posteriors, where our bound on log_std does nothing yet."""
    params = jax.jit(assembly.task.init)(assembly.key).params
    small = jax.tree.map(lambda leaf: 0.01 * leaf, params["encoder"]["posterior_0"])
    return {**params, "encoder": {**params["encoder"], "posterior_0": small}}


def our_results(assembly: Assembly) -> dict:
    task, fixed = assembly.task, Fixed()

    @jax.jit
    def found(params):
        def loss(params):
            encoded = task.latents.encode(params, to_unit(fixed.value, 2), None)
            inferred = task.latents.infer(params, encoded, None, fixed.keys)
            log_prob = inferred.likelihood.log_prob(jnp.asarray(fixed.value), 2).sum(axis=(1, 2, 3))
            return jnp.mean(inferred.kl.sum(axis=0) - log_prob)

        value, gradient = jax.value_and_grad(loss)(params)
        return value, jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))

    value, norm = found(weights(assembly))
    return {"loss": value, "gradient norm": norm}


def ours(devices: int, per_call: int, steps: int) -> Contestant:
    name = f"jaxgen, {devices_told(devices)}, {per_call} steps a call"
    one = training_contestant(name, experiment(), devices, per_call, steps)

    def prepare(compiling) -> Work:
        return replace(one.prepare(compiling), results=our_results(assemble(experiment())))

    return replace(one, prepare=prepare)


def torch_training(compiled: bool) -> tuple:
    """A step and its beginning."""
    import torch_vae as peer

    return peer.training(jax.device_get(weights(assemble(experiment()))), pictures(), Fixed(), BATCH, compiled)


def flaxes(steps: int, folder: Path) -> Iterator[Contestant]:
    """The example's step of a checkout, as its train.py takes it and compiled."""
    import flax_vae

    params = jax.device_get(weights(assemble(experiment())))
    for compiled in (False, True):
        yield flax_vae.contestant(folder, params, pictures(), Fixed(), BATCH, steps, compiled)


def row(steps: int, blocks: int, named: Mapping[str, Path]) -> Row:
    counts = dict.fromkeys((1, most_devices(BATCH)))
    contestants = [
        *(ours(count, steps, steps) for count in counts),
        *torch_contestants(torch_training, steps),
        *of_checkout(named, "flax", functools.partial(flaxes, steps)),
    ]
    does = training_does(experiment())
    return race(f"vae 784-500-20, training step of {BATCH}", contestants, blocks, tolerance=1e-4, does=does)


def main(arguments: list[str] | None = None) -> int:
    asked = parser(__doc__, 10, 40)
    add_peers(asked, NEEDED)
    options = asked.parse_args(arguments)
    named = folders(options.peer, NEEDED)
    set_up()
    return report([functools.partial(row, options.steps, options.blocks, named)], options)


if __name__ == "__main__":
    ended(main)
