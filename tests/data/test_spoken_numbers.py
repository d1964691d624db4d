"""Spoken numbers: the words are a language's own, splits share neither numbers nor voices, samples are made once."""
# SPDX-License-Identifier: Apache-2.0

import importlib.metadata
import json
import os
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxgen.data import espeak
from jaxgen.data.espeak import Utterance
from jaxgen.data.number_words import Number, words
from jaxgen.data.rendered import rendered
from jaxgen.data.spoken_numbers import SpokenNumbers
from jaxgen.data.spoken_plan import SPLITS, planned, split_of
from jaxgen.errors import UserError
from jaxgen.types import Framing, Wave
from tests.data.batches import given, made, words_of

pytest.importorskip("num2words", reason="needs the extra jaxgen[speech]")
pytest.importorskip("espeakng_loader", reason="needs the extra jaxgen[speech]")


class Quiet:
    """Progress that is not shown, and counted."""

    seen: list[int]

    def __init__(self, total: int, label: str):
        self.seen = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def done(self, count: int):
        self.seen.append(count)


@pytest.mark.parametrize(
    ("number", "english", "german", "french"),
    [
        (Number("cardinal", "0"), "zero", "null", "zéro"),
        (Number("cardinal", "304"), "three hundred and four", "dreihundertvier", "trois cent quatre"),
        (Number("cardinal", "80081"), "eighty thousand and eighty one", "achtzigtausendeinundachtzig",
         "quatre vingt mille quatre vingt un"),
        (Number("ordinal", "21"), "twenty first", "einundzwanzigste", "vingt et unième"),
        (Number("ordinal", "80"), "eightieth", "achtzigste", "quatre vingtième"),
        (Number("ordinal", "103"), "one hundred and third", "einhundertdritte", "cent troisième"),
        (Number("decimal", "12.05"), "twelve point zero five", "zwölf komma null fünf", "douze virgule zéro cinq"),
        (Number("year", "1984"), "in nineteen eighty four", "im jahr neunzehnhundertvierundachtzig",
         "en mille neuf cent quatre vingt quatre"),
        (Number("time", "1:00"), "one o'clock", "ein uhr", "une heure"),
        (Number("time", "3:15"), "quarter past three", "viertel nach drei", "trois heures et quart"),
        (Number("time", "12:30"), "half past twelve", "halb eins", "douze heures et demie"),
        (Number("time", "12:45"), "quarter to one", "viertel vor eins", "une heure moins le quart"),
        (Number("time", "7:21"), "twenty one past seven", "einundzwanzig nach sieben", "sept heures vingt et une"),
        (Number("time", "7:50"), "ten to eight", "zehn vor acht", "huit heures moins dix"),
    ],
)  # fmt: skip
def test_words_are_a_language_s_own(number, english, german, french):
    assert tuple(words(number, language) for language in ("en", "de", "fr")) == (english, german, french)


def test_splits_share_neither_numbers_nor_voices_and_small_numbers_are_trained_on():
    plan = {split: planned(split, 400, "fr", "en", 5.0) for split in SPLITS}
    assert planned("test", 400, "fr", "en", 5.0) == plan["test"]
    for a, b in (("train", "test"), ("train", "validation"), ("validation", "test")):
        for what in (lambda one: one.number.value, lambda one: one.utterance.voice.split("+")[1]):
            assert not {what(one) for one in plan[a]} & {what(one) for one in plan[b]}
    assert {one.number.kind for one in plan["train"]} == {"cardinal", "ordinal", "decimal", "year", "time"}
    assert all(split_of(Number(kind, str(n))) == "train" for n in range(21) for kind in ("cardinal", "ordinal"))
    shares = [sum(split_of(Number("cardinal", str(n))) == split for n in range(1000, 3000)) for split in SPLITS]
    assert shares[0] > 1500 and min(shares) > 140


def test_a_longer_list_begins_with_the_shorter_one():
    assert planned("train", 50, "de", "de", 5.0)[:20] == planned("train", 20, "de", "de", 5.0)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("spoken")


def numbers(cache: Path, **fields) -> SpokenNumbers:
    defaults = {"spoken": "de", "utterances": 24, "tested": 6, "cache": str(cache), "batch_size": 4}
    return SpokenNumbers(**defaults | fields)


def test_utterances_are_spoken_once_whole_and_alike(cache, tmp_path, monkeypatch):
    data = numbers(cache)
    assert data.check({}, Quiet, lambda: False) == {}
    first = {split: [samples.copy() for _, samples in data.good(split)] for split in SPLITS}
    assert [len(some) for some in first.values()] == [24, 6, 6]
    for samples in first["train"]:
        loudest = np.abs(samples.astype(int)).max()
        assert 15_000 < loudest < 17_000 and 1500 < len(samples) <= 40_000  # at least 0.19 s
        for end in (samples[:280], samples[-280:]):  # 35 ms, of which 30 may be silent
            assert np.abs(end.astype(int)).max() > 0.009 * loudest
    again = numbers(tmp_path)  # made anew, elsewhere
    for split in SPLITS:
        assert all(np.array_equal(a, b) for (_, a), b in zip(again.good(split), first[split], strict=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in cache.iterdir())
    monkeypatch.setattr(espeak.subprocess, "run", None)  # nothing is spoken twice
    assert len(numbers(cache).good("train")) == 24
    with pytest.raises(TypeError):
        numbers(cache, rate=16_000).good("test")
    assert not list(cache.glob("*.part"))


def test_what_is_stopped_leaves_nothing(tmp_path):
    assert numbers(tmp_path).check({}, Quiet, lambda: True) == {}
    calls = iter([False, False, True, True, True, True])
    assert numbers(tmp_path).check({}, Quiet, lambda: next(calls)) == {}
    assert not list(tmp_path.iterdir())


def test_a_damaged_cache_is_one_sentence(tmp_path):
    data = numbers(tmp_path)
    data.good("test")
    folder = next(tmp_path.iterdir())
    (folder / "samples.npy").write_bytes(b"no array")
    with pytest.raises(UserError, match=r"cannot be read .*; remove it, and it is made anew"):
        numbers(tmp_path).good("test")


def test_buckets_hold_every_utterance_once_and_cut_nothing(cache):
    data = numbers(cache, text="en", buckets=(1.0, 1.5))
    source, key = data.source(), jax.random.key(3)
    assert data.spec().made.framing is Framing.TARGET and dict(data.spec().given)["wave"] == Wave(40_000, 8000)
    said = {samples.tobytes(): one.told for one, samples in data.good("train")}
    seen = []
    for batch, _ in zip(source.stream(key, 0, np.arange(4)), range(source._batches), strict=False):
        wave = batch["given"]["wave"]
        assert wave["value"].shape[1] in (8_000, 12_000, 40_000)
        for row in np.flatnonzero(batch["weight"]):
            own = wave["value"][row, : wave["length"][row]] * 32768
            assert not wave["value"][row, wave["length"][row] :].any()
            told = words_of(data, made(batch)[row])
            assert said[own.astype(np.int16).tobytes()] == told
            assert made(batch)[row, 0] == data.vocabulary.size + 1 and batch["made"]["mask"][row].sum() == len(told) + 1
            seen.append(own.astype(np.int16).tobytes())
    assert sorted(seen) == sorted(said)
    remarks = list(data.remarks(source))
    assert "24 recordings" in remarks[0] and remarks[1].endswith("is padding")


def test_one_split_is_evaluated_whole_and_a_kept_vocabulary_reads_it(cache):
    data = numbers(cache)
    kept = data.with_vocabulary(json.loads(json.dumps(data.vocabulary_document())))
    assert kept.spec() == data.spec() and data.with_validation() is data
    test = kept.evaluation("test")
    assert test["weight"].sum() == 6 and given(test, "wave").shape == (2, 4, 40_000)
    assert kept.split_digests() != numbers(cache, text="fr").split_digests()
    assert kept.content() == data.content() != numbers(cache, utterances=23).content()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"spoken": "es"}, "data.spoken is 'es', which is not spoken here"),
        ({"text": "english"}, "data.text is 'english'"),
        ({"tested": 0}, "data.tested 0"),
        ({"buckets": (3.0, 2.0)}, r"data.buckets is \(3.0, 2.0\)"),
        ({"cache": "/proc/none"}, "data.cache=/proc/none cannot be written"),
    ],
)
def test_settings_that_cannot_be(settings, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence):
        numbers(**{"cache": tmp_path} | settings).good("test")


def test_a_missing_package_is_one_sentence(tmp_path, monkeypatch):
    def missing(name: str):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(UserError, match=r"espeakng-loader; run `pip install 'jaxgen\[speech\]'`"):
        numbers(tmp_path).good("test")


def test_what_is_left_of_a_folder_is_one_sentence_and_what_killed_processes_left_is_removed(tmp_path):
    """A file that is gone, or empty after a power failure; a folder without a write for a day, and one of now."""
    spoken = [Utterance("one", "en+f1", 170, 50)]
    first = rendered(tmp_path, spoken, 8000, "a test").samples.copy()
    old, new = (tmp_path / f"{32 * digit}a1b2_c3d.part" for digit in "ef")
    users = tmp_path / "film.part"  # no name of ours
    for folder in (old, new, users):
        folder.mkdir()
        (folder / "samples.raw").write_bytes(b"00")
    for path in (old / "samples.raw", old, users / "samples.raw", users):
        os.utime(path, (0, 0))
    os.utime(new, (0, 0))  # its file is being written
    folder = next(path for path in tmp_path.iterdir() if path.suffix != ".part")
    for name in ("samples.npy", "ends.npy"):
        content = (folder / name).read_bytes()
        for spoil in (lambda file: file.write_bytes(b""), Path.unlink):
            spoil(folder / name)
            with pytest.raises(UserError, match="remove it, and it is made anew"):
                rendered(tmp_path, spoken, 8000, "a test")
        (folder / name).write_bytes(content)
    folder.rename(tmp_path / "aside")
    again = rendered(tmp_path, spoken, 8000, "a test")
    assert np.array_equal(first, again.samples) and not old.exists() and new.exists() and users.exists()


def test_a_process_that_does_not_end_or_cannot_be_started_is_one_sentence(monkeypatch):
    one = [Utterance("four", "en", 175, 50)]
    with monkeypatch.context() as less:
        less.setattr(espeak, "_SECONDS", 0.001)
        with pytest.raises(UserError, match=r"had not spoken 1 utterances after 0\.001 s"):
            list(espeak.spoken(one, 8000, lambda: False))
    monkeypatch.setattr(espeak.sys, "executable", "/nowhere/python")
    with pytest.raises(UserError, match=r"cannot be started here \(No such file"):
        list(espeak.spoken(one, 8000, lambda: False))
