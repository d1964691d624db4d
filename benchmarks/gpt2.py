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
from peers import NANOGPT, Sizes, add_peers, folders, of_checkout, of_torch
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
NEEDED = {"nanogpt": (NANOGPT,)}
SIZES = Sizes(width=768, blocks=12, heads=12, hidden=3072, length=1024, batch=12, rate=6e-4, b2=0.95)


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
        SIZES.width, SIZES.blocks, SIZES.heads, hidden=SIZES.hidden, precision=Precision.BFLOAT16, scan=scan
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


def row(named: Mapping[str, Path], steps: int, blocks: int) -> Row:
    """Both ways of ours and, where its checkout is named, nanoGPT as it is and compiled."""

    def theirs(folder: Path) -> list[Contestant]:
        import nanogpt

        tokens = np.random.default_rng(0).integers(VOCABULARY, size=1_000_000)
        return nanogpt.contestants(folder, tokens, VOCABULARY, SIZES, steps, "bfloat16")

    peers = of_torch(lambda: of_checkout(named, "nanogpt", theirs))
    contestants = [ours(steps, False), ours(steps, True), *peers]
    alike = "the networks are alike in size alone (ours has rotary positions and RMSNorm), so no outputs were compared"
    does = training_does(experiment(scan=False))
    return race("GPT-2 small, training step", contestants, blocks, does=does, notes=(alike,))


def main(arguments: list[str] | None = None) -> int:
    asked = parser(__doc__, 10, 10)
    add_peers(asked, NEEDED)
    options = asked.parse_args(arguments)
    set_up()
    named = folders(options.peer, NEEDED)
    if jax.default_backend() == "cpu":
        raise UserError("GPT-2 small's step takes minutes on a CPU: run this where JAX sees an accelerator")
    return report([functools.partial(row, named, options.steps, options.blocks)], options)


if __name__ == "__main__":
    ended(main)
