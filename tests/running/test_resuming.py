"""What may change when a run goes on is taken and noted, the rest is refused; more steps have their own schedule."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json
import shutil

import pytest

from jaxgen.config.changes import set_fields
from jaxgen.config.document import to_document
from jaxgen.core.masks import Matching
from jaxgen.data.pictures import Pictures
from jaxgen.data.text import Text
from jaxgen.errors import UserError
from jaxgen.experiment import Every, Experiment, Patience
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.rnn.network import RecurrentNetwork
from jaxgen.running.resuming import CHANGES, taken
from jaxgen.running.train_run import train_run
from jaxgen.training.checkpoint import Best
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Parallel
from jaxgen.training.schedules import Cosine
from tests.commands.test_resume import end_of
from tests.running.test_rollback import experiment, stop_after

TAKEN = [
    "every.log=7",
    "every.checkpoint=1",
    "keep=5",
    "steps_per_call=9",
    "steps=30",
    "data.skip_bad=3",
    "data.residence=HOST",
    "data.workers=2",
    "parallel.data=2",
]
REFUSED = ["seed=1", "data.batch_size=12", "optimisers.left.learning_rate=0.1", "accumulate=2"]
REFUSED += ["data.name=faded-digits"]


def asked(before: Experiment, after: Experiment, folder):
    return taken(folder, to_document(before), after, to_document(after))


@pytest.mark.parametrize("setting", TAKEN)
def test_what_alters_nothing_that_was_computed_is_taken(setting, tmp_path):
    changes = asked(experiment(), set_fields(experiment(), [setting]), tmp_path)
    assert [line.split(":")[0] for line in changes.lines] == [setting.split("=")[0]]


@pytest.mark.parametrize("setting", REFUSED)
def test_what_alters_it_is_refused(setting, tmp_path):
    with pytest.raises(UserError, match=rf"belongs to another experiment.* {setting.split('=')[0]}"):
        asked(experiment(), set_fields(experiment(), [setting]), tmp_path)


def test_another_best_is_taken_unless_examples_would_be_set_aside_for_it(tmp_path):
    best = dataclasses.replace(experiment(), best=Best("nats_per_example"))
    other = dataclasses.replace(experiment(), best=Best("accuracy", lower=False))
    assert [line.split(":")[0] for line in asked(best, other, tmp_path).lines] == ["best.metric", "best.lower"]
    patient = dataclasses.replace(experiment(), stop=Patience("nats_per_example"))
    assert asked(patient, dataclasses.replace(patient, best=best.best), tmp_path).lines
    for pair in ((experiment(), best), (best, experiment())):
        with pytest.raises(UserError, match="best, for which examples are set aside"):
            asked(*pair, tmp_path)


def test_changes_are_noted_in_the_run_and_nothing_else_changes(tmp_path, capsys):
    assert train_run(experiment(), tmp_path / "whole", lambda: False) == 20
    assert train_run(experiment(), tmp_path / "run", stop_after(4)) == 9
    changed = set_fields(experiment(), ["every.log=2", "keep=4", "steps_per_call=3"])
    assert train_run(changed, tmp_path / "run", lambda: False) == 20
    said = capsys.readouterr().err
    assert "changed, and noted in experiment.json: steps_per_call: 2 -> 3; " in said and "keep: 2 -> 4" in said
    assert json.loads((tmp_path / "run" / "experiment.json").read_text()) == to_document(changed)
    noted = json.loads((tmp_path / "run" / CHANGES).read_text())
    assert noted["step"] == 9 and "every.log: 5 -> 2" in noted["changed"]
    assert end_of(tmp_path / "run")[:2] == end_of(tmp_path / "whole")[:2]
    assert train_run(changed, tmp_path / "run", lambda: False) == 20
    assert len((tmp_path / "run" / CHANGES).read_text().splitlines()) == 1  # said once


def cosine(steps: int) -> Experiment:
    adam = {name: AdamW(Cosine(peak=1e-2)) for name in ("left", "right")}
    return dataclasses.replace(experiment(), optimisers=adam, steps=steps)


def test_an_ended_run_goes_on_with_the_schedule_of_its_new_steps(tmp_path, capsys):
    """A run that says it ended at step 10, with the state of one that is half way through 20, ends as that one does."""
    assert train_run(cosine(20), tmp_path / "whole", lambda: False) == 20
    assert train_run(cosine(20), tmp_path / "run", stop_after(5)) == 10
    path = tmp_path / "run" / "experiment.json"
    path.write_text(json.dumps(to_document(cosine(10))))
    capsys.readouterr()
    assert train_run(cosine(20), tmp_path / "run", lambda: False) == 20
    said = capsys.readouterr().err
    assert "steps: 10 -> 20" in said and "going on from step 10" in said
    assert "at step 10 the learning rate of 'left' goes from 0 to 0.0048" in said
    assert json.loads(path.read_text()) == to_document(cosine(20))
    assert end_of(tmp_path / "run")[:2] == end_of(tmp_path / "whole")[:2]
    with pytest.raises(UserError, match=r"steps is 10, and .* has reached step 20; give at least 20"):
        train_run(cosine(10), tmp_path / "run", lambda: False)


def test_an_ended_run_is_trained_longer(tmp_path):
    """At a constant rate two parts are one run: parameters, optimisers and keys, bit for bit."""
    assert train_run(experiment(), tmp_path / "whole", lambda: False) == 20
    assert train_run(dataclasses.replace(experiment(), steps=10), tmp_path / "run", lambda: False) == 10
    assert train_run(experiment(), tmp_path / "run", lambda: False) == 20
    assert end_of(tmp_path / "run")[:2] == end_of(tmp_path / "whole")[:2]


def test_data_may_have_moved_if_they_are_the_same(tmp_path):
    here, there = tmp_path / "here.txt", tmp_path / "there.txt"
    here.write_text("a dog and a log, a cat and a mat. " * 50)
    data = Text(name=str(here), batch_size=2, length=8)
    begun = Experiment(
        LanguageModel(RecurrentNetwork(width=8, embedding=4)),
        data,
        {"likelihood": AdamW(1e-2)},
        steps=2,
        every=Every(),
        parallel=Parallel(data=1),
    )
    assert train_run(begun, tmp_path / "run", lambda: False) == 2
    shutil.move(here, there)
    moved = dataclasses.replace(begun, data=dataclasses.replace(data, name=str(there)), steps=4)
    assert train_run(moved, tmp_path / "run", lambda: False) == 4
    assert f"data.name: '{here}' -> '{there}'" in json.loads((tmp_path / "run" / CHANGES).read_text())["changed"]
    other = tmp_path / "other.txt"
    other.write_text(there.read_text() + "a dog")
    elsewhere = dataclasses.replace(moved, data=dataclasses.replace(data, name=str(other)))
    with pytest.raises(UserError, match=r"data.name: .*other.txt' \(other data\)"):
        train_run(elsewhere, tmp_path / "run", lambda: False)


def test_pictures_are_compared_by_names_and_sizes(tmp_path):
    from PIL import Image

    for split in ("train", "test"):
        (tmp_path / "a" / split).mkdir(parents=True)
        for number in range(2):
            Image.new("L", (4, 4), number).save(tmp_path / "a" / split / f"{number}.png")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    a, b = (Pictures(name=str(tmp_path / name), batch_size=2) for name in "ab")
    assert a.content() == b.content() != Pictures().content()
    (tmp_path / "b" / "test" / "1.png").write_bytes(b"longer" * 100)
    assert a.content() != Pictures(name=str(tmp_path / "b"), batch_size=2).content()


def test_a_mask_is_no_interval(tmp_path):
    tuned = dataclasses.replace(experiment(), trainable=Matching("^left/"))
    with pytest.raises(UserError, match="trainable"):
        asked(experiment(), tuned, tmp_path)
