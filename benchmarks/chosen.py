"""The experiments that a benchmark is asked for: config files, or all five families' digits."""
# SPDX-License-Identifier: Apache-2.0

import argparse
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import jax
from results import positive

from jaxgen.config.changes import set_fields
from jaxgen.config.document import to_document
from jaxgen.config.reading import load_experiment
from jaxgen.experiment import Experiment
from jaxgen.nn.precision import Precision
from jaxgen.running.assembly import assemble
from jaxgen.running.estimate import shapes_of

IN = {Precision.FLOAT32: "", Precision.BFLOAT16: ", bfloat16"}  # how a row's name tells its precision
FAMILIES = ("rnn", "transformer", "gan", "vae", "diffusion")


def add_experiments(asked: argparse.ArgumentParser, sizes: bool = False) -> None:
    """The arguments that name experiments and change them; with `sizes` also some that try batches of several sizes."""
    digits = "experiment files, or names of those that ship (FAMILY/digits of all five families)"
    asked.add_argument("configs", nargs="*", metavar="CONFIG", help=digits)
    changed = "change fields of all of them: task.network.width=64"
    asked.add_argument("--set", nargs="+", action="extend", default=[], metavar="FIELD=VALUE", help=changed)
    if sizes:
        batch = "batch sizes, a row each (the experiment's own)"
        asked.add_argument("--batch", nargs="+", type=positive, default=[None], metavar="N", help=batch)


def add_precisions(asked: argparse.ArgumentParser) -> None:
    """The argument that names the precisions that are raced in, a row each; see `precisions`."""
    choices = [precision.value for precision in Precision]
    raced = "a row in each: bfloat16 is PyTorch's autocast beside ours (%(default)s)"
    asked.add_argument("--precision", nargs="+", choices=choices, default=[Precision.FLOAT32.value], help=raced)


def precisions(options: argparse.Namespace) -> list[Precision]:
    return [Precision(name) for name in dict.fromkeys(options.precision)]


def names(options: argparse.Namespace, which: str = "digits") -> list[str]:
    """Those that were named, or all five families' of this name."""
    return options.configs or [f"{family}/{which}" for family in FAMILIES]


def experiment_of(config: str, changes: Sequence[str] = (), batch: int | None = None) -> Experiment:
    """UserError where the file or a change is none."""
    sized = () if batch is None else (f"data.batch_size={batch}",)
    return set_fields(load_experiment(config, Experiment), (*changes, *sized))


def facts_of(config: str, changes: Sequence[str], experiment: Experiment, measured: str) -> dict[str, Any]:
    """What a file of results keeps of an experiment: its name, its changes, and the hash of the whole of it."""
    document = json.dumps(to_document(experiment), sort_keys=True)
    digest = hashlib.sha256(document.encode()).hexdigest()[:16]
    facts = {"config": config, "set": list(changes), "config_sha256": digest}
    return facts | series_of(f"{config}, {measured}", experiment)


def series_of(name: str, experiment: Experiment) -> dict[str, Any]:
    """What a row is a point of where batch or parameters are varied: `jaxgen bench plot` joins rows of one series."""
    params = shapes_of(assemble(experiment)).params
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    return {"series": name, "batch": experiment.data.batch_size, "parameters": count}
