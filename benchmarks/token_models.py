"""Training steps over tokens beside PyTorch and Flax: a recurrent network, a decoder, an encoder with a decoder.

    jaxgen bench token_models [--only rnn gpt translator] [--precision float32 bfloat16]
        [--peer nanogpt=FOLDER flax=FOLDER]

PyTorch's networks are ours written plainly in PyTorch: the same weights, batches, optimiser and schedule. Losses and
gradient norms over the first steps are compared before anything is timed. The networks of
nanoGPT, of transformers (GPT-2, BART) and of Flax (lm1b, wmt) are alike in size alone, ours having rotary positions and
RMSNorm, so that nothing of them is compared; a checkout of nanoGPT and of Flax is named by the user.

rnn         the LSTM of configs/rnn/digits.py without dropout, whose draws differ between libraries
gpt         nanoGPT's sizes for a CPU: 4 blocks of width 128, 12 rows of 64 tokens
translator  the sizes of configs/transformer/multi30k.py: 4 blocks of width 128 a side, 4,000 tokens, 64 pairs of
            sentences padded to 32, label smoothing, AdamW
"""
# SPDX-License-Identifier: Apache-2.0

import functools
import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from chosen import IN, add_precisions, experiment_of, precisions
from peers import LM1B, NANOGPT, WMT, Sizes, add_peers, folders, of_checkout, of_torch, of_transformers
from pytorch_ways import torch_contestants
from random_tokens import RandomPairs, RandomRows
from results import ended, parser, race, report, set_up
from training import ours, training_does

from jaxgen.experiment import Experiment
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.sequence_to_sequence import SequenceToSequence
from jaxgen.families.transformer.encoder_decoder import TransformerEncoderDecoder
from jaxgen.families.transformer.network import Transformer
from jaxgen.nn.precision import Precision
from jaxgen.running.assembly import assemble
from jaxgen.timing.contest import Absent, Contestant, Row
from jaxgen.training.optimisers import AdamW

PEERS = ("nanogpt", "flax")
GPT, VOCABULARY = Sizes(), 96
PAIRS, PAIR_VOCABULARY = Sizes(hidden=256, length=32, batch=64, b2=0.98, decay=0.0), 4000
TOLERANCE = {Precision.FLOAT32: 1e-4, Precision.BFLOAT16: 2e-2}
Named = Mapping[str, Path]


def rnn(precision: Precision) -> Experiment:
    settings = "task.network.dropout=0", "task.condition_dropout=0", f"task.network.precision={precision.name}"
    return experiment_of("rnn/digits", settings)


def gpt(precision: Precision) -> Experiment:
    network = Transformer(GPT.width, GPT.blocks, GPT.heads, GPT.hidden, precision=precision)
    data = RandomRows(GPT.batch, GPT.length, VOCABULARY)
    return Experiment(LanguageModel(network), data, {"likelihood": adam(GPT)}, steps=1000)


def translator(precision: Precision) -> Experiment:
    blocks = PAIRS.blocks, PAIRS.blocks, PAIRS.heads, PAIRS.hidden
    network = TransformerEncoderDecoder(PAIRS.width, *blocks, dropout=0.0, precision=precision)
    data = RandomPairs(PAIRS.batch, PAIRS.length, PAIR_VOCABULARY)
    return Experiment(SequenceToSequence(network), data, {"likelihood": adam(PAIRS)}, steps=1000)


def adam(sizes: Sizes) -> AdamW:
    return AdamW(sizes.rate, b2=sizes.b2, weight_decay=sizes.decay, clip=sizes.clip)


def torchs(experiment: Experiment, precision: Precision, steps: int) -> Iterable[Contestant | Absent]:
    """PyTorch's ways to take the same steps."""

    def made(compiled: bool) -> tuple:
        import torch_transformers

        training = torch_transformers.steps(assemble(experiment), compiled, precision.value)
        return training.step, training.results

    return torch_contestants(made, steps, precision=precision.value, small=False)


def rnn_row(precision: Precision, named: Named, steps: int, blocks: int) -> Row:
    experiment = rnn(precision)

    def made(compiled: bool) -> tuple:
        import torch_rnn

        training = torch_rnn.steps(assemble(experiment), compiled, precision.value)
        return training.step, training.results

    theirs = torch_contestants(made, steps, precision=precision.value)
    contestants = [*ours(experiment, steps, precision=precision), *theirs]
    does, name = training_does(experiment), f"rnn without dropout, training step{IN[precision]}"
    return race(name, contestants, blocks, TOLERANCE[precision], does)


def alike(contestants: Iterable[Contestant | Absent]) -> tuple[str, ...]:
    """What must be said where another project's network takes part."""
    names = [one.name for one in contestants if isinstance(one, Contestant)]
    note = "other projects' networks are alike in size alone (ours has rotary positions and RMSNorm): not compared"
    return (note,) if any(not name.startswith(("jaxgen", "PyTorch")) for name in names) else ()


def gpt_row(precision: Precision, named: Named, steps: int, blocks: int) -> Row:
    """Beside nanoGPT, transformers' GPT-2 and Flax's lm1b too."""
    experiment = gpt(precision)
    rows = experiment.data.arrays()["made"]["value"]
    how = VOCABULARY, GPT, steps, precision.value

    def nanogpts(folder: Path) -> list[Contestant]:
        import nanogpt

        return nanogpt.contestants(folder, rows.flatten(), *how)

    def flaxes(folder: Path) -> list[Contestant]:
        import flax_transformers

        return flax_transformers.lm1b(folder, rows[:, 1:], *how)

    def gpt2s() -> Iterable[Contestant]:
        import hugging_face

        return hugging_face.gpt2(rows, *how)

    contestants = [
        *ours(experiment, steps, precision=precision),
        *torchs(experiment, precision, steps),
        *of_torch(lambda: of_checkout(named, "nanogpt", nanogpts)),
        *of_transformers(gpt2s),
        *of_checkout(named, "flax", flaxes),
    ]
    does, name = training_does(experiment), f"nanoGPT's CPU sizes, training step{IN[precision]}"
    return race(name, contestants, blocks, TOLERANCE[precision], does, notes=alike(contestants))


def translator_row(precision: Precision, named: Named, steps: int, blocks: int) -> Row:
    """Beside transformers' BART and Flax's wmt too."""
    experiment = translator(precision)
    arrays = experiment.data.arrays()
    given, made = arrays["given"]["source"], arrays["made"]
    source, target = np.where(given["mask"], given["value"], -1), np.where(made["mask"], made["value"][:, 1:], -1)

    def barts() -> Iterable[Contestant]:
        import hugging_face

        begun = np.concatenate([made["value"][:, :1], target], axis=1)
        smoothing = experiment.task.label_smoothing
        return hugging_face.bart((source, begun), PAIR_VOCABULARY, PAIRS, smoothing, steps, precision.value)

    def flaxes(folder: Path) -> list[Contestant]:
        import flax_transformers

        return flax_transformers.wmt(folder, (source, target), PAIR_VOCABULARY, PAIRS, steps, precision.value)

    contestants = [
        *ours(experiment, steps, precision=precision),
        *torchs(experiment, precision, steps),
        *of_transformers(barts),
        *of_checkout(named, "flax", flaxes),
    ]
    does, name = training_does(experiment), f"encoder with decoder, training step{IN[precision]}"
    return race(name, contestants, blocks, TOLERANCE[precision], does, notes=alike(contestants))


ROWS = {"rnn": (rnn_row, ()), "gpt": (gpt_row, (LM1B,)), "translator": (translator_row, (WMT,))}


def main(arguments: list[str] | None = None) -> int:
    asked = parser(__doc__, 10, 20)
    asked.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), help="which rows (all)")
    add_precisions(asked)
    add_peers(asked, PEERS)
    options = asked.parse_args(arguments)
    used = tuple(file for name in options.only for file in ROWS[name][1])
    named = folders(options.peer, {"nanogpt": (NANOGPT,), "flax": used})
    set_up()
    rows = itertools.product(options.only, precisions(options))
    how = named, options.steps, options.blocks
    return report([functools.partial(ROWS[name][0], precision, *how) for name, precision in rows], options)


if __name__ == "__main__":
    ended(main)
