"""The training step of each family as its configs/FAMILY/digits.py has it: single and scanned, one device and several.

    python benchmarks/train_step.py [--family rnn ...] [--steps 20] [--blocks 10] [--peer nanogpt=FOLDER flax=FOLDER]

Each family's losses and gradient norms over the same first steps from the same state are compared first, then blocks of
`--steps` steps are timed in turn. A device is a core on a CPU. Compile times are cold: no compiled program is kept.
The RNN without its dropout runs beside PyTorch too, where that is installed: the same network from the same weights on
the same batches.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
import functools
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import jax
from harness import Contestant, Refused, Row, contest, report
from peers import Sizes, folders
from training import FAMILIES, contestant, devices_told, digits, most_devices

from jaxgen.data.text import Text
from jaxgen.environment import set_up_jax
from jaxgen.errors import UserError
from jaxgen.experiment import Experiment
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.transformer.network import Transformer
from jaxgen.running.assembly import assemble
from jaxgen.training.optimisers import AdamW


def family_row(family: str, steps: int, blocks: int) -> Row:
    """Single and scanned steps, on one device and on as many as the machine has and the batch divides by."""
    experiment = digits(family)
    assembly = assemble(experiment)
    several = most_devices(experiment.data.batch_size)
    contestants, notes = [], []
    for devices in dict.fromkeys((1, several)):
        where = devices_told(devices)
        contestants.append(contestant(f"{where}, single steps", experiment, devices, 1, steps))
        if assembly.loops:
            contestants.append(contestant(f"{where}, {steps} steps a call", experiment, devices, steps, steps))
    if not assembly.loops:
        notes.append("its network has convolutions, whose gradients a CPU runs far slower in a loop: not scanned")
    if several == 1:
        notes.append("there is one device here, so nothing was spread")
    return contest(f"{family}, training step", contestants, blocks, notes=tuple(notes))


def beside_torch(steps: int, blocks: int) -> Row:
    """The RNN without dropout, whose draws differ between libraries, beside the same in PyTorch."""
    experiment = digits("rnn", ("task.network.dropout=0", "task.condition_dropout=0"))
    several = most_devices(experiment.data.batch_size)
    ours = [
        contestant(f"jaxgen, {devices_told(count)}, {steps} steps a call", experiment, count, steps, steps)
        for count in dict.fromkeys((1, several))
    ]
    name = "rnn without dropout, training step"
    if reason := _without_torch():
        return contest(name, ours, blocks, notes=(reason,))
    import torch_rnn

    peers = torch_rnn.contestants(assemble(experiment), steps)
    return contest(name, [*ours, *peers], blocks)


def beside_transformers(peer: Mapping[str, Path], steps: int, blocks: int) -> Row:
    """Our Transformer beside its peers on the same text, at the same sizes: alike networks, not the same."""
    reason, sizes = _without_torch(), Sizes()
    if "nanogpt" in peer and reason:
        raise Refused(f"nanoGPT was not timed: {reason}")
    experiment = Experiment(
        task=LanguageModel(Transformer(sizes.width, sizes.blocks, sizes.heads, hidden=4 * sizes.width)),
        data=Text(batch_size=sizes.batch, length=sizes.length),
        optimisers={"likelihood": AdamW(sizes.rate, b2=sizes.b2, weight_decay=sizes.decay, clip=sizes.clip)},
        steps=1000,
    )
    several = most_devices(sizes.batch)
    ours = [
        _uncompared(contestant(f"jaxgen, {devices_told(count)}, {steps} steps a call", experiment, count, steps, steps))
        for count in dict.fromkeys((1, several))
    ]
    data = experiment.data
    tokens, vocabulary = data.codec("made").encode(data.of("train")[0]), data.spec().made.vocabulary
    contestants = list(ours)
    for name, folder in peer.items():
        module = importlib.import_module({"nanogpt": "nanogpt", "flax": "flax_lm1b"}[name])
        contestants += module.contestants(folder, tokens, vocabulary, sizes, steps)
    note = "the networks are alike in size alone (ours has rotary positions and RMSNorm), so no outputs were compared"
    return contest("nanoGPT's CPU sizes, training step", contestants, blocks, notes=(note,))


def _without_torch() -> str | None:
    """Why PyTorch does not take part; None when it does."""
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed here (pip install 'jaxgen[peers]' does it)"
    if jax.default_backend() != "cpu":
        return "PyTorch's side is written for CPUs so far"
    return None


def _uncompared(one: Contestant) -> Contestant:
    return replace(one, prepare=lambda compiling: replace(one.prepare(compiling), results={}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", nargs="+", choices=FAMILIES, default=FAMILIES, help="these alone (all five)")
    parser.add_argument("--steps", type=int, default=20, help="steps a block, and a call where scanned (%(default)s)")
    parser.add_argument("--blocks", type=int, default=10, help="timed blocks of each contestant (%(default)s)")
    parser.add_argument("--peer", nargs="+", default=[], help="NAME=FOLDER, a checkout: flax, nanogpt (needs PyTorch)")
    options = parser.parse_args()
    try:
        peer = folders(options.peer)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    set_up_jax()
    jax.config.update("jax_enable_compilation_cache", False)
    rows = [functools.partial(family_row, family, options.steps, options.blocks) for family in options.family]
    if "rnn" in options.family:
        rows.append(functools.partial(beside_torch, options.steps, options.blocks))
    if peer:
        rows.append(functools.partial(beside_transformers, peer, options.steps, options.blocks))
    return report(rows)


if __name__ == "__main__":
    sys.exit(main())
