"""GPT-2 small's training step on one GPU in bfloat16: our Transformer, beside nanoGPT where a checkout is named.

    export XLA_PYTHON_CLIENT_PREALLOCATE=false XLA_FLAGS=--xla_gpu_exclude_nondeterministic_ops=false
    python benchmarks/gpt2.py [--peer nanogpt=FOLDER] [--steps 10] [--blocks 10]

Both have 12 blocks of width 768, 12 heads, 50,304 tokens (random ones), 12 rows of 1,024, AdamW and no dropout. Each
line's share of the card's peak counts 6 operations a parameter and token and causal attention once (arXiv 2204.02311,
appendix B), over what a product of two 8,192-wide matrices reaches on the spot. Without the first line JAX leaves
PyTorch a quarter of the memory, and attention is not fused, for its gradient has no fixed order.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import numpy as np
from peers import Sizes, folders
from results import ended, parser, race, report, set_up
from training import contestant, training_does

from jaxgen.data.text import Text
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.transformer.network import Transformer
from jaxgen.nn.precision import Precision
from jaxgen.timing.contest import Contestant, Row, uncompared
from jaxgen.training.optimisers import AdamW
from jaxgen.types import Framing, Spec, Tokens, Unit

VOCABULARY = 50_304  # GPT-2's 50,257, rounded up to a multiple of 64 as nanoGPT does
SIZES = Sizes(width=768, blocks=12, heads=12, length=1024, batch=12, rate=6e-4, b2=0.95)


@dataclass(frozen=True)
class RandomTokens(Text):
    """Tokens drawn evenly: what they say changes nothing of a step's time."""

    def spec(self) -> Spec:
        return Spec(Tokens(self.length, VOCABULARY, Unit.SUBWORD, Framing.STREAM))

    def _encoded(self, split: str) -> list[np.ndarray]:
        return [np.random.default_rng(0).integers(VOCABULARY, size=1_000_000).astype(np.int32)]


def experiment(scan: bool) -> Experiment:
    """Our network, its blocks compiled one by one or as one in a loop."""
    network = Transformer(
        SIZES.width, SIZES.blocks, SIZES.heads, hidden=4 * SIZES.width, precision=Precision.BFLOAT16, scan=scan
    )
    return Experiment(
        task=LanguageModel(network),
        data=RandomTokens(batch_size=SIZES.batch, length=SIZES.length),
        optimisers={"likelihood": AdamW(SIZES.rate, b2=SIZES.b2, weight_decay=SIZES.decay, clip=SIZES.clip)},
        steps=1000,
    )


def ours(steps: int, scan: bool) -> Contestant:
    name = f"jaxgen, blocks {'scanned' if scan else 'one by one'}, {steps} steps a call"
    return replace(uncompared(contestant(name, experiment(scan), 1, steps, steps)), precision="bfloat16")


def row(peer: Mapping[str, Path], steps: int, blocks: int) -> Row:
    """Both ways of ours and, where its checkout is named, nanoGPT as it is and compiled."""
    contestants = [ours(steps, False), ours(steps, True)]
    if "nanogpt" in peer:
        import nanogpt

        tokens = np.random.default_rng(0).integers(VOCABULARY, size=1_000_000)
        contestants += nanogpt.contestants(peer["nanogpt"], tokens, VOCABULARY, SIZES, steps)
    alike = "the networks are alike in size alone (ours has rotary positions and RMSNorm), so no outputs were compared"
    done = race("GPT-2 small, training step", contestants, blocks, notes=(alike,))
    does = training_does(experiment(scan=False))  # what any of them has to do
    return replace(done, lines=tuple(replace(line, does=does) for line in done.lines))


def main(arguments: list[str] | None = None) -> int:
    asked = parser(__doc__, 10, 10)
    asked.add_argument("--peer", nargs="+", default=[], help="nanogpt=FOLDER, a checkout of it (needs PyTorch)")
    options = asked.parse_args(arguments)
    set_up()
    peer = folders(options.peer)
    if jax.default_backend() == "cpu":
        raise UserError("GPT-2 small's step takes minutes on a CPU: run this where JAX sees an accelerator")
    return report([functools.partial(row, peer, options.steps, options.blocks)], options)


if __name__ == "__main__":
    ended(main)
