"""A run keeps its vocabulary: it is sampled and scored without its text, and refuses another text's vocabulary."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json

import jax
import numpy as np
import pytest

from jaxgen.commands.score import score
from jaxgen.core.start import Start
from jaxgen.data.text import Text
from jaxgen.data.tokenizers import BytePairs
from jaxgen.errors import UserError
from jaxgen.experiment import Every, Experiment
from jaxgen.families.language_model import LanguageModel
from jaxgen.families.rnn.network import RecurrentNetwork
from jaxgen.running.bounded import Sampling
from jaxgen.running.data_info import DATA
from jaxgen.running.figures import figures_of
from jaxgen.running.study import measured
from jaxgen.running.train_run import train_run
from jaxgen.running.trained import load_trained
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Parallel

WORDS = ["the", "cat", "sat", "on", "the", "mat", "and", "the", "dog", "sat", "on", "the", "log"]
TEXT = " ".join(np.random.default_rng(0).choice(WORDS, 2000))


def silent(sentence):
    pass


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run on byte pairs of a file that is there no more, its experiment, and the file's path."""
    folder = tmp_path_factory.mktemp("kept")
    path = folder / "words.txt"
    path.write_text(TEXT)
    data = Text(name=str(path), batch_size=2, length=8, tokens=BytePairs(size=270))
    task = LanguageModel(RecurrentNetwork(width=8, embedding=4))
    experiment = Experiment(
        task, data, {"likelihood": AdamW(1e-2)}, steps=4, steps_per_call=2, every=Every(), parallel=Parallel(data=1)
    )
    assert train_run(experiment, folder / "run", lambda: False) == 4
    path.unlink()
    return experiment, folder / "run", path


@pytest.fixture
def text(trained):
    """The file, back in its place for one test."""
    path = trained[2]
    path.write_text(TEXT)
    yield path
    path.unlink()


def again(experiment):
    """The same experiment as a new process would read it: nothing is held in it yet."""
    return dataclasses.replace(experiment, data=dataclasses.replace(experiment.data))


def test_without_its_text_a_run_is_sampled_and_scored(trained, capsys):
    experiment, folder, _ = trained
    loaded = load_trained(folder, None, silent)
    data, presentation = loaded.assembly.data, loaded.assembly.presentation
    codec = data.codec("made")
    assert data == experiment.data and codec.decode(codec.encode("the dog sat")) == "the dog sat"
    request = presentation.request(["the cat", "the dog sat"], None)
    shown = presentation.show(Sampling(loaded.assembly)(loaded.variables, request, jax.random.key(0)))
    first, second = shown.content.decode().split("\n\n――――――――\n\n")
    assert first.startswith("the cat") and second.startswith("the dog sat")
    assert score(str(folder), None, (), ["the cat sat on the mat"], ()) == 0
    assert json.loads(capsys.readouterr().out)["log_prob_nats"] < 0
    with pytest.raises(UserError, match="neither a builtin text nor a file"):
        figures_of(loaded, "test")


def test_with_its_text_it_is_measured_in_bits_per_byte(trained, text):
    figures, _ = figures_of(load_trained(trained[1], None, silent), "test")
    assert 0 < figures["bits_per_byte"] < figures["nats_per_token"] / np.log(2)  # a token is more than a byte


def test_what_experiments_are_made_of_measures_a_finished_run(trained, text, capsys):
    assert measured(trained[0], trained[1], lambda: False) == trained[1]
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["step"] == 4 and line["split"] == "test" and line["bits_per_byte"] > 0
    weight = trained[0].data.evaluation("test")["weight"]
    assert line["seed"] == trained[0].seed and line["examples"] == np.count_nonzero(weight)
    assert not {"seed", "examples"} & json.loads((trained[1] / "summary.json").read_text()).keys()


def test_a_resumed_run_trains_no_byte_pairs_again(trained, text):
    """What it reads is what was kept: other merges in the file are taken as they are, for the text has not changed."""
    experiment, folder, _ = trained
    path = folder / DATA
    before = path.read_text()
    held = json.loads(before)
    held["vocabulary"]["byte_pairs"]["model"]["merges"] = []
    path.write_text(json.dumps(held))
    more = again(experiment)
    assert train_run(more, folder, lambda: False) == 4
    assert json.loads(path.read_text()) == held
    loaded = load_trained(folder, None, silent)
    assert len(loaded.assembly.data.codec("made").encode("the")) == 3
    path.write_text(before)


def test_another_vocabulary_is_refused_and_the_same_one_is_not(trained, text):
    experiment, folder, _ = trained
    words = TEXT.split()
    text.write_text(" ".join([words[0], *words[500:0:-1], *words[501:]]))
    assert train_run(again(experiment), folder, lambda: False) == 4  # another order, as many pairs
    text.write_text("something quite different " * 100 + TEXT)
    with pytest.raises(UserError, match=r"has changed since .* was begun, and with it the vocabulary"):
        train_run(again(experiment), folder, lambda: False)


def test_a_run_that_starts_from_another_knows_the_tokens_by_its_vocabulary(trained, text, tmp_path):
    experiment, folder, _ = trained
    other = tmp_path / "other.txt"
    other.write_text("a dog and a log, a cat and a mat. " * 50)
    data = dataclasses.replace(experiment.data, name=str(other))
    assert data.vocabulary.document() != json.loads((folder / DATA).read_text())["vocabulary"]
    tuned = dataclasses.replace(experiment, data=dataclasses.replace(data), start=Start(str(folder)), steps=2)
    assert train_run(tuned, tmp_path / "tuned", lambda: False) == 2
    kept = json.loads((tmp_path / "tuned" / DATA).read_text())
    assert kept["vocabulary"] == json.loads((folder / DATA).read_text())["vocabulary"]


DAMAGED = '{"spec": {}, "class_names": {}, "text_sha256": "", "vocabulary": {"words": []}}'


@pytest.mark.parametrize("content", ["[]", DAMAGED])
def test_a_damaged_vocabulary_is_named(trained, content):
    path = trained[1] / DATA
    before = path.read_text()
    path.write_text(content)
    with pytest.raises(UserError, match=DATA):
        load_trained(trained[1], None, silent)
    path.write_text(before)
