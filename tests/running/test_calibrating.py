"""A probability of being real: fitted on one half of held-out examples, told of the other, kept, and scored by."""
# SPDX-License-Identifier: Apache-2.0

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgen.commands.score import score
from jaxgen.config.changes import set_fields
from jaxgen.config.reading import load_experiment
from jaxgen.data.pictures import Pictures
from jaxgen.errors import UserError
from jaxgen.experiment import Every, Experiment
from jaxgen.metrics.held_out_probability import fitted, told_of
from jaxgen.metrics.unmeasured import Unmeasured
from jaxgen.modalities.clip import ClipPresents
from jaxgen.modalities.image import ImagePresents
from jaxgen.modalities.presents import Meaning
from jaxgen.reporting.run_view import read_run
from jaxgen.running.assembly import assemble
from jaxgen.running.bounded import Sampling
from jaxgen.running.calibrating import CALIBRATION, calibrated, keep, kept
from jaxgen.running.evaluate_run import evaluate_run
from jaxgen.running.train_run import train_run
from jaxgen.running.trained import Trained, load_trained
from jaxgen.training.optimisers import AdamW
from jaxgen.types import Clip
from jaxgen.types import Image as Picture
from tests.commands.command import ROOT
from tests.worlds import Histogram

SMALL = [
    "task.encoder.width=8", "task.encoder.blocks=1", "task.prior.layers=2", "task.prior.width=8",
    "task.decoder.width=8", "task.decoder.blocks=1", "task.decoder.latent=2", "task.decoder.components=2",
    "task.importance_samples=2", "steps=1", "steps_per_call=1", "every.log=1", "evaluate.examples=8",
]


@dataclass(frozen=True)
class Judging(Histogram):
    """A critic by mean brightness, its outputs a class's number apart, which its fresh outputs take away."""

    def outputs(self, variables, batch):
        mean = jnp.mean(batch["made"]["value"].astype(jnp.float32), axis=(1, 2, 3))
        return mean + 100.0 * batch["given"]["class"]["value"]

    def fresh_outputs(self, variables, request, key):
        return 100.0 * request["given"]["class"]["value"] + 5.0

    def probability(self, variables, batch):
        return jnp.full(len(batch["row"]), 0.9)


def brightness(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32).mean(axis=(1, 2, 3)) - 5


@pytest.fixture(scope="module")
def trained():
    assembly = assemble(Experiment(Judging(), Pictures(batch_size=40), {"histogram": AdamW()}, 1))
    return Trained(Path(), assembly, assembly.task.init(jax.random.key(0)), None, 7)


def test_what_it_is_fitted_to_and_what_it_is_told_of_are_halves_that_share_no_example(trained):
    found = calibrated(trained, "test")
    real = Pictures().first("test", 2000)
    request = {"row": np.arange(len(real["made"]["value"]), dtype=np.int32), "given": real["given"]}
    fake = Sampling(trained.assembly)(trained.variables, request, jax.random.fold_in(trained.assembly.key, 7))
    a, b = brightness(real["made"]["value"]), brightness(fake["made"]["value"])
    expected = fitted(a[::2], b[::2])
    assert found.calibration.slope == pytest.approx(expected.slope, rel=1e-3)
    assert found.calibration.middle == pytest.approx(expected.middle, abs=1e-3)
    spoilt = trained.assembly.presentation.made.spoilt(real["made"])
    worse = {name: brightness(arrays["value"])[1::2] for name, arrays in spoilt.items()}
    assert found.figures == pytest.approx(told_of(found.calibration, a[1::2], b[1::2], worse), abs=1e-3)
    assert sum(one.count for one in found.bins) == len(a[1::2]) + len(b[1::2]) and found.step == 7


def test_few_examples_are_told_and_others_than_critics_have_none(trained):
    few = replace(trained.assembly, data=replace(trained.assembly.data, test="test[:30]"))
    assert isinstance(calibrated(replace(trained, assembly=few), "test"), Unmeasured)
    plain = assemble(Experiment(Histogram(), Pictures(batch_size=40), {"histogram": AdamW()}, 1))
    assert calibrated(replace(trained, assembly=plain), "test") is None


def test_it_is_kept_for_its_own_step_alone(trained, tmp_path):
    here = replace(trained, folder=tmp_path)
    assert kept(here) is None
    found = calibrated(trained, "test")
    keep(tmp_path, found)
    assert kept(here) == found.calibration and kept(replace(here, step=8)) is None
    view = json.loads((tmp_path / CALIBRATION).read_text())
    assert [one["count"] for one in view["bins"]] == [one.count for one in found.bins]


def test_pictures_are_spoilt_as_told():
    made = ImagePresents(Picture(8, 8, 1, 17), Meaning("digits"))
    levels = np.full((400, 8, 8, 1), 8, np.uint8)
    levels[:, 3, 3] = 16
    spoilt = {name: arrays["value"] for name, arrays in made.spoilt({"value": levels}).items()}
    np.testing.assert_array_equal(spoilt["blurred"][0, 2:5, 2:5, 0], [[8, 9, 8], [9, 10, 9], [8, 9, 8]])
    assert spoilt["noised"][:, 0].astype(float).std() == pytest.approx(np.sqrt(1.6**2 + 1 / 12), rel=0.05)


def test_clips_are_spoilt_frame_by_frame_and_in_their_order():
    made = ClipPresents(Clip(5, 8, 8, 1, 17), Meaning("moving-digits"))
    levels = np.random.default_rng(0).integers(17, size=(6, 5, 8, 8, 1)).astype(np.uint8)
    spoilt = {name: arrays["value"] for name, arrays in made.spoilt({"value": levels}).items()}
    frames = ImagePresents(Picture(8, 8, 1, 17), Meaning("digits")).spoilt({"value": levels.reshape(-1, 8, 8, 1)})
    np.testing.assert_array_equal(spoilt["blurred"].reshape(-1, 8, 8, 1), frames["blurred"]["value"])
    np.testing.assert_array_equal(spoilt["frozen"], np.repeat(levels[:, :1], 5, axis=1))
    assert (spoilt["shuffled"] != levels).any()
    np.testing.assert_array_equal(np.sort(spoilt["shuffled"].sum((2, 3, 4))), np.sort(levels.sum((2, 3, 4))))


def test_a_run_is_evaluated_and_then_scores_by_held_out_examples(tmp_path, capsys):
    experiment = Experiment(
        Judging(), Pictures(batch_size=40), {"histogram": AdamW()}, 1, every=Every(1, 1, 1, 1)
    )
    run, file, table = tmp_path / "run", tmp_path / "four.png", tmp_path / "scores.csv"
    train_run(experiment, run, lambda: False)
    Image.fromarray(np.full((8, 8), 120, np.uint8)).save(file)
    assert score(str(run), experiment, (), [str(file)], ["4"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["probability_real"] == pytest.approx(0.9) and "jaxgen evaluate" in told.err
    figures = evaluate_run(run, config=experiment)
    assert 0 <= figures["calibration_error"] <= 1 and "auc_real_against_blurred/low" in figures
    calibration = kept(load_trained(run, experiment, lambda _: None))
    assert sum(one["count"] for one in read_run(run).calibration["bins"]) == 360  # half of both kinds
    capsys.readouterr()
    assert score(str(run), experiment, (), [str(file)], ["4"], str(table)) == 0
    told = capsys.readouterr()
    line, level = json.loads(told.out), round(120 * 16 / 255)
    assert line["realness"] == pytest.approx(level - 5) and "jaxgen evaluate" not in told.err
    assert line["probability_real"] == pytest.approx(float(calibration.probability(level - 5)), abs=1e-6)
    (row,) = csv.DictReader(table.open())
    assert row.keys() == line.keys() and float(row["probability_real"]) == line["probability_real"]


@pytest.mark.slow
def test_samples_of_another_run_are_judged_where_it_makes_the_same_kind(trained, tmp_path):
    """Of runs whose tasks are shipped, since another run is read by its folder alone."""
    experiment = set_fields(load_experiment(str(ROOT / "configs/vae/digits.py"), Experiment), SMALL)
    train_run(experiment, tmp_path / "other", lambda: False)

    def against(task=trained.assembly.task, name="other"):
        evaluated = replace(trained.assembly.experiment.evaluate, against=str(tmp_path / name))
        experiment = replace(trained.assembly.experiment, evaluate=evaluated)
        assembly = replace(trained.assembly, experiment=experiment, task=task)
        return calibrated(replace(trained, assembly=assembly), "test")

    found, alone = against().figures, calibrated(trained, "test").figures
    assert {name: found[name] for name in alone} == alone
    other = load_trained(tmp_path / "other", None, print)
    real = Pictures().first("test", 2000)
    request = {"row": np.arange(len(real["made"]["value"]), dtype=np.int32), "given": real["given"]}
    made = Sampling(other.assembly)(other.variables, request, jax.random.fold_in(trained.assembly.key, 7))["made"]
    a, b = brightness(real["made"]["value"])[1::2], brightness(made["value"])[1::2]
    assert found["auc_real_against_other_run"] == pytest.approx(np.mean(a[:, None] > b) + np.mean(a[:, None] == b) / 2)
    with pytest.raises(UserError, match=r"evaluate.against=.*nowhere is no run: it has no experiment.json; name the"):
        against(name="nowhere")
    with pytest.raises(UserError, match="other was trained on other data"):
        against(replace(trained.assembly.task, spec=replace(trained.assembly.task.spec, given=())))
    with pytest.raises(UserError, match="no discriminator; leave it out"):
        against(Histogram().sized(trained.assembly.task.spec))


@pytest.mark.parametrize(
    "held", ["[]", '{"calibration": {}}', '{"step": 3}', '{"step": 3, "calibration": {"slope": "steep", "middle": 0}}']
)
def test_a_damaged_calibration_is_named(held, tmp_path):
    (tmp_path / "calibration.json").write_text(held)
    with pytest.raises(UserError, match=r"calibration\.json holds no calibration; remove it"):
        kept(Trained(tmp_path, None, None, None, 3))
