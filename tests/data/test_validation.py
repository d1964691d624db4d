"""A validation split is a tenth of what is trained on, wherever the data lie; adding an example moves no other."""
# SPDX-License-Identifier: Apache-2.0

import gzip
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.io import wavfile

from jaxgen.data.builtin import digits
from jaxgen.data.clips import MovingDigits
from jaxgen.data.documents import Separated
from jaxgen.data.pairs import Pairs
from jaxgen.data.pictures import Pictures
from jaxgen.data.speech import Sounds, Speech
from jaxgen.data.text import Text
from jaxgen.data.tokenizers import Bytes, Characters, Words
from tests.data.batches import given, made, same, words_of

COUNT = 80
SIDE = 8  # of a digit


def documents(folder: Path, numbers: list[int]) -> Text:
    for split, some in (("train", numbers), ("test", [1000, 1001])):
        (folder / f"{split}.txt").write_text("\n\n".join(f"document {number}" for number in some))
    files = {split: str(folder / f"{split}.txt") for split in ("train", "test")}
    return Text(**files, documents=Separated(), tokens=Words(), length=8, batch_size=4)


def pairs(folder: Path, numbers: list[int]) -> Pairs:
    for split, some in (("train", numbers), ("test", [1000, 1001])):
        (folder / f"{split}.a.gz").write_bytes(gzip.compress("\n".join(f"given {number}" for number in some).encode()))
        (folder / f"{split}.b").write_text("\n".join(f"made {number}" for number in some))
    train, test = ((str(folder / f"{split}.a.gz"), str(folder / f"{split}.b")) for split in ("train", "test"))
    return Pairs(train, test, tokens=Words(), buckets=(4,), batch_size=4)


def recordings(folder: Path, numbers: list[int]) -> Path:
    for split, some in (("train", numbers), ("test", [1000, 1001])):
        (folder / split).mkdir(exist_ok=True)
        for number in some:
            wavfile.write(folder / split / f"{number}.wav", 8000, np.full(10 + number % 50, number, np.int16))
        told = "".join(f"{number}.wav\t{number}\n" for number in some)
        (folder / split / "transcripts.tsv").write_text(told)
    return folder


def speech(folder: Path, numbers: list[int]) -> Speech:
    return Speech(name=str(recordings(folder, numbers)), batch_size=4)


def sounds(folder: Path, numbers: list[int]) -> Sounds:
    return Sounds(name=str(recordings(folder, numbers)), classes=3000, batch_size=4)


def examples_of(data, split: str) -> list[str]:
    """What tells the examples of a split from each other, in their order."""
    match data:
        case Text():
            return list(data.of(split))
        case Pairs():
            return [line[2] for line in data.of(split)]
        case Speech() | Sounds():
            return [recording.told for recording, _ in data.good(split)]


KINDS = pytest.mark.parametrize("make", [documents, pairs, speech, sounds], ids=lambda make: make.__name__)


@KINDS
def test_no_example_is_in_two_splits_and_none_is_lost(make, tmp_path):
    whole = make(tmp_path, list(range(COUNT)))
    held = whole.with_validation()
    train, validation = examples_of(held, "train"), examples_of(held, "validation")
    assert 0 < len(validation) < COUNT / 4 and not set(train) & set(validation)
    assert sorted(train + validation) == sorted(examples_of(whole, "train"))
    assert examples_of(held, "test") == examples_of(whole, "test")
    assert held.with_validation() is held and whole != held


@KINDS
def test_examples_that_come_or_lie_elsewhere_move_no_other(make, tmp_path):
    splits = ("train", "validation")
    held = make(tmp_path, list(range(COUNT))).with_validation()
    before = {split: set(examples_of(held, split)) for split in splits}
    more = make(tmp_path, [2000, *range(COUNT // 2), 2001, *range(COUNT // 2, COUNT), 2002]).with_validation()
    new = {one for split in splits for one in examples_of(more, split)} - before["train"] - before["validation"]
    assert len(new) == 3 and all(set(examples_of(more, split)) - new == before[split] for split in splits)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    moved = make(elsewhere, list(range(COUNT))).with_validation()
    assert all(examples_of(moved, split) == examples_of(held, split) for split in splits)


@KINDS
def test_every_example_of_the_validation_split_is_evaluated_and_the_vocabulary_does_not_know_it(make, tmp_path):
    """Whatever was asked of the data before: the vocabulary is fitted to what is trained on alone, and all fits."""
    data = make(tmp_path, list(range(COUNT)))
    spec = data.spec()
    held, fresh = data.with_validation(), make(tmp_path, list(range(COUNT))).with_validation()
    assert held.spec() == fresh.spec()
    evaluated = held.evaluation("validation")
    assert same(evaluated, fresh.evaluation("validation"))
    if not isinstance(held, Text):  # whose rows hold several documents
        assert evaluated["weight"].sum() == len(examples_of(held, "validation"))
    if isinstance(held, Text | Pairs):
        assert held.spec() != spec  # there are fewer words
        assert "<unk>" in words_of(held, made(evaluated)[0, 0])
        kept = data.with_vocabulary(data.vocabulary_document()).with_validation()
        assert kept.spec() == spec  # a vocabulary that is given stays


def test_the_longest_recording_and_its_letters_may_lie_in_validation(tmp_path):
    data = speech(tmp_path, list(range(COUNT)))
    held = examples_of(data.with_validation(), "validation")
    last = held[-1]
    wavfile.write(tmp_path / "train" / f"{last}.wav", 8000, np.ones(500, np.int16))
    listed = tmp_path / "train" / "transcripts.tsv"
    listed.write_text(listed.read_text().replace(f"{last}.wav\t{last}\n", f"{last}.wav\tquite long\n"))
    for tokens in (Characters(), Bytes()):
        data = Speech(name=str(tmp_path), batch_size=4, tokens=tokens).with_validation()
        assert examples_of(data, "validation") == [*held[:-1], "quite long"]
        batches = data.evaluation("validation")
        length = batches["given"]["wave"]["length"]
        assert given(batches, "wave").shape[-1] == 500 == length.max() and data.spec().made.length == 11
        row = np.argwhere((length == 500) & (batches["weight"] > 0))[0]
        assert words_of(data, made(batches)[tuple(row)]) == "quite long"


def test_moving_digits_are_validated_by_digits_that_are_not_trained_on():
    plain = MovingDigits(batch_size=8, frames=2, size=16, most=1, evaluated=20)
    held, pictures = plain.with_validation(), Pictures().with_validation()
    assert held.spec() == plain.spec()
    for split in ("validation", "test"):
        known = {image.tobytes() for image in made(pictures.arrays(split))}
        clips = held.first(split, 20)
        for clip, position in zip(made(clips), clips["made"]["position"], strict=True):
            row, column = np.floor(position[0, 0] + 0.5).astype(int)
            assert clip[0, row : row + SIDE, column : column + SIDE].tobytes() in known
    assert np.array_equal(held.source().image, made(pictures.arrays("train")))
    assert len(plain.source().image) == len(made(digits()["train"]))


FINITE = {
    "digits": lambda folder: Pictures(),
    "some digits": lambda folder: Pictures(only=(3, 5), fraction=0.1),
    "moving digits": lambda folder: MovingDigits(batch_size=8, frames=2, size=16, most=1, evaluated=20),
    "pairs": lambda folder: pairs(folder, list(range(COUNT))),
    "speech": lambda folder: speech(folder, list(range(COUNT))),
    "sounds": lambda folder: sounds(folder, list(range(COUNT))),
}


@pytest.mark.parametrize("name", FINITE)
def test_the_first_examples_are_those_that_an_evaluation_begins_with(name, tmp_path):
    data = FINITE[name](tmp_path).with_validation()
    for split in ("train", "validation", "test"):
        batches = data.evaluation(split)
        count = int(batches["weight"].sum())
        parts = {part: batches[part] for part in ("given", "made")}
        flat = jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:]), parts)
        some = data.first(split, 2)
        assert same(some, jax.tree.map(lambda array: array[:2], flat)) and len(made(some)) == 2
        assert len(made(data.first(split, 10_000))) == count


@pytest.mark.parametrize("name", FINITE)
def test_a_sources_first_state_is_had_without_the_data(name, tmp_path):
    data, key = FINITE[name](tmp_path), jax.random.key(5)
    states = data.begin(key, None), data.source().init(key, None)
    assert np.array_equal(*map(jax.random.key_data, states))


def test_classes_have_names(tmp_path):
    assert Pictures().class_names() == {"class": tuple("0123456789")}
    assert sounds(tmp_path, [0, 1]).class_names()["class"][:2] == ("0", "1")
