"""A GAN's full step beside PyTorch: D's turn with both gradient penalties, G's turn and the average, 32x32 in colour.

    python benchmarks/gan.py [--steps 2] [--blocks 6]

Both players have dense residual stages of 64 channels at 4x4, 8x8, 16x16 and 32x32 (R3GAN, arXiv 2501.05441, made
small), are given a class and see 64 pictures a turn. All sides have the same weights; both losses and the norms of
their gradients are compared first on the same pictures and latents. Then each draws its own. PyTorch runs as it is
written, on all cores: its compiler has no gradients of gradients. Pictures are random.
"""
# SPDX-License-Identifier: Apache-2.0

import functools

import jax
import jax.numpy as jnp
import numpy as np
from pytorch_ways import torch_contestants
from random_pictures import RandomPictures
from results import ended, parser, race, report, set_up
from training import begun, ours, training_does

from jaxgen.experiment import Experiment
from jaxgen.families.gan.adversarial import discriminator_nats, generator_nats, judged, rounded
from jaxgen.families.gan.network import Discriminator, Generator
from jaxgen.families.gan.task import Gan
from jaxgen.nn.conditions import condition_of
from jaxgen.ops.levels import to_unit
from jaxgen.running.assembly import Assembly, assemble
from jaxgen.timing.contest import Row
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.types import Params

BATCH, LATENT = 64, 64
DATA = RandomPictures((32, 32, 3), BATCH)
STAGES = {"width": 256, "blocks": 1, "channels": (64, 64, 64, 64), "stage_blocks": 1, "expansion": 1}


def experiment() -> Experiment:
    task = Gan(Generator(latent=LATENT, **STAGES), Discriminator(**STAGES), gamma=1.0)
    adam = AdamW(learning_rate=1e-5, b1=0.0, b2=0.99)
    optimisers = {"discriminator": adam, "generator": adam}
    return Experiment(task, DATA, optimisers, steps=1000, averages={"slow": EMA(half_life=50_000)})


class Fixed:
    """What all sides are compared on: pictures [B, H, W, C] in [-1, 1], latents [B, Z], classes [B]."""

    def __init__(self):
        held = DATA.arrays()
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


def torch_players(compiled: bool) -> tuple:
    """A step and its beginning; always as it is written."""
    import torch_gan as peer

    assembly = assemble(experiment())
    players = peer.Players(assembly.task, jax.device_get(begun(assembly).params), DATA.arrays(), BATCH)
    return players.step, functools.partial(players.first, Fixed())


def row(steps: int, blocks: int) -> Row:
    held, theirs = experiment(), torch_contestants(torch_players, steps, compiles=False, small=False)
    contestants = [*ours(held, steps, our_results), *theirs]
    return race(f"gan, full step of {BATCH}, 32x32", contestants, blocks, tolerance=1e-3, does=training_does(held))


def main(arguments: list[str] | None = None) -> int:
    asked = parser(__doc__, 6, 2)
    options = asked.parse_args(arguments)
    set_up()
    return report([functools.partial(row, options.steps, options.blocks)], options)


if __name__ == "__main__":
    ended(main)
