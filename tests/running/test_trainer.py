"""Nothing is compiled twice, and what a finished run holds can be read back."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json

import jax
import pytest

from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.data.residence import Residence
from jaxgen.experiment import Experiment
from jaxgen.running.train_run import train_run
from jaxgen.training.parallel import Compiler, Parallel
from tests.commands.command import ROOT, SMALL

EVERY = ["every.log=4", "every.evaluate=8", "every.sample=8", "every.checkpoint=8"]
SHORT = ["steps=32", "steps_per_call=4", "data.batch_size=16", "start=none", *EVERY]
QUICK = [(f"configs/{name}.py", Compiler.JIT) for name in ("rnn/digits", "gan/digits", "rnn/digits_reward")]
QUICK.append(("configs/rnn/digits.py", Compiler.PMAP))
RUNS = [
    pytest.param(
        config,
        compiler,
        id=f"{config.removesuffix('.py')}-{compiler.value}",
        marks=[] if (config, compiler) in QUICK else pytest.mark.slow,
    )
    for config in sorted(SMALL)
    for compiler in Compiler
]


def small(config: str, compiler: Compiler) -> Experiment:
    experiment = set_fields(load_experiment(ROOT / config, Experiment), [*SMALL[config], *SHORT])
    return dataclasses.replace(experiment, parallel=Parallel(compiler=compiler, data=2))


def numbers(line: dict) -> dict[str, float]:
    """A line of metrics without its split's name, which stands in the figures' names instead."""
    return {f"{line['split']}/{name}": value for name, value in line.items() if name != "split"}


@pytest.mark.parametrize(("config", "compiler"), RUNS)
def test_nothing_is_compiled_after_the_first_round(config, compiler, tmp_path):
    """Counted by JAX itself: once training, evaluation, sampling and saving have each happened, no program is added."""
    compiled, counts = [], []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: compiled.append(name) if name.endswith("backend_compile_duration") else None
    )
    experiment = small(config, compiler)
    assert train_run(experiment, tmp_path / "run", lambda: counts.append(len(compiled)) or False) == experiment.steps
    jax.monitoring.clear_event_listeners()
    calls_a_round = len(counts) * 8 // experiment.steps
    assert counts[0] > 0
    assert counts[2 * calls_a_round - 1 :] == counts[2 * calls_a_round - 1 : 2 * calls_a_round] * (
        len(counts) - 2 * calls_a_round + 1
    )


def test_pmap_and_jit_write_the_same_metrics(tmp_path):
    """Law 2 through the whole house: same data, same noise, the same numbers within rounding."""
    config, lines = "configs/rnn/digits.py", {}
    for compiler in Compiler:
        train_run(small(config, compiler), tmp_path / compiler.value, lambda: False)
        text = (tmp_path / compiler.value / "metrics.jsonl").read_text()
        lines[compiler] = [json.loads(line) for line in text.splitlines()]
    for ours, theirs in zip(lines[Compiler.JIT], lines[Compiler.PMAP], strict=True):
        assert numbers(theirs) == pytest.approx(numbers(ours), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("compiler", list(Compiler), ids=lambda compiler: compiler.value)
def test_a_set_streamed_from_the_host_trains_as_one_on_the_device(compiler, tmp_path):
    texts = []
    for residence in (Residence.DEVICE, Residence.HOST):
        experiment = small("configs/rnn/digits.py", compiler)
        experiment = dataclasses.replace(experiment, data=dataclasses.replace(experiment.data, residence=residence))
        train_run(experiment, tmp_path / residence.value, lambda: False)
        lines = (tmp_path / residence.value / "metrics.jsonl").read_text().splitlines()
        texts.append([json.loads(line) for line in lines])
    for device, host in zip(*texts, strict=True):
        assert numbers(host) == pytest.approx(numbers(device), rel=1e-5, abs=1e-7)
