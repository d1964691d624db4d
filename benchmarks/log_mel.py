"""Log-mel features of a batch of waves: jaxgen's, compiled, beside PyTorch's Fourier transform and product.

    python benchmarks/log_mel.py [--waves 32] [--seconds 10] [--steps 5] [--blocks 10]

Both hear the same waves at 16 kHz through the same filters: windows of 25 ms every 10 ms, 512 points, 80 mels, ln. The
features are compared before anything is timed. The waves are where the features are made, and PyTorch runs as it is
written, on one core and on all; without PyTorch jaxgen is timed alone.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
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


def torchs(waves: np.ndarray, steps: int, threads: int) -> Contestant:
    """torch.stft, its power, the product with the filters, the logarithm."""
    import torch

    def prepare(compiling) -> Work:
        wave = torch.from_numpy(waves)
        window = torch.hann_window(HEARD.samples)
        filters = torch.tensor(HEARD.filters)
        aside = (HEARD.points - HEARD.samples) // 2  # torch lays the window in the middle of the points

        def features():
            padded = torch.nn.functional.pad(wave, (aside, aside))
            spectrum = torch.stft(
                padded, HEARD.points, HEARD.step, HEARD.samples, window, center=False, return_complex=True
            )
            power = spectrum.real**2 + spectrum.imag**2  # [B, K, F]
            return torch.log(torch.clamp(filters @ power, min=HEARD.floor)).transpose(1, 2)

        def block():
            torch.set_num_threads(threads)
            with torch.inference_mode():
                for _ in range(steps):
                    features()

        return Work(block, steps, {"features": features().numpy()})

    where = "1 thread" if threads == 1 else f"{threads} threads"
    return Contestant(f"PyTorch {torch.__version__}, {where}", prepare)


def row(count: int, seconds: float, steps: int, blocks: int) -> Row:
    waves = (0.1 * np.random.default_rng(0).standard_normal((count, round(seconds * HEARD.rate)))).astype(np.float32)
    contestants, notes = [ours(waves, steps)], ()
    if importlib.util.find_spec("torch") is None:
        notes = ("PyTorch is not installed here (pip install 'jaxgen[peers]' does it)",)
    elif jax.default_backend() != "cpu":
        notes = ("PyTorch's side is written for CPUs so far",)
    else:
        import torch

        contestants += [torchs(waves, steps, threads) for threads in dict.fromkeys((1, torch.get_num_threads()))]
    return race(f"log-mel, {count} waves of {seconds:g} s", contestants, blocks, notes=notes)


def main(arguments: list[str] | None = None) -> int:
    asked = parser(__doc__, 10, 5)
    asked.add_argument("--waves", type=int, default=32, help="in a batch (%(default)s)")
    asked.add_argument("--seconds", type=float, default=10.0, help="of each (%(default)s)")
    options = asked.parse_args(arguments)
    set_up()
    return report([functools.partial(row, options.waves, options.seconds, options.steps, options.blocks)], options)


if __name__ == "__main__":
    ended(main)
