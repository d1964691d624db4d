"""Translation as a user meets it: one small run, trained once, asked in every way."""
# SPDX-License-Identifier: Apache-2.0

import itertools
import json

import numpy as np
import pytest
from PIL import Image

from tests.commands.command import here, jaxgen, told

CONFIG = '''
from jaxgen.data.pairs import Pairs
from jaxgen.data.tokenizers import Words
from jaxgen.experiment import Every, Experiment
from jaxgen.families.rnn.encoder_decoder import RecurrentEncoderDecoder
from jaxgen.families.sequence_to_sequence import SequenceToSequence
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Parallel
from jaxgen.training.schedules import Cosine


def experiment():
    folder = {folder!r}
    return Experiment(
        task=SequenceToSequence(RecurrentEncoderDecoder(width=48, embedding=32, layers=1, dropout=0.0)),
        data=Pairs(train=(f"{{folder}}/train.en", f"{{folder}}/train.fr"), test=(f"{{folder}}/test.en",
            f"{{folder}}/test.fr"), tokens=Words(), source_tokens=Words(), buckets=(8,), batch_size=32),
        optimisers={{"likelihood": AdamW(Cosine(5e-3))}},
        steps=400,
        steps_per_call=20,
        every=Every(log=400, evaluate=400, sample=400, checkpoint=400),
        parallel=Parallel(data=1),
    )
'''
WORDS = {"a": "un", "the": "le", "cat": "chat", "dog": "chien", "sees": "voit", "hears": "entend", "small": "petit"}


def french(line: str) -> str:
    """Word by word, and "small" after its noun: what a decoder without attention to places cannot copy."""
    words = line.split()
    for place, word in enumerate(words[:-1]):
        if word == "small":
            words[place : place + 2] = words[place + 1], word
    return " ".join(WORDS[word] for word in words)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A trained run of all sentences "DET [small] NOUN VERB DET [small] NOUN" but some, which are the test split."""
    folder = tmp_path_factory.mktemp("translation")
    parts = itertools.product(("a", "the"), ("", "small"), ("cat", "dog"))
    nouns = [" ".join(filter(None, part)) for part in parts]
    lines = [f"{one} {verb} {other}" for one, verb, other in itertools.product(nouns, ("sees", "hears"), nouns)]
    order = np.random.default_rng(0).permutation(len(lines))
    for split, chosen in (("test", order[:16]), ("train", order[16:])):
        (folder / f"{split}.en").write_text("\n".join(lines[place] for place in chosen) + "\n")
        (folder / f"{split}.fr").write_text("\n".join(french(lines[place]) for place in chosen) + "\n")
    (folder / "config.py").write_text(CONFIG.format(folder=str(folder)))
    process = jaxgen("train", "--config", folder / "config.py", "--workdir", folder / "run")
    assert process.returncode == 0, process.stderr
    return folder


def test_a_sentence_a_files_lines_and_a_pipe_are_translated_line_by_line(run):
    one = (run / "train.en").read_text().splitlines()[0]
    process = here("sample", "--workdir", run / "run", "--given", one)
    assert (process.returncode, process.stdout) == (0, french(one) + "\n"), process.stderr
    file = here("sample", "--workdir", run / "run", "--given", run / "train.en")
    assert file.stdout == (run / "train.fr").read_text()
    piped = jaxgen("sample", "--workdir", run / "run", "--given", "-", input=(run / "train.en").read_text())
    assert piped.stdout == file.stdout


def test_several_translations_come_with_their_scores_and_an_attention_map(run, tmp_path):
    how = ("--set", "task.sampler.best=3", "--attention", tmp_path / "map.png")
    one = (run / "train.en").read_text().splitlines()[-1]
    process = here("sample", "--workdir", run / "run", "--given", one, *how)
    rows = [line.split("\t") for line in process.stdout.splitlines()]
    assert [row[0] for row in rows] == ["1"] * 3 and rows[0][2] == french(one), process.stderr
    scores = [float(row[1]) for row in rows]
    assert scores == sorted(scores, reverse=True) and scores[0] <= 0
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.width > 100
    drawn = here("sample", "--workdir", run / "run", "--given", one, "--count", 4, "--set",
                 "task.sampler=TokenSampler", "task.sampler.temperature=0.1")  # fmt: skip
    assert drawn.stdout.splitlines() == [french(one)] * 4, drawn.stderr


def test_it_is_evaluated_in_bleu_and_scored_under_what_is_given(run):
    process = here("evaluate", "--workdir", run / "run")
    figures = json.loads(process.stdout.splitlines()[-1])
    assert 50 < figures["bleu"] < 100.01 and 0 <= figures["exact_match"] <= 1, process.stderr
    made = here("sample", "--workdir", run / "run", "--given", run / "test.en").stdout.splitlines()
    right = np.mean([one == other for one, other in zip(made, (run / "test.fr").read_text().splitlines(), strict=True)])
    assert figures["exact_match"] == pytest.approx(right)
    assert "version:" in figures["bleu_signature"] and figures["bound"] == "exact"
    kept = json.loads((run / "run" / "summary.json").read_text())
    assert kept["chrf"] == figures["chrf"]
    one, other = (run / "train.en").read_text().splitlines()[:2]
    scored = here("score", "--workdir", run / "run", french(one), french(other), "--given", one, "--given", one)
    right, wrong = (json.loads(line)["log_prob_nats"] for line in scored.stdout.splitlines())
    assert right > wrong + 1 and right <= 0


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([" "], "the text given is empty; give a sentence"),
        (["cat " * 10_000], "has 10000 words, and the model reads 8; give less"),
        ([], "samples are made for source; give one or more with --given"),
    ],
)
def test_what_cannot_be_translated_is_told_in_a_sentence(run, given, sentence):
    arguments = ["--given", *given] if given else []
    assert sentence in told(here("sample", "--workdir", run / "run", *arguments))


def test_files_of_unequal_length_are_told_before_training(run, tmp_path):
    (tmp_path / "more.fr").write_text((run / "train.fr").read_text() + "un chat\n")
    settings = ["--set", f"data.train.1={tmp_path}/more.fr"]
    sentence = told(here("train", "--config", run / "config.py", "--workdir", tmp_path / "other", *settings))
    assert "more.fr line 113: has no partner in" in sentence
