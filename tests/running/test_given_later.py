"""Runs one from another: given nothing, then a class, then one of more classes, which are found by their names."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from jaxgen.config.document import from_document, to_document
from jaxgen.core.condition_growth import GrowClasses
from jaxgen.core.masks import by_path
from jaxgen.core.start import OnlyNew, Start
from jaxgen.data.pictures import Pictures
from jaxgen.errors import UserError
from jaxgen.experiment import Every, Experiment
from jaxgen.families.gan.gan_growth import NewCondition as OfGan
from jaxgen.families.vae.network import Decoder, Encoder, Prior
from jaxgen.families.vae.task import Vae
from jaxgen.families.vae.vae_growth import NewCondition
from jaxgen.running.assembly import assemble
from jaxgen.running.data_info import to_train
from jaxgen.running.starting import load_start
from jaxgen.running.train_run import train_run
from jaxgen.running.trained import load_trained
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Parallel
from tests.commands.test_resume import end_of
from tests.running.test_rollback import stop_after

TASK = Vae(
    Encoder(width=8, blocks=1), Decoder(width=8, blocks=1, latent=2, components=2), Prior(2, 4), importance_samples=2
)


def silent(sentence):
    pass


def pictures(folder, *classes):
    """A folder with a few small pictures of each class for training and for the test."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 4), ("test", 2)):
        for name in classes:
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                value = draw.integers(0, 256, (4, 4)).astype(np.uint8)
                Image.fromarray(value).save(folder / split / name / f"{number}.png")
    return folder


def experiment(data, **start) -> Experiment:
    begins = {"start": Start(**start), "trainable": OnlyNew()} if start else {}
    return Experiment(
        TASK, data, {"bound": AdamW(1e-2)}, steps=2, every=Every(), parallel=Parallel(data=1), **begins
    )


def begun_with(run):
    return by_path(load_trained(run, None, silent).variables.params)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run that was given nothing, and one from it that is given one of two classes; their data."""
    folder = tmp_path_factory.mktemp("given")
    two = Pictures(name=str(pictures(folder / "two", "cat", "dog")), batch_size=4)
    assert train_run(experiment(dataclasses.replace(two, given=False)), folder / "free", lambda: False) == 2
    given = experiment(two, run=str(folder / "free"), surgery=(NewCondition(),))
    assert train_run(given, folder / "given", lambda: False) == 2
    return folder, given


def test_only_what_is_new_moves_and_a_stopped_run_goes_on_without_its_start(runs, tmp_path):
    folder, given = runs
    before, after = begun_with(folder / "free"), begun_with(folder / "given")
    new = {path for path in after if path.endswith("condition/kernel")}
    assert set(after) - set(before) == new and set(before) - set(after) == {"prior/affine/bias"}
    assert all((after[path] == before[path]).all() for path in set(after) - new)
    assert all(np.abs(after[path][:2]).max() > 0 and (path.startswith("prior/affine") or not after[path][2].any())
               for path in new)  # fmt: skip
    lent = shutil.copytree(folder / "free", tmp_path / "lent")
    again = dataclasses.replace(given, start=dataclasses.replace(given.start, run=str(lent)))
    assert train_run(again, tmp_path / "stopped", stop_after(0)) == 0
    shutil.rmtree(lent)
    assert train_run(again, tmp_path / "stopped", lambda: False) == 2
    assert end_of(tmp_path / "stopped") == end_of(folder / "given")


def test_more_classes_are_found_by_their_names(runs, tmp_path):
    folder, _ = runs
    four = Pictures(name=str(pictures(tmp_path / "four", "ant", "cat", "cow", "dog")), batch_size=4)
    tuned = to_train(experiment(four, run=str(folder / "given"), surgery=(GrowClasses(),)), tmp_path / "run")
    assert tuned.start.surgery == (GrowClasses(places=(1, 3)),)
    start = load_start(assemble(dataclasses.replace(tuned, trainable=experiment(four).trainable)), silent)
    before, after = begun_with(folder / "given"), by_path(start.variables.params)
    assert set(before) == set(after)
    for path, leaf in before.items():
        kept = after[path][jax.numpy.array([1, 3, 4])] if path.endswith("condition/kernel") else after[path]
        assert (kept == leaf).all(), path


def test_a_start_of_other_classes_is_told(runs, tmp_path):
    folder, _ = runs
    other = Pictures(name=str(pictures(tmp_path / "other", "ant", "cow", "dog")), batch_size=4)
    tuned = experiment(other, run=str(folder / "given"), surgery=(GrowClasses(),))
    with pytest.raises(UserError, match="these data lack cat of the start's classes"):
        train_run(tuned, tmp_path / "run", lambda: False)
    assert not (tmp_path / "run").exists()


def test_surgeries_of_conditions_are_kept_by_a_run():
    held = dataclasses.replace(
        experiment(Pictures()), start=Start("runs/a", (GrowClasses((1, 0), 2), NewCondition(), OfGan()))
    )
    assert from_document(to_document(held)) == held
