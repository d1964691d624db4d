"""Log-mel features of a batch of waves: jaxgen's, compiled, beside PyTorch's Fourier transform and product.

    python benchmarks/log_mel.py [--waves 32] [--seconds 10] [--steps 5] [--blocks 10]

Both hear the same waves at 16 kHz through the same filters: windows of 25 ms every 10 ms, 512 points, 80 mels, ln. The
features are compared before anything is timed. The waves are where the features are made, and PyTorch runs as it is
written, on one core and on all.
"""
# SPDX-License-Identifier: Apache-2.0

import functools

import jax
import jax.numpy as jnp
import numpy as np
from pytorch_ways import torch_contestants
from results import ended, parser, race, report, set_up

from jaxgen.nn.sound import LogMel
from jaxgen.timing.contest import Contestant, Row, Work

HEARD = LogMel()


def ours(waves: np.ndarray, steps: int) -> Contestant:
    """The features and the frames' mask, one program a batch."""

    def prepare(compiling) -> Work:
        wave, length = jnp.asarray(waves), jnp.full(len(waves), waves.shape[1])
        with compiling():
            program = jax.jit(HEARD.__call__).lower(wave, length).compile()

        def block():
            return [program(wave, length) for _ in range(steps)]

        return Work(block, steps, {"features": program(wave, length).features})

    return Contestant("jaxgen", prepare)


def torch_features(waves: np.ndarray, compiled: bool) -> tuple:
    """torch.stft, its power, the product with the filters, the logarithm: a step and its beginning."""
    import torch

    wave = torch.from_numpy(waves)
    window = torch.hann_window(HEARD.samples)
    filters = torch.tensor(HEARD.filters)
    aside = (HEARD.points - HEARD.samples) // 2  # torch lays the window in the middle of the points
    how = HEARD.points, HEARD.step, HEARD.samples, window

    def once() -> dict:
        with torch.inference_mode():
            padded = torch.nn.functional.pad(wave, (aside, aside))
            spectrum = torch.stft(padded, *how, center=False, return_complex=True)
            power = spectrum.real**2 + spectrum.imag**2  # [B, K, F]
            features = torch.log(torch.clamp(filters @ power, min=HEARD.floor)).transpose(1, 2)
        return {"features": features.numpy()}

    return once, once


def row(count: int, seconds: float, steps: int, blocks: int) -> Row:
    waves = (0.1 * np.random.default_rng(0).standard_normal((count, round(seconds * HEARD.rate)))).astype(np.float32)
    theirs = torch_contestants(functools.partial(torch_features, waves), steps, compiles=False)
    return race(f"log-mel, {count} waves of {seconds:g} s", [ours(waves, steps), *theirs], blocks)


def main(arguments: list[str] | None = None) -> int:
    asked = parser(__doc__, 10, 5)
    asked.add_argument("--waves", type=int, default=32, help="in a batch (%(default)s)")
    asked.add_argument("--seconds", type=float, default=10.0, help="of each (%(default)s)")
    options = asked.parse_args(arguments)
    set_up()
    return report([functools.partial(row, options.waves, options.seconds, options.steps, options.blocks)], options)


if __name__ == "__main__":
    ended(main)
