"""How a run's figures are taken: its task's own on a split, and for pictures the honest measures of its samples."""
# SPDX-License-Identifier: Apache-2.0

import time
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from jaxgen.core.task import Likelihood
from jaxgen.errors import UserError
from jaxgen.metrics.diversity import diversity
from jaxgen.metrics.features import load
from jaxgen.metrics.pictures import picture_measures, reference_rows
from jaxgen.rewards.reference import at_start
from jaxgen.running.trained import Trained, read_experiment
from jaxgen.training.evaluation import finish, make_evaluation, make_sampler

_DRAWS = 4  # sample sets, each as large as the held-out one
_REWARDED = 512  # samples that a reward is measured on
_MEASURED = 2000  # pictures of a large held-out set that samples are measured against
REFERENCE_NAMES = {"real": "real digits", "histogram": "per-class pixel histogram"}


def figures_of(trained: Trained, split: str) -> dict[str, float | str]:
    """Every figure of a run on a split, under names that carry their unit."""
    assembly = trained.assembly
    batches = jax.device_put(assembly.experiment.data.evaluation(split))
    sums = make_evaluation(assembly.task)(trained.variables, batches, jax.random.fold_in(assembly.key, 3))
    figures = finish(assembly.task, sums)
    if isinstance(assembly.task, Likelihood):
        figures["bound"] = assembly.task.bound
    if assembly.experiment.rewards is not None:
        return figures | _reward_figures(trained, split)
    return figures | _picture_figures(trained, split) if assembly.spec.image else figures


def _reward_figures(trained: Trained, split: str) -> dict[str, float]:
    """The reward before and after, the distance from the start, and for pictures how various they still are."""
    assembly = trained.assembly
    rewards, source, size = assembly.experiment.rewards, assembly.source, assembly.game.batch_size
    state = {**trained.source, "key": jax.random.fold_in(assembly.key, 6)}  # other noise than in training
    draw = jax.jit(lambda variables, number: source.next(state, variables, number, np.arange(size))[0])
    figures = {}
    start = at_start(trained.source, trained.variables)
    for suffix, variables in (("_at_start", start), ("", trained.variables)):
        batches = [draw(variables, np.int32(number)) for number in range(-(-_REWARDED // size))]
        for name in ("reward", rewards.distance):
            figures[name + suffix] = float(np.mean([batch[name] for batch in batches]))
    del figures[f"{rewards.distance}_at_start"]  # none, by its definition
    net = load(assembly.experiment.data.name) if assembly.spec.image else None
    if net is not None:
        sample = make_sampler(assembly.sample, _REWARDED)
        drawn = np.asarray(sample(trained.variables, {}, jax.random.fold_in(assembly.key, 5))["image"])
        real = assembly.experiment.data.arrays(split)
        seen = net.probabilities(drawn).argmax(axis=1)
        figures["diversity"] = diversity(net.features(drawn), seen, net.features(real["image"]), real["label"])
    return figures


def _picture_figures(trained: Trained, split: str) -> dict[str, float]:
    """The measures of `_DRAWS` sets of samples under the split's own labels, and how fast samples come."""
    assembly = trained.assembly
    arrays = assembly.experiment.data.arrays(split)
    reference = arrays["image"][:_MEASURED]
    given = {"label": arrays["label"][:_MEASURED]} if assembly.spec.classes else {}
    sampler = make_sampler(assembly.sample, len(reference))
    drawn, seconds = [], []
    for draw in range(_DRAWS + 1):
        began = time.perf_counter()
        key = jax.random.fold_in(jax.random.fold_in(assembly.key, 5), draw)
        drawn.append(np.asarray(sampler(trained.variables, given, key)["image"]))
        seconds.append(time.perf_counter() - began)
    images = np.concatenate(drawn[1:])  # the first call compiled
    labels = np.tile(given["label"], _DRAWS) if given else None
    net = load(assembly.experiment.data.name)
    measures = picture_measures(images, labels, reference, net, assembly.spec.levels)
    return measures | {"samples_per_second": len(reference) / float(np.median(seconds[1:]))}


def references_of(workdirs: Sequence[Path]) -> dict[str, dict[str, float]]:
    """The reference rows of the first run whose samples are pictures; none where no run draws pictures."""
    for workdir in workdirs:
        try:
            data = read_experiment(workdir, None).data
        except UserError:
            continue  # a run of the user's own classes, or none any more, is reported without reference rows
        if data.spec().image is not None and data.spec().classes:
            train, test = data.arrays("train"), data.arrays("test")
            held_out = {name: array[:_MEASURED] for name, array in test.items()}
            net, levels = load(data.name), data.spec().levels
            rows = reference_rows(
                train["image"], train["label"], held_out["image"], held_out["label"], net, seed=0, levels=levels
            )
            return {REFERENCE_NAMES[name]: _as_a_run(row) for name, row in rows.items()}
    return {}


def _as_a_run(row: dict[str, float]) -> dict[str, float]:
    """A reference row under the names of a run's figures: the models know the class, and so does its likelihood."""
    given_class = row.get("bits_per_dim[given class]")
    return row if given_class is None else row | {"bits_per_dim": given_class}
