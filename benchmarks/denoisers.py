"""Diffusion beside PyTorch: training steps of the transformer and the U-Net, and the whole sampler, on 28x28 pictures.

    python benchmarks/denoisers.py [--steps 5] [--blocks 6] [--only transformer unet] [--what training sampler]
        [--sizes 64 1] [--precision float32 bfloat16]

The networks have the same weights; D, the loss and the norm of its gradient are compared first on the same noise, and
the sampler's pictures from the same start. Then both draw pictures and noise of their own. The transformer has width
192, 6 blocks and squares of 4 pixels, as in configs/diffusion/mnist.py; the U-Net 32 channels, three levels, two blocks
each, attention on the coarsest, as EDM's (arXiv 2206.00364) made small. Pictures are random. The sampler is Heun's
method with 35 evaluations. PyTorch runs as it is written and compiled, on all cores (on one it was 1.4 to 1.9 times
slower in every row); the fastest is its best.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
import itertools
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from chosen import IN, add_precisions, precisions, series_of
from pytorch_ways import torch_contestants
from random_pictures import RandomPictures
from results import ended, parser, race, report, set_up
from training import begun, ours, training_does

from jaxgen.experiment import Experiment
from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.families.diffusion.picture_samplers import Heun
from jaxgen.families.diffusion.samplers import follow
from jaxgen.families.diffusion.task import Diffusion
from jaxgen.families.diffusion.unet import UNet
from jaxgen.nn.conditions import condition_of
from jaxgen.nn.precision import Precision
from jaxgen.ops.levels import to_unit
from jaxgen.running.assembly import Assembly, assemble
from jaxgen.timing.contest import Contestant, Does, Row, Work
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW

NETWORKS = {
    "transformer": DiffusionTransformer(width=192, blocks=6, heads=6, patch=4),
    "unet": UNet(width=32, widths=(1, 2, 2), blocks=2, attention=(2,)),
}
BATCH, SIGMAS = 64, (0.02, 80.0)
SIZES = BATCH, 1  # pictures that the sampler draws together
DATA = RandomPictures((28, 28, 1), BATCH)
TOLERANCE = {Precision.FLOAT32: 1e-4, Precision.BFLOAT16: 2e-2}


def experiment(network: str, precision: Precision) -> Experiment:
    low, high = SIGMAS
    sized = NETWORKS[network].clone(precision=precision)
    task = Diffusion(sized, sigma_min=low, sigma_max=high, condition_dropout=0.0, sampler=Heun(steps=18))
    optimisers = {"denoising": AdamW(learning_rate=1e-5, b2=0.99, clip=1.0)}
    return Experiment(task, DATA, optimisers, steps=1000, averages={"slow": EMA(half_life=50_000)})


class Fixed:
    """What both sides are compared on: pictures, noise levels, noise, classes."""

    def __init__(self):
        draw, held = np.random.default_rng(1), DATA.arrays()
        self.x = np.asarray(to_unit(jnp.asarray(held["made"]["value"][:BATCH]), 256))
        self.σ = np.exp(draw.normal(size=BATCH)).astype(np.float32)
        self.noise = draw.normal(size=self.x.shape).astype(np.float32)
        self.classes = held["given"]["class"]["value"][:BATCH]

    def batch(self, size: int = BATCH) -> dict:
        return {"row": np.arange(size), "given": {"class": {"value": self.classes[:size]}}}


def our_results(assembly: Assembly) -> dict:
    """D, the loss and its gradient's norm on what is fixed."""
    task, fixed = assembly.task, Fixed()

    @jax.jit
    def found(params):
        def loss(params):
            noisy = fixed.x + fixed.σ[:, None, None, None] * fixed.noise
            clean = task.denoiser(params, noisy, fixed.σ, condition_of(task.spec, fixed.batch()))
            error = jnp.mean((fixed.x - clean) ** 2, axis=(1, 2, 3))
            return jnp.mean(task.weighting(fixed.σ, task.denoiser) * error), clean

        (value, clean), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        return clean, value, jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))

    clean, value, norm = found(begun(assembly).params)
    return {"D": clean, "loss": value, "gradient norm": norm}


def training_row(network: str, precision: Precision, steps: int, blocks: int) -> Row:
    """A training step of 64 pictures."""
    made = functools.partial(torch_training, network, precision)
    theirs = torch_contestants(made, steps, precision=precision.value, small=False)
    held, title = experiment(network, precision), f"{network}, training step of {BATCH}{IN[precision]}"
    contestants = [*ours(held, steps, our_results, precision), *theirs]
    return race(title, contestants, blocks, TOLERANCE[precision], training_does(held))


def torch_training(network: str, precision: Precision, compiled: bool):
    import torch
    import torch_denoisers as peer

    held = experiment(network, precision)
    assembly = assemble(held)
    model = peer.Denoiser(assembly.task, jax.device_get(begun(assembly).params))
    examples, fixed = DATA.arrays(), Fixed()
    pictures = torch.from_numpy(np.asarray(to_unit(jnp.asarray(examples["made"]["value"]), 256)).transpose(0, 3, 1, 2))
    given = peer.one_hot(examples["given"]["class"]["value"])
    (optimiser,), (ema,) = held.optimisers.values(), held.averages.values()
    training = peer.Training(model, pictures.contiguous(), given, assembly.task, optimiser, ema)
    if compiled:
        model.compile()

    def first() -> dict:
        x, noise = (peer.tensor(array.transpose(0, 3, 1, 2)) for array in (fixed.x, fixed.noise))
        σ, classes = peer.tensor(fixed.σ), peer.one_hot(fixed.classes)
        loss = training.loss(x, σ, noise, classes)
        loss.backward()
        norm = torch.nn.utils.get_total_norm([leaf.grad for leaf in model.parameters()])
        model.zero_grad()
        with torch.no_grad():
            clean = model(x + σ[:, None, None, None] * noise, σ, classes)
        training.step(BATCH)
        return {"D": clean.permute(0, 2, 3, 1).numpy(), "loss": float(loss.detach()), "gradient norm": float(norm)}

    return functools.partial(training.step, BATCH), first


def sampler_row(network: str, precision: Precision, size: int, steps: int, blocks: int) -> Row:
    """Heun's 35 evaluations for `size` pictures, from the same start."""
    assembly = assemble(experiment(network, precision))
    task, fixed = assembly.task, Fixed()
    start = SIGMAS[1] * fixed.noise[:size]
    sigmas = task.sampler.sigmas(task.process, *SIGMAS)

    def program(params, start):
        denoise = functools.partial(_denoised, task, params, fixed.batch(size))
        return follow(denoise, start, task.sampler.table(sigmas, {}), jax.random.key(0), jnp.arange(size))

    drawn = replace(_drawn(program, (begun(assembly).params, jnp.asarray(start)), steps), precision=precision.value)
    made = functools.partial(torch_sampler, network, precision, start, np.asarray(sigmas).tolist())
    contestants = [drawn, *torch_contestants(made, steps, precision=precision.value, small=False)]
    name, does = f"{network}, 35 evaluations, batch {size}{IN[precision]}", Does(examples=size)
    row = race(name, contestants, blocks, 10 * TOLERANCE[precision], does)
    facts = series_of(f"{network}, 35 evaluations{IN[precision]}", experiment(network, precision)) | {"batch": size}
    return replace(row, facts=facts)


def _denoised(task: Diffusion, params, batch, x: jax.Array, σ: jax.Array) -> jax.Array:
    return task.denoiser(params, x, σ, condition_of(task.spec, batch))


def _drawn(program, arguments: tuple, steps: int) -> Contestant:
    def prepare(compiling) -> Work:
        with compiling():
            compiled = jax.jit(program).lower(*arguments).compile()

        def block():
            for _ in range(steps):
                result = jax.block_until_ready(compiled(*arguments))
            return result

        return Work(block, steps, {"pictures": compiled(*arguments)})

    return Contestant("jaxgen, one program", prepare)


def torch_sampler(network: str, precision: Precision, start: np.ndarray, sigmas: list[float], compiled: bool):
    import torch
    import torch_denoisers as peer

    assembly = assemble(experiment(network, precision))
    model = peer.Denoiser(assembly.task, jax.device_get(begun(assembly).params)).eval()
    x, given = peer.tensor(start.transpose(0, 3, 1, 2)), peer.one_hot(Fixed().classes[: len(start)])
    if compiled:
        model.compile()

    def once() -> dict:
        with torch.inference_mode():
            return {"pictures": peer.heun(model, x, sigmas, given).permute(0, 2, 3, 1).numpy()}

    return once, once


def main(arguments: list[str] | None = None) -> int:
    asked = parser(__doc__, 6, 5)
    asked.add_argument("--only", nargs="+", choices=NETWORKS, default=tuple(NETWORKS))
    add_precisions(asked)
    asked.add_argument("--what", nargs="+", choices=("training", "sampler"), default=("training", "sampler"))
    asked.add_argument("--sizes", nargs="+", type=int, choices=SIZES, default=SIZES, help="pictures drawn together")
    options = asked.parse_args(arguments)
    set_up()
    rows = []
    for way in itertools.product(options.only, precisions(options)):
        if "training" in options.what:
            rows.append(functools.partial(training_row, *way, options.steps, options.blocks))
        if "sampler" in options.what:
            rows += [functools.partial(sampler_row, *way, size, 1, options.blocks) for size in options.sizes]
    return report(rows, options)


if __name__ == "__main__":
    ended(main)
