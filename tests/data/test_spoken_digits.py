"""Strings of spoken digits are one speaker's recordings with the right words, the same for the same batch number."""
# SPDX-License-Identifier: Apache-2.0

import os
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxgen.data.spoken_digits import WORDS, Joined, SpokenDigits
from jaxgen.data.waves import Recording
from jaxgen.errors import UserError
from jaxgen.training.feeds import in_one_shape
from tests.data.batches import batch_at, made, same, words_of

prepared = Path(os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets") / "spoken_digit"
pytestmark = pytest.mark.skipif(not prepared.is_dir(), reason="no prepared spoken_digit in TFDS_DATA_DIR")


@pytest.fixture(scope="module")
def data() -> SpokenDigits:
    return SpokenDigits(batch_size=3, joined=(2, 4), strings=40)


def parts_of(samples: np.ndarray, singles: list, told: list[str]) -> list[str]:
    """Whose recordings a string is, found one after another; it must be nothing but them and pauses."""
    speakers, place = [], 0
    for number, word in enumerate(told):
        starts = range(place, place + (2401 if number else 1))  # a pause of 0.3 s at most
        same_word = [(one, who) for one, said, who in singles if said == word]
        fits = (
            (start, one, who)
            for start in starts
            for one, who in same_word
            if one[0] == samples[start] and np.array_equal(samples[start : start + len(one)], one)
        )
        start, one, who = next(fits)
        assert not samples[place:start].any()
        speakers.append(who)
        place = start + len(one)
    assert place == len(samples)
    return speakers


def test_test_strings_are_the_official_test_recordings_of_one_speaker(data):
    singles = [(samples, one.told, data._speakers[one.name]) for one, samples in data.good("digits")]
    assert sorted(told for _, told, _ in singles) == sorted(WORDS * 30)
    strings = data.good("test")
    assert len(strings) == 40 and {len(one.told.split()) for one, _ in strings} == {2, 3, 4}
    for one, samples in strings[:6]:
        assert len(set(parts_of(samples, singles, one.told.split()))) == 1
    again = SpokenDigits(batch_size=3, joined=(2, 4), strings=40).good("test")
    assert all(a[0] == b[0]._replace(samples=a[0].samples) for a, b in zip(strings, again, strict=True))
    assert set().union(*(one.name.split("+") for one, _ in strings)) <= {one.name for one, _ in data.good("digits")}


def test_training_strings_are_a_function_of_the_key_the_number_and_the_row(data):
    source, key = data.source(), jax.random.key(2)
    batch = batch_at(source, key, 25)
    parts = [next(source.stream(key, 25, rows)) for rows in (np.arange(2), np.arange(2, 3))]
    assert same(jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts), batch)
    assert not np.array_equal(made(batch), made(batch_at(source, key, 26)))
    train = [(s, one.told, data._speakers[one.name]) for rec in source.joined.recordings for one, s in rec]
    wave = batch["given"]["wave"]
    own = (wave["value"][0, : wave["length"][0]] * 32768).astype(np.int16)
    assert len(set(parts_of(own, train, words_of(data, made(batch)[0]).split()))) == 1
    for start, count in in_one_shape(iter([(0, 50)]), source, key, 1):
        waves = [next(source.stream(key, n, np.arange(1)))["given"]["wave"] for n in range(start, start + count)]
        assert len({wave["value"].shape for wave in waves}) == 1


def test_one_speaker_is_held_out_and_single_digits_are_speech(data):
    single = SpokenDigits(joined=None, speaker="theo", buckets=())
    digests = single.split_digests()
    assert (digests["train"]["examples"], digests["test"]["examples"]) == (2500, 500)
    single.good("train")
    assert {single._speakers[one.name] for one, _ in single.good("test")} == {"theo"}
    assert "theo" not in {single._speakers[one.name] for one, _ in single.good("train")}
    assert single.longest == 2 and single.samples == 48_000
    with pytest.raises(UserError, match="'thea', who speaks nothing here; did you mean 'theo'"):
        SpokenDigits(speaker="thea").source()
    with pytest.raises(UserError, match=r"data.joined is \(0, 3\)"):
        SpokenDigits(joined=(0, 3))


def test_strings_that_do_not_fit_are_one_sentence():
    """Seven recordings of 100 samples never last 600; of 84 and 100 some do."""
    one, other = ((Recording("a", "1", 8000, np.zeros(0)), np.ones(size, np.int16)) for size in (100, 84))
    with pytest.raises(UserError, match=r"do not fit data\.seconds"):
        Joined(((one,),), (7, 7), (0, 0), 600).drawn(np.random.default_rng(0))
    found = Joined(((one, other),), (7, 7), (0, 0), 600).drawn(np.random.default_rng(0))
    assert len(found[1]) == 588  # seven of 84: with one of 100 it is 604
