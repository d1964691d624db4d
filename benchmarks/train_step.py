"""The training step of experiments: jit and pmap, single and scanned steps, one device and several, by batch size.

    jaxgen bench train_step [CONFIG ...] [--set FIELD=VALUE ...] [--batch 16 64 ...] [--peer nanogpt=FOLDER flax=FOLDER]

Without a CONFIG: configs/FAMILY/digits.py of all five families. Losses and gradient norms over the same first steps
from the same state are compared first, then blocks of `--steps` steps are timed in turn. A device is a core on a CPU.
Compile times are cold: no compiled program is kept. With all five families and PyTorch installed, the RNN without its
dropout runs beside PyTorch too: the same network from the same weights on the same batches.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
import importlib
import importlib.util
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import jax
from chosen import add_experiments, experiment_of, facts_of, names
from peers import Sizes, folders
from results import ended, parser, race, report, set_up
from training import contestant, devices_told, most_devices, training_does

from jaxgen.data.text import Text
from jaxgen.experiment import Experiment
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.transformer.network import Transformer
from jaxgen.running.assembly import assemble
from jaxgen.timing.contest import Refused, Row, uncompared
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Compiler


def experiment_row(changes: Sequence[str], steps: int, blocks: int, config: str, batch: int | None) -> Row:
    """Every way to run the experiment's step here; on several devices as many as the batch divides by."""
    experiment = experiment_of(config, changes, batch)
    loops, does = assemble(experiment).loops, training_does(experiment)
    size = experiment.data.batch_size
    several = most_devices(size)
    ways = [(devices, Compiler.JIT) for devices in dict.fromkeys((1, several))]
    ways += [(several, Compiler.PMAP)] if several > 1 else []
    contestants, notes = [], []
    for devices, compiler in ways:
        for per_call in dict.fromkeys((1, steps if loops else 1)):
            told = "single steps" if per_call == 1 else f"{per_call} steps a call"
            name = f"{devices_told(devices)}, {compiler.value}, {told}"
            contestants.append(contestant(name, experiment, devices, per_call, steps, compiler, does))
    if not loops:
        notes.append("its network has convolutions, whose gradients a CPU runs far slower in a loop: not scanned")
    if several == 1:
        notes.append("there is one device here, so nothing was spread")
    row = race(f"{config}, training step of {size}", contestants, blocks, notes=tuple(notes))
    return replace(row, facts=facts_of(config, changes, experiment))


def beside_torch(steps: int, blocks: int) -> Row:
    """The RNN without dropout, whose draws differ between libraries, beside the same in PyTorch."""
    experiment = experiment_of("rnn/digits", ("task.network.dropout=0", "task.condition_dropout=0"))
    several = most_devices(experiment.data.batch_size)
    ours = [
        contestant(f"jaxgen, {devices_told(count)}, {steps} steps a call", experiment, count, steps, steps)
        for count in dict.fromkeys((1, several))
    ]
    name = "rnn without dropout, training step"
    if reason := _without_torch():
        return race(name, ours, blocks, notes=(reason,))
    import torch_rnn

    peers = torch_rnn.contestants(assemble(experiment), steps)
    return race(name, [*ours, *peers], blocks)


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
        uncompared(contestant(f"jaxgen, {devices_told(count)}, {steps} steps a call", experiment, count, steps, steps))
        for count in dict.fromkeys((1, several))
    ]
    data = experiment.data
    tokens, vocabulary = data.codec("made").encode(data.of("train")[0]), data.spec().made.vocabulary
    contestants = list(ours)
    for name, folder in peer.items():
        module = importlib.import_module({"nanogpt": "nanogpt", "flax": "flax_lm1b"}[name])
        contestants += module.contestants(folder, tokens, vocabulary, sizes, steps)
    note = "the networks are alike in size alone (ours has rotary positions and RMSNorm), so no outputs were compared"
    return race("nanoGPT's CPU sizes, training step", contestants, blocks, notes=(note,))


def _without_torch() -> str | None:
    """Why PyTorch does not take part; None when it does."""
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed here (pip install 'jaxgen[peers]' does it)"
    if jax.default_backend() != "cpu":
        return "PyTorch's side is written for CPUs so far"
    return None


def main(arguments: list[str] | None = None) -> int:
    asked = parser(__doc__, 10, 20)
    add_experiments(asked, sizes=True)
    asked.add_argument("--peer", nargs="+", default=[], help="NAME=FOLDER, a checkout: flax, nanogpt (needs PyTorch)")
    options = asked.parse_args(arguments)
    peer = folders(options.peer)
    set_up()
    how = options.set, options.steps, options.blocks
    rows = [functools.partial(experiment_row, *how, *way) for way in itertools.product(names(options), options.batch)]
    if not options.configs:
        rows.append(functools.partial(beside_torch, options.steps, options.blocks))
    if peer:
        rows.append(functools.partial(beside_transformers, peer, options.steps, options.blocks))
    return report(rows, options)


if __name__ == "__main__":
    ended(main)
