"""How a run's figures are taken: its task's own on a split, and for pictures the honest measures of its samples."""
# SPDX-License-Identifier: Apache-2.0

import time
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.core.task import Likelihood
from jaxgen.errors import UserError
from jaxgen.metrics.diversity import diversity
from jaxgen.metrics.features import load
from jaxgen.metrics.sample_quality import picture_measures, reference_rows
from jaxgen.rewards.reference import State, at_start
from jaxgen.rewards.tuned import Samples
from jaxgen.running.measuring import Measuring
from jaxgen.running.trained import Trained, read_experiment
from jaxgen.training.evaluation import finish, make_sampler
from jaxgen.types import Batch, Variables

_DRAWS = 4  # sample sets, each as large as the held-out one
_REWARDED = 512  # samples that a reward is measured on
_MEASURED = 2000  # pictures of a large held-out set that samples are measured against
REFERENCE_NAMES = {"real": "real digits", "histogram": "per-class pixel histogram"}


def figures_of(trained: Trained, split: str) -> dict[str, float | str]:
    """Every figure of a run on a split, under names that carry their unit."""
    assembly = trained.assembly
    sums = Measuring(assembly, split)(assembly.devices.put_evaluated(trained.variables))
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

    @jax.jit
    def draw(source: Samples, state: State, variables: Variables, number: jax.Array) -> Batch:
        batch, _ = source.next(state, variables, number, jnp.arange(size))
        return {name: batch[name] for name in ("reward", rewards.distance, "example")}

    def drawn(variables: Variables) -> Batch:
        numbers = range(-(-_REWARDED // size))
        batches = [jax.device_get(draw(source, state, variables, np.int32(number))) for number in numbers]
        return jax.tree.map(lambda *arrays: np.concatenate(arrays), *batches)

    before, after = drawn(at_start(trained.source, trained.variables)), drawn(trained.variables)
    figures = {name: float(after[name].mean()) for name in ("reward", rewards.distance)}
    figures["reward_at_start"] = float(before["reward"].mean())
    net = load(assembly.experiment.data.name) if assembly.spec.image else None
    if net is not None:
        image, real = after["example"]["image"], assembly.experiment.data.first(split, _MEASURED)
        seen = net.probabilities(image).argmax(axis=1)
        figures["diversity"] = diversity(net.features(image), seen, net.features(real["image"]), real["label"])
    return figures


def _picture_figures(trained: Trained, split: str) -> dict[str, float]:
    """The measures of `_DRAWS` sets of samples under the split's own labels, and how fast samples come."""
    assembly = trained.assembly
    held_out = assembly.experiment.data.first(split, _MEASURED)
    reference = held_out["image"]
    given = {"label": held_out["label"]} if assembly.spec.classes else {}
    keys = [jax.random.fold_in(jax.random.fold_in(assembly.key, 5), draw) for draw in range(1, _DRAWS + 1)]
    sampler = make_sampler(assembly.sample, len(reference)).lower(trained.variables, given, keys[0]).compile()
    drawn, seconds = [], []
    for key in keys:
        began = time.perf_counter()
        drawn.append(np.asarray(sampler(trained.variables, given, key)["image"]))
        seconds.append(time.perf_counter() - began)
    images = np.concatenate(drawn)
    labels = np.tile(given["label"], _DRAWS) if given else None
    net = load(assembly.experiment.data.name)
    measures = picture_measures(images, labels, reference, net, assembly.spec.levels)
    return measures | {"samples_per_second": len(reference) / float(np.median(seconds))}


def references_of(workdirs: Sequence[Path]) -> dict[str, dict[str, float]]:
    """The reference rows of the first run whose samples are pictures; none where no run draws pictures."""
    for workdir in workdirs:
        try:
            data = read_experiment(workdir, None).data
        except UserError:
            continue  # a run of the user's own classes, or none any more, is reported without reference rows
        if data.spec().image is not None and data.spec().classes:
            train, held_out = data.arrays("train"), data.first("test", _MEASURED)
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
