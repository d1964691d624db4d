"""A GAN's full step beside PyTorch: D's turn with both gradient penalties, G's turn and the average, 32x32 in colour.

    python benchmarks/gan.py [--steps 2] [--blocks 6]

Both players have dense residual stages of 64 channels at 4x4, 8x8, 16x16 and 32x32 (R3GAN, arXiv 2501.05441, made
small), are given a class and see 64 pictures a turn. All sides have the same weights; both losses and the norms of
their gradients are compared first on the same pictures and latents. Then each draws its own. PyTorch runs as it is
written, on one core and on all: its compiler has no gradients of gradients. Pictures are random.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import functools
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from harness import Contestant, Row, Work, contest, report
from training import begun, devices_told, most_devices
from training import contestant as training_contestant

from jaxgen.core.data import Traced
from jaxgen.data.sources import ResidentExamples
from jaxgen.environment import set_up_jax
from jaxgen.experiment import Experiment
from jaxgen.families.gan.adversarial import discriminator_nats, generator_nats, judged, rounded
from jaxgen.families.gan.network import Discriminator, Generator
from jaxgen.families.gan.task import Gan
from jaxgen.nn.conditions import condition_of
from jaxgen.ops.levels import to_unit
from jaxgen.running.assembly import Assembly, assemble
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.types import Image, Label, Params, Spec

SPEC = Spec(Image(32, 32, 3, 256), (("class", Label(10)),))
EXAMPLES, BATCH, LATENT = 640, 64, 64
STAGES = {"width": 256, "blocks": 1, "channels": (64, 64, 64, 64), "stage_blocks": 1, "expansion": 1}


class RandomPictures:
    """Resident random pictures of ten classes, as `Data` (core/data.py)."""

    batch_size = BATCH

    def spec(self) -> Spec:
        return SPEC

    def source(self) -> Traced:
        return ResidentExamples(arrays(), SPEC, BATCH)

    def evaluation(self, split: str) -> Iterator:
        return iter(())


def arrays() -> dict:
    draw = np.random.default_rng(0)
    pictures = draw.integers(0, 256, (EXAMPLES, 32, 32, 3)).astype(np.uint8)
    classes = draw.integers(0, 10, EXAMPLES).astype(np.int32)
    return {"given": {"class": {"value": classes}}, "made": {"value": pictures}}


def experiment() -> Experiment:
    task = Gan(Generator(latent=LATENT, **STAGES), Discriminator(**STAGES), gamma=1.0)
    adam = AdamW(learning_rate=1e-5, b1=0.0, b2=0.99)
    optimisers = {"discriminator": adam, "generator": adam}
    return Experiment(task, RandomPictures(), optimisers, steps=1000, averages={"slow": EMA(half_life=50_000)})


class Fixed:
    """What all sides are compared on: pictures [B, H, W, C] in [-1, 1], latents [B, Z], classes [B]."""

    def __init__(self):
        held = arrays()
        self.real = np.asarray(to_unit(jnp.asarray(held["made"]["value"][:BATCH]), 256))
        self.latent = np.random.default_rng(1).normal(size=(BATCH, LATENT)).astype(np.float32)
        self.classes = held["given"]["class"]["value"][:BATCH]

    def batch(self) -> dict:
        return {"row": np.arange(BATCH), "given": {"class": {"value": self.classes}}}


def our_results(assembly: Assembly) -> dict:
    """Both losses and the norms of their gradients on what is fixed."""
    task, fixed = assembly.task, Fixed()
    condition, row = condition_of(task.spec, fixed.batch()), jnp.arange(BATCH)

    def made(params: Params) -> jax.Array:
        fake = task.generator.apply({"params": params["generator"]}, fixed.latent, condition)
        return rounded(fake, task.levels)

    def critic(params: Params) -> jax.Array:
        judge = functools.partial(task.judge, params, batch=fixed.batch())
        fake = jax.lax.stop_gradient(made(params))
        real_output, fake_output, found = judged(task.penalty, judge, fixed.real, fake, jax.random.key(0), row)
        nats = discriminator_nats(task.loss, real_output, fake_output)
        return jnp.mean(nats + task.gamma / 2 * sum(found.values()))

    def maker(params: Params) -> jax.Array:
        outputs = (task.judge(params, picture, fixed.batch()) for picture in (fixed.real, made(params)))
        return jnp.mean(generator_nats(task.loss, *outputs))

    @jax.jit
    def found(params: Params) -> dict:
        results = {}
        for player, loss in (("discriminator", critic), ("generator", maker)):
            value, gradient = jax.value_and_grad(loss)(params)
            squares = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient[player]))
            results |= {f"{player} loss": value, f"{player} gradient norm": jnp.sqrt(squares)}
        return results

    return found(begun(assembly).params)


def ours(devices: int, steps: int) -> Contestant:
    one = training_contestant(
        f"jaxgen, {devices_told(devices)}, {steps} steps a call", experiment(), devices, steps, steps
    )

    def prepare(compiling) -> Work:
        return replace(one.prepare(compiling), results=our_results(assemble(experiment())))

    return replace(one, prepare=prepare)


def torchs(steps: int) -> Iterator[Contestant]:
    """PyTorch eager on one thread and on all, where it is installed."""
    if importlib.util.find_spec("torch") is None:
        return
    import torch
    import torch_gan as peer
    from pytorch import contestant

    def made():
        assembly = assemble(experiment())
        players = peer.Players(assembly.task, jax.device_get(begun(assembly).params), arrays(), BATCH)
        return players.step, functools.partial(players.first, Fixed())

    for threads in dict.fromkeys((1, torch.get_num_threads())):
        yield contestant(f"PyTorch {torch.__version__}, {threads} threads, eager", made, steps, threads, False)


def row(steps: int, blocks: int) -> Row:
    counts = dict.fromkeys((1, most_devices(BATCH)))
    contestants = [*(ours(count, steps) for count in counts), *torchs(steps)]
    return contest(f"gan, full step of {BATCH}, 32x32", contestants, blocks, tolerance=1e-3)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2, help="steps a block, and of ours a call (%(default)s)")
    parser.add_argument("--blocks", type=int, default=6, help="timed blocks of each contestant (%(default)s)")
    options = parser.parse_args()
    set_up_jax()
    jax.config.update("jax_enable_compilation_cache", False)
    return report([functools.partial(row, options.steps, options.blocks)])


if __name__ == "__main__":
    sys.exit(main())
