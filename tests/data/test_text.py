"""Texts come from files that the user names, from TFDS, as streams and as documents; what cannot be read is named."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import gzip
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config.changes import set_fields
from jaxgen.config.document import from_document, to_document
from jaxgen.data.documents import Examples, Separated
from jaxgen.data.residence import Residence
from jaxgen.data.text import Text
from jaxgen.data.tokenizers import BytePairs, Bytes, Characters, Words
from jaxgen.errors import UserError
from jaxgen.types import Framing
from tests.data.batches import batch_at, made, same, words_of

prepared = Path(os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets") / "tiny_shakespeare"
shakespeare = pytest.mark.skipif(not prepared.is_dir(), reason="no prepared tiny_shakespeare in TFDS_DATA_DIR")


@pytest.fixture
def files(tmp_path):
    """Three files, the training one gzipped."""
    (tmp_path / "train.txt.gz").write_bytes(gzip.compress(b"the cat sat\r\non the mat\n" * 40))
    (tmp_path / "valid.txt").write_text("the mat sat\n" * 20)
    (tmp_path / "test.txt").write_text("the dog sat\n" * 20 + "on")
    names = {"train": "train.txt.gz", "validation": "valid.txt", "test": "test.txt"}
    return {split: str(tmp_path / name) for split, name in names.items()}


def test_three_files_of_words(files):
    data = Text(**files, tokens=Words(), batch_size=2, length=5)
    assert data.of("train")[0] == "the cat sat\non the mat\n" * 40
    assert set(data.vocabulary.words) == {"the", "cat", "sat", "on", "mat", "<unk>", "<eos>"}
    test = made(data.evaluation("test"))
    assert words_of(data, test[0, 0]).startswith("the <unk> sat\nthe")
    stream = np.concatenate([*test[:, 0, :-1]])
    assert len(stream) >= 0.9 * (20 * 4 + 2) and made(data.evaluation("validation")).max() < 7
    assert data.spec().made.vocabulary == 7 and data.spec().made.continues
    source = data.source()
    assert np.array_equal(source.tokens[:8], data.codec("made").encode("the cat sat\non the mat\n"))


def test_a_file_of_words_is_cut_between_lines(tmp_path):
    path = tmp_path / "words.txt"
    for text in ("one two three\n" * 33, "one two three " * 33):
        path.write_text(text)
        data = Text(name=str(path), tokens=Words())
        assert data.of("train")[0] + data.of("test")[0] == text
        assert set(data.vocabulary.words) == {"one", "two", "three", "<unk>", "<eos>"}
    data = Text(name=str(path), tokens=Bytes())
    assert len(data.of("train")[0]) == len(text) * 9 // 10


def test_the_file_of_a_single_split_is_missing(files):
    data = Text(train=files["train"], test=files["test"], tokens=Bytes())
    with pytest.raises(UserError, match=r"no validation split, only train, test; name it by data.validation"):
        data.evaluation("validation")


def test_documents_of_a_file_are_packed_and_cut_between_documents(tmp_path):
    path = tmp_path / "documents.txt"
    path.write_text("\n---\n".join(f"document {number} " + "x" * number for number in range(20)))
    data = Text(name=str(path), length=40, batch_size=4, documents=Separated("---"), tokens=Bytes())
    assert len(data.of("train")) == 18 and data.of("test")[-1] == "document 19 " + "x" * 19
    spec, rows = data.spec(), data.packed("train")["made"]
    assert spec.made.framing is Framing.PACKED and not spec.made.continues
    assert spec.batch(4).keys() == data.source().arrays.keys() | {"row"}
    assert all(rows[name].shape[1:] == spec.batch(4)["made"][name].shape[1:] for name in rows)
    assert f"18 documents in {len(rows['mask'])} rows of 40 + 1 tokens" in next(data.remarks(data.source()))
    first = rows["value"][0][rows["segment"][0] == 1]
    assert words_of(data, first) in data.of("train")
    host = dataclasses.replace(data, residence=Residence.HOST).source()
    key, number, order = jax.random.key(0), jnp.int32(3), jnp.arange(4)
    streamed, resident = batch_at(host, key, 3), data.source().next(key, None, number, order)[0]
    assert same(streamed, resident)
    evaluated = data.evaluation("test")
    assert (evaluated["made"]["mask"].sum(axis=2) * evaluated["weight"]).sum() == sum(
        len(text) + 1 for text in data.of("test")  # all of a document's bytes, and its end
    )


@shakespeare
def test_nanogpts_tenth_of_tiny_shakespeare():
    """1,003,854 and 111,540 characters, 65 different ones: what nanoGPT's prepare.py prints."""
    data = Text(name="tiny_shakespeare", test="validation+test")
    assert len(data.of("train")[0]) == 1_003_854 and len(data.of("test")[0]) == 111_540
    assert data.spec().made.vocabulary == 65
    assert data.of("validation")[0] == data.of("test")[0][:55_770]
    examples = Text(name="tiny_shakespeare", test="validation+test", documents=Examples())
    assert [len(text) for text in examples.of("test")] == [55_770, 55_770]
    with pytest.raises(UserError, match="tiny_shakespeare has no split 'vaild', only train, validation, test"):
        Text(name="tiny_shakespeare", test="vaild").spec()


def test_every_choice_of_tokens_is_a_field_and_comes_back():
    for tokens in (Characters(), Bytes(), Words(smallest_count=3), BytePairs(size=300)):
        data = Text(tokens=tokens, documents=Separated("%"))
        assert from_document(to_document(data)) == data
    changed = set_fields(Text(), ["tokens=BytePairs", "tokens.size=512", "documents=Separated"])
    assert changed.tokens == BytePairs(512) and changed.documents == Separated()
    assert set_fields(Text(), ["tokens=words"]).tokens == Words()


def test_a_line_that_is_no_utf8_is_named_or_left_out(tmp_path):
    path = tmp_path / "bad.txt"
    path.write_bytes(b"good line\n" * 30 + b"bad \xff line\n" + b"good line\n" * 30)
    with pytest.raises(UserError, match=r"bad.txt line 31: byte 5 is no UTF-8; mend it, or set data.skip_bad"):
        Text(name=str(path)).spec()
    data = Text(name=str(path), skip_bad=1)
    assert "bad" not in "".join(data.of("train") + data.of("test")) and len(data.of("train")[0]) == 540
    assert data.bad.count == 1


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda f: Text(train=f["train"]), "both"),
        (lambda f: Text(name=f["test"], test=f["test"], train=f["train"]), "cut nine to one"),
        (lambda f: Text(train=f["train"] + "x", test=f["test"]).spec(), "data.train is .* no such file"),
        (lambda f: Text(train=f["empty"], test=f["test"]).spec(), "data.train: .* is empty"),
        (lambda f: Text(train=f["torn"], test=f["test"]).spec(), "data.train: .* cannot be read"),
        (lambda f: Text(documents=Examples()).spec(), "is for TFDS sets"),
        (lambda f: Text(name="mnist").spec(), "mnist is a set of image, label, and none"),
        (lambda f: Text(name="tiny_shakespeare", data_dir=f["folder"]).spec(), "is not prepared in"),
        (lambda f: Text(residence=Residence.HOST), "data.residence=HOST is for packed documents"),
        (lambda f: Text(skip_bad=-1), "data.skip_bad is -1"),
    ],
)
def test_mistakes_are_one_sentence(make, sentence, files, tmp_path):
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "torn.gz").write_bytes(Path(files["train"]).read_bytes()[:-20])
    more = {"empty": str(tmp_path / "empty.txt"), "torn": str(tmp_path / "torn.gz"), "folder": str(tmp_path)}
    with pytest.raises(UserError, match=sentence):
        make(files | more)
