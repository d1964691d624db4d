"""Aligned lines become batches of few shapes: each pair once an epoch, whatever is wrong with a line is named."""
# SPDX-License-Identifier: Apache-2.0

import gzip
import json
import os
from collections import Counter
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.config.changes import set_fields
from jaxgen.config.document import from_document, to_document
from jaxgen.data.buckets import BucketedExamples
from jaxgen.data.pairs import Pairs
from jaxgen.data.tokenizers import BytePairs, Bytes, Words
from jaxgen.errors import UserError
from jaxgen.experiment import Every, Experiment
from jaxgen.running.train_run import train_run
from jaxgen.training.feeds import in_one_shape
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Parallel
from tests.commands.test_resume import end_of
from tests.data.batches import batch_at, made, types, words_of
from tests.worlds import Dictionary

WORDS = {"a": "un", "cat": "chat", "dog": "chien", "sees": "voit", "the": "le"}
multi30k = Path(os.environ.get("MULTI30K_DIR", ""))


def sentences(count, longest=14):
    draw = np.random.default_rng(0)
    lines = [draw.choice(list(WORDS), size) for size in draw.integers(1, longest, count)]
    return [" ".join(line) for line in lines], [" ".join(WORDS[word] for word in line) for line in lines]


def french_of(english):
    return " ".join(WORDS[word] for word in english.split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`train` (gzipped) and `test`, 150 and 30 lines of a language and of another."""
    folder = tmp_path_factory.mktemp("pairs")
    for name, lines in zip(("en", "fr"), sentences(180), strict=True):
        (folder / f"train.{name}.gz").write_bytes(gzip.compress("\n".join(lines[:150]).encode()))
        (folder / f"test.{name}").write_text("\n".join(lines[150:]) + "\n")
    return folder


def pairs(folder, **fields):
    train, test = (
        tuple(str(folder / name.format(side)) for side in ("en", "fr")) for name in ("train.{}.gz", "test.{}")
    )
    choices = {"batch_size": 8, "buckets": (4, 8, 16), "tokens": Words(), "source_tokens": Words(), "steps_a_shape": 3}
    return Pairs(**{"train": train, "test": test, **choices, **fields})


def source_of(batch):
    return batch["given"]["source"]


def test_batches_hold_what_the_lines_say(folder):
    data, source = pairs(folder), pairs(folder).source()
    english, french = sentences(180)
    expected = sorted(zip(english[:150], french[:150], strict=True))
    state, found, shapes = source.init(jax.random.key(0), None), [], set()
    for number in range(source._batches):
        batch = batch_at(source, state, number)
        shapes.add(source_of(batch)["value"].shape)
        assert (made(batch)[:, 0] == data.spec().made.vocabulary).all()  # "start"
        for row in np.flatnonzero(batch["weight"]):
            tokens, mask = made(batch)[row], batch["made"]["mask"][row]
            given_ = data.codec("source").decode(source_of(batch)["value"][row][source_of(batch)["mask"][row]])
            assert tokens[1:][mask][-1] == data.spec().made.vocabulary - 1  # "end", and it counts
            assert words_of(data, tokens) == words_of(data, tokens[1:][mask])
            found.append((given_, words_of(data, tokens)))
    assert sorted(found) == expected  # each pair has its turn once in an epoch
    assert shapes == {(8, 4), (8, 8), (8, 16)}
    epochs = [[batch_at(source, state, source._batches * epoch + number) for number in range(3)] for epoch in (0, 1)]
    assert any(
        not np.array_equal(*sources)
        for sources in zip(*[[source_of(b)["value"] for b in e] for e in epochs], strict=True)
    )


def lines_of(data):
    """The words of both sides of each pair that is trained on."""
    decode, found = data.codec("source").decode, []
    for arrays in data.source().arrays:
        sources = zip(source_of(arrays)["value"], source_of(arrays)["mask"], strict=True)
        targets = [words_of(data, tokens) for tokens in made(arrays)]
        found += zip([decode(value[mask]) for value, mask in sources], targets, strict=True)
    return found


def test_joined_pairs_are_two_training_pairs_each_and_change_nothing_else(folder):
    plain, more = pairs(folder), pairs(folder, joined=2.0)
    known, rest = set(lines_of(plain)), Counter(lines_of(more)) - Counter(lines_of(plain))
    assert 100 < rest.total() < 300  # those of more than 16 tokens are left out
    for english, french in rest:
        en = english.split()
        cuts = [(" ".join(en[:cut]), " ".join(en[cut:])) for cut in range(1, len(en))]
        assert any({(a, french_of(a)), (b, french_of(b))} <= known for a, b in cuts)
        assert french_of(english) == french
    assert lines_of(pairs(folder, joined=2.0)) == lines_of(more)
    assert more.text_digest() == plain.text_digest() and more.bad.count == 0
    for a, b in zip(*(jax.tree.leaves(data.evaluation("test")) for data in (plain, more)), strict=True):
        np.testing.assert_array_equal(a, b)


@settings(max_examples=40)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.integers(1, 7), st.integers(1, 5), st.integers(1, 9))
def test_no_call_holds_two_shapes_and_an_epoch_is_every_pair_once(sizes, batch_size, run_, most):
    offsets = np.cumsum([0, *sizes])
    arrays = tuple(
        {"made": {"value": np.tile(np.arange(start, start + size)[:, None], bucket + 1)}}
        for bucket, (start, size) in enumerate(zip(offsets, sizes, strict=False))
    )
    source = BucketedExamples(arrays, None, batch_size, run_)
    state, total = source.init(jax.random.key(1), None), source._batches
    calls = [(step, min(most, 2 * total - step)) for step in range(0, 2 * total, most)]
    cut = list(in_one_shape(iter(calls), source, state, 1))
    assert [step for start, count in cut for step in range(start, start + count)] == list(range(2 * total))
    assert all(count <= min(most, run_) for _, count in cut)
    for start, count in cut:
        assert len({made(batch_at(source, state, number)).shape for number in range(start, start + count)}) == 1
    for epoch in (0, 1):
        batches = [batch_at(source, state, epoch * total + number) for number in range(total)]
        seen = np.concatenate([made(batch)[:, 0][batch["weight"] > 0] for batch in batches])
        assert sorted(seen.tolist()) == list(range(sum(sizes)))
    # processes see parts of one batch
    parts = [made(next(source.stream(state, 1, rows))) for rows in np.array_split(np.arange(batch_size), 2)]
    assert np.array_equal(np.concatenate(parts), made(batch_at(source, state, 1)))


def experiment(folder, **fields):
    return Experiment(
        Dictionary(),
        pairs(folder, **fields),
        {"dictionary": AdamW(0.3)},
        steps=60,
        steps_per_call=4,
        every=Every(log=10, evaluate=30, sample=30, checkpoint=30),
        parallel=Parallel(data=2),
    )


def lines(folder, name):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_a_run_compiles_once_a_shape_learns_and_resumes_exactly(folder, tmp_path):
    compiled, counts = [], []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: compiled.append(name) if name.endswith("backend_compile_duration") else None
    )
    whole = tmp_path / "whole"
    assert train_run(experiment(folder), whole, lambda: counts.append(len(compiled)) or False) == 60
    jax.monitoring.clear_event_listeners()
    assert sum("compile_seconds" in line for line in lines(whole, "timing.jsonl")) == 3  # as many as buckets
    assert counts[-1] == counts[len(counts) * 2 // 3]  # and nothing else once all has happened
    measured = [line for line in lines(whole, "metrics.jsonl") if line["split"] == "test"]
    assert measured[-1]["nats_per_token"] < 0.1  # the dictionary has been learned
    stopped = tmp_path / "stopped"
    calls = []
    assert 0 < train_run(experiment(folder), stopped, lambda: calls.append(0) or len(calls) == 9) < 60
    assert train_run(experiment(folder), stopped, lambda: False) == 60
    assert end_of(stopped) == end_of(whole)
    shown = (whole / "samples" / "60.txt").read_text().split("\n\n――――――――\n\n")
    for (english, french), text in zip(zip(*sentences(180), strict=True), shown, strict=False):
        assert english and french  # what was given stands above what was made of it
        source, target, reference = text.split("\n")
        words = [WORDS[word] for word in source.split()]
        assert target.split()[: len(words)] == words and reference == f"reference: {' '.join(words)}"
    kept = json.loads((whole / "data.json").read_text())
    assert {"source", "target"} == kept["vocabulary"].keys()


def test_a_shared_vocabulary_or_two(folder):
    shared = pairs(folder, tokens=BytePairs(size=300), source_tokens=None, buckets=(64,))
    source, target = shared.vocabularies
    assert source is target and dict(shared.spec().given)["source"].vocabulary == shared.spec().made.vocabulary - 1
    assert shared.codec("made").decode(shared.codec("source").encode("le chat voit")) == "le chat voit"
    for data in (shared, pairs(folder)):
        given_ = data.with_vocabulary(json.loads(json.dumps(data.vocabulary_document())))
        assert given_ == data and given_.spec() == data.spec()
    assert from_document(to_document(shared)) == shared
    changed = set_fields(shared, ["train=a.en,a.de", "buckets=8,32", "source_tokens=Bytes"])
    assert changed.train == ("a.en", "a.de") and changed.buckets == (8, 32) and changed.source_tokens == Bytes()
    batch = batch_at(shared.source(), jax.random.key(0), 0)
    assert batch.pop("weight").shape == (8,)
    assert types(batch) == types(shared.spec().batch(8))


BAD = {
    "shorter": (b"a\nb\nc", b"d\ne\n", r"train\.1 line 3: has no partner in .*train\.2, which ends at line 2"),
    "empty": (b"a\nb\nc", b"d\n \nf", r"train\.2 line 2: the line is empty"),
    "no utf-8": (b"a\nb\nc\xff", b"d\ne\nf", r"train\.1 line 3: byte 2 is no UTF-8"),
    "long": (
        b"a\nb\na b c d e f g h i",
        b"d\ne\nf",
        r"train\.1 line 3: 9 tokens, more than the longest of data.buckets",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_line_is_named_or_left_out(kind, tmp_path):
    for side, content in zip("12", BAD[kind], strict=False):
        for split in ("train", "test"):
            (tmp_path / f"{split}.{side}").write_bytes(content)
    files, tests = ((str(tmp_path / f"{split}.1"), str(tmp_path / f"{split}.2")) for split in ("train", "test"))
    choices = {"test": tests, "tokens": Words(), "buckets": (4, 8), "batch_size": 2}
    with pytest.raises(UserError, match=BAD[kind][2] + ".*; mend it, or set data.skip_bad to tolerate some"):
        Pairs(train=files, **choices).source()
    data = Pairs(train=files, **choices, skip_bad=2)  # the test's are bad at the same place
    for _ in range(2):
        assert sum(len(made(arrays)) for arrays in data.source().arrays) == 2
    assert data.bad.count == (1 if kind == "long" else 2)  # once in each of the two splits, when it has been read
    data.evaluation("test")
    assert data.bad.count == 2 and data.bad.told() in list(data.remarks(data.source()))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"buckets": ()}, "data.buckets"),
        ({"buckets": (8, 4)}, "each longer than the one before"),
        ({"batch_size": 0}, "give at least 1 of each"),
        ({"joined": -1.0}, "data.joined is -1.0; give how many joined pairs"),
        ({"train": ("none.en", "none.fr")}, "data.train is 'none.en', and there is no such file"),
        ({"test": ("empty", "empty")}, "the test split of these pairs is empty"),
    ],
)
def test_mistakes_are_one_sentence(fields, sentence, folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "empty").write_bytes(b"")
    with pytest.raises(UserError, match=sentence):
        pairs(folder, **fields).evaluation("test")
    with pytest.raises(UserError, match="no validation split, only train, test"):
        pairs(folder).evaluation("validation")


@pytest.mark.skipif(not (multi30k / "train.en.gz").is_file(), reason="no Multi30k in MULTI30K_DIR")
def test_multi30k_is_read_whole():
    files = {"train": "train", "validation": "val", "test": "test_2016_flickr"}
    named = {split: (str(multi30k / f"{name}.en.gz"), str(multi30k / f"{name}.de.gz")) for split, name in files.items()}
    data = Pairs(**named, tokens=BytePairs(4000), buckets=(16, 32, 96))
    sizes = [len(made(arrays)) for arrays in data.source().arrays]
    assert sum(sizes) == 29_000 and min(sizes) > 0 and data.bad.count == 0
    evaluated = data.evaluation("validation")
    assert evaluated["weight"].sum() == 1_014
    assert words_of(data, made(evaluated)[0, 0]).startswith("Eine Gruppe von Männern lädt Baumwolle")
