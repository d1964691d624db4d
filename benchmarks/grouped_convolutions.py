"""A 3x3 convolution in groups beside the dense one that computes the same: which form a GAN's stages should have.

    python benchmarks/grouped_convolutions.py [--groups 1 4 16] [--channels 64] [--side 32] [--batch 16]

R3GAN's blocks (arXiv 2501.05441, section 4) convolve in groups, which is fewer products; jaxgen's are dense. A step is
the convolution and the gradients of its input and its kernel. Kernels of groups stand on the diagonal of the dense
kernel, so that outputs and the input's gradients are compared before anything is timed.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from pytorch_ways import torch_contestants
from results import ended, parser, positive, race, report, set_up

from jaxgen.errors import UserError
from jaxgen.ops.convolution import convolution
from jaxgen.timing.contest import Contestant, Does, Row, Work

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]  # x [B, S, S, C], kernel [3, 3, C / groups, C], slope as x


def arrays_of(batch: int, side: int, channels: int, groups: int) -> Arrays:
    """Normal ones, the output's size about that of the input."""
    draw = np.random.default_rng(0).standard_normal
    x, slope = (draw((batch, side, side, channels)).astype(np.float32) for _ in range(2))
    within = channels // groups
    kernel = draw((3, 3, within, channels)) / np.sqrt(9 * within)
    return x, kernel.astype(np.float32), slope


def dense_kernel(kernel: np.ndarray) -> np.ndarray:
    """[3, 3, C, C] with the groups' kernels [3, 3, C / groups, C] on its diagonal."""
    within, channels = kernel.shape[2:]
    whole = np.zeros((3, 3, channels, channels), kernel.dtype)
    for start in range(0, channels, within):
        own = slice(start, start + within)
        whole[:, :, own, own] = kernel[..., own]
    return whole


def grouped(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """XLA's own convolution in groups, as Flax's `feature_group_count` calls it."""
    how = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "feature_group_count": x.shape[-1] // kernel.shape[2]}
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", **how)


def ours(name: str, convolve: Callable, arrays: Arrays, steps: int) -> Contestant:
    """A program of one step on one device, whose convolution is `convolve(x, kernel)`."""

    def prepare(compiling) -> Work:
        x, kernel, slope = map(jnp.asarray, arrays)

        def step(x, kernel, slope):
            made, back = jax.vjp(convolve, x, kernel)
            return made, *back(slope)

        with compiling():
            program = jax.jit(step).lower(x, kernel, slope).compile()

        def block():
            return [program(x, kernel, slope) for _ in range(steps)]

        made, gradient, _ = program(x, kernel, slope)
        return Work(block, steps, {"output": made, "gradient": gradient})

    return Contestant(name, prepare)


def torch_step(arrays: Arrays, compiled: bool) -> tuple:
    """torch's convolution in groups and both gradients, in its own order of axes: a step and its beginning."""
    import torch

    x, kernel, slope = arrays
    groups = x.shape[-1] // kernel.shape[2]
    inputs, slopes = (torch.from_numpy(one.transpose(0, 3, 1, 2).copy()) for one in (x, slope))
    weights = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()).requires_grad_()
    inputs.requires_grad_()
    convolve = functools.partial(torch.nn.functional.conv2d, padding=1, groups=groups)
    convolve = torch.compile(convolve) if compiled else convolve

    def once() -> dict:
        made = convolve(inputs, weights)
        gradient, _ = torch.autograd.grad(made, (inputs, weights), slopes)
        told = {"output": made.detach(), "gradient": gradient}
        return {name: one.numpy().transpose(0, 2, 3, 1) for name, one in told.items()}

    return once, once


def row(batch: int, side: int, channels: int, steps: int, blocks: int, groups: int) -> Row:
    x, kernel, slope = arrays = arrays_of(batch, side, channels, groups)
    contestants = [ours("jaxgen, dense", convolution, (x, dense_kernel(kernel), slope), steps)]
    if groups > 1:
        contestants.append(ours("XLA, in groups", grouped, arrays, steps))
    contestants += torch_contestants(functools.partial(torch_step, arrays), steps, compiles=False)
    flops = 3 * 2 * 9 * x.size * kernel.shape[2]
    what = f"convolution in {groups} group{'s' * (groups > 1)}, {batch} of {side}x{side}x{channels}"
    return race(what, contestants, blocks, 1e-4, Does(examples=batch, flops=flops))


def main(arguments: list[str] | None = None) -> int:
    asked = parser(__doc__, 10, 3)
    asked.add_argument("--groups", type=positive, nargs="+", default=[1, 4, 16], help="a row each (1 4 16)")
    asked.add_argument("--channels", type=positive, default=64, help="(%(default)s)")
    asked.add_argument("--side", type=positive, default=32, help="of the grid (%(default)s)")
    asked.add_argument("--batch", type=positive, default=16, help="(%(default)s)")
    options = asked.parse_args(arguments)
    if uneven := [groups for groups in options.groups if options.channels % groups]:
        raise UserError(f"--channels {options.channels} is not so many groups: {uneven[0]}; give a divisor")
    set_up()
    how = options.batch, options.side, options.channels, options.steps, options.blocks
    return report([functools.partial(row, *how, groups) for groups in options.groups], options)


if __name__ == "__main__":
    ended(main)
