"""Scores of many examples are those of each alone, by one program for a shape: counted by JAX itself."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgen.commands.score import score
from jaxgen.data.pictures import Pictures
from jaxgen.errors import UserError
from jaxgen.experiment import Every, Experiment
from jaxgen.ops.rows import normal
from jaxgen.running.assembly import assemble
from jaxgen.running.bounded import Evaluation, Sampling
from jaxgen.running.scoring import Scoring
from jaxgen.running.train_run import train_run
from jaxgen.running.trained import Trained
from jaxgen.training.optimisers import AdamW
from tests.worlds import Histogram


@dataclass(frozen=True)
class Noisy(Histogram):
    """A likelihood with noise of each row's own, and a critic beside it."""

    def log_prob(self, variables, batch, key):
        return super().log_prob(variables, batch, key) + normal(key, batch["row"], ())

    def probability(self, variables, batch):
        return jax.nn.sigmoid(jnp.mean(batch["made"]["value"].astype(jnp.float32), axis=(1, 2, 3)) - 5)


@contextlib.contextmanager
def compilations():
    """The programs that XLA compiles while this is open."""
    compiled: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: compiled.append(name) if name.endswith("backend_compile_duration") else None
    )
    yield compiled
    jax.monitoring.clear_event_listeners()


def numbers(figures: dict) -> dict[str, float]:
    return {name: value for name, value in figures.items() if isinstance(value, float)}


@pytest.fixture(scope="module")
def trained():
    assembly = assemble(Experiment(Noisy(), Pictures(batch_size=40), {"histogram": AdamW()}, 1))
    return Trained(Path(), assembly, assembly.task.init(jax.random.key(0)), None, 0)


def alone(number: int, side: int = 8) -> dict:
    """A batch of one, as a command reads it."""
    value = np.random.default_rng(number).integers(0, 17, (1, side, side, 1), np.uint8)
    return {"row": np.zeros(1, np.int32), "given": {}, "made": {"value": value}}


def test_twenty_pictures_and_more_take_one_program_and_have_the_figures_of_each_alone(trained):
    with compilations() as compiled:
        found = list(Scoring(trained)((number, alone(number)) for number in range(150)))
    assert len(compiled) == 1  # of 64, 64 and 22
    assert [number for number, _ in found] == list(range(150))
    task, key = trained.assembly.task, trained.assembly.key
    for number in (0, 63, 64, 149):
        (_, single), *_ = Scoring(trained)([(number, alone(number))])
        assert numbers(single) == pytest.approx(numbers(found[number][1]), rel=1e-6)
        assert single["log_prob_nats"] == pytest.approx(float(task.log_prob(trained.variables, alone(number), key)[0]))
    assert list(found[0][1]) == ["log_prob_nats", "bound", "probability_real"] and found[0][1]["bound"] == "exact"


def test_examples_of_other_shapes_keep_their_order_and_each_shape_its_program(trained):
    small = {**alone(0), "given": {"length": {"value": np.zeros((1, 3), np.int32)}}}  # something else is given
    examples = [alone(0), small, alone(1), alone(2), small, alone(3)]
    with compilations() as compiled:
        found = list(Scoring(trained)(enumerate(examples)))
    assert [number for number, _ in found] == list(range(6)) and len(compiled) == 2
    assert found[1][1] == found[4][1] == found[0][1]


def test_what_came_before_an_unreadable_example_is_scored(trained):
    def examples():
        yield 0, alone(0)
        raise UserError("no picture")

    scores = Scoring(trained)(examples())
    assert next(scores)[0] == 0
    with pytest.raises(UserError, match="no picture"):
        next(scores)


def test_a_last_partial_batch_is_evaluated_by_the_program_of_the_others(trained):
    assembly = trained.assembly  # 359 digits in batches of 40
    evaluation = Evaluation(assembly, "test")
    variables = assembly.devices.put_evaluated(trained.variables)
    evaluation(variables)
    with compilations() as compiled:
        evaluation(variables)
    assert not compiled


def test_fewer_samples_than_before_take_the_program_that_there_is(trained):
    sampling, key = Sampling(trained.assembly), jax.random.key(0)
    request = {"row": np.arange(20, dtype=np.int32), "given": {}}
    whole = sampling(trained.variables, request, key)["made"]["value"]
    with compilations() as compiled:
        parts = {
            count: sampling(trained.variables, {**request, "row": request["row"][:count]}, key) for count in (20, 7)
        }
    assert not compiled
    for count, part in parts.items():
        np.testing.assert_array_equal(part["made"]["value"], whole[:count])


def test_the_command_scores_every_file_of_a_folder_once(tmp_path, capsys):
    own = tmp_path / "own"
    for number in range(24):
        kind = own / "ab"[number % 2]
        kind.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
        Image.fromarray(pixels).save(kind / f"{number:02}.png")
    data = Pictures(str(own), batch_size=4)
    experiment = Experiment(Histogram(), data, {"histogram": AdamW()}, 1, every=Every(1, 1, 1, 1))
    train_run(experiment, tmp_path / "run", lambda: False)
    files = [str(file) for file in sorted(own.rglob("*.png"))]
    with compilations() as compiled:
        assert score(str(tmp_path / "run"), experiment, (), files, ()) == 0
    with compilations() as once:
        assert score(str(tmp_path / "run"), experiment, (), files[:1], ()) == 0
    assert len(compiled) <= len(once) + 1  # a program of 48 rows, and perhaps one to make its key
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["example"] for line in lines[:48:2]] == files and [line["class"] for line in lines[:2]] == ["a", "b"]
    for line, again in zip(lines[:2], lines[48:], strict=True):
        assert line.keys() == again.keys() and numbers(again) == pytest.approx(numbers(line), rel=1e-6)
