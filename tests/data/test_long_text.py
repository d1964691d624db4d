"""A text in token files has the vocabulary, the tokens and the batches of the same text in memory."""
# SPDX-License-Identifier: Apache-2.0

import gzip
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config.document import from_document, to_document
from jaxgen.core.data import HasVocabulary, Located, Streamed
from jaxgen.data import long_text
from jaxgen.data.long_text import LongText
from jaxgen.data.residence import Residence
from jaxgen.data.text import Text
from jaxgen.data.tokenizers import BytePairs, Bytes, Characters, Words, whole_lines
from jaxgen.errors import UserError
from tests.data.batches import batch_at, same

LINES = [f"line {number} don't  {'é☃'[number % 2]} {number * number}\r\n" for number in range(60)]


@pytest.fixture
def named(tmp_path, monkeypatch):
    """The fields of a text in three files, read a few bytes at a time."""
    monkeypatch.setattr(long_text, "_READ", 37)
    (tmp_path / "train.txt.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + "".join(LINES).encode() + b"end"))
    (tmp_path / "valid.txt").write_bytes("".join(LINES[5:30]).encode())
    (tmp_path / "test.txt").write_bytes("".join(LINES[:40]).encode() + b"\r")
    names = {"train": "train.txt.gz", "validation": "valid.txt", "test": "test.txt"}
    return {split: str(tmp_path / name) for split, name in names.items()}


@pytest.mark.parametrize(
    "tokens", [Characters(), Bytes(), Words(), BytePairs(size=280)], ids=lambda one: type(one).__name__
)
def test_it_is_the_text_in_memory(named, tmp_path, tokens):
    sizes = {"batch_size": 3, "length": 7, "tokens": tokens}
    data, other = LongText(**named, cache=str(tmp_path / "cache"), **sizes), Text(**named, **sizes)
    assert isinstance(data, HasVocabulary) and isinstance(data, Located)
    assert data.vocabulary_document() == other.vocabulary_document() and data.spec() == other.spec()
    source, resident = data.source(), other.source()
    assert isinstance(source, Streamed) and isinstance(source.tokens, np.memmap) and source.batches == resident.batches
    np.testing.assert_array_equal(source.tokens, resident.tokens)
    host = Text(**named, **sizes, residence=Residence.HOST).source()
    following = jax.jit(lambda number: resident.next(None, None, number, jnp.arange(3))[0])
    for number in (0, 1, source.batches - 1, source.batches, 3 * source.batches + 1):
        expected = following(jnp.int32(number))
        assert same(batch_at(source, None, number), expected) and same(batch_at(host, None, number), expected)
    valid = other.vocabulary.encode(whole_lines(other.of("validation")[0], tokens))
    np.testing.assert_array_equal(data.encoded("validation"), valid)
    assert same(data.evaluation("test"), other.evaluation("test"))
    assert from_document(json.loads(json.dumps(to_document(data)))) == data


def test_what_has_been_encoded_is_taken_and_a_changed_text_is_encoded_anew(named, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    data = lambda: LongText(**named, cache=str(cache), length=7)  # noqa: E731
    first = np.array(data().encoded("test"))
    (file,) = cache.iterdir()
    written = file.stat().st_mtime_ns
    np.testing.assert_array_equal(data().encoded("test"), first)
    assert [one.stat().st_mtime_ns for one in cache.iterdir()] == [written]
    with open(named["test"], "a") as more:
        more.write("more")
    assert len(data().encoded("test")) == len(first) + 4 and len(list(cache.iterdir())) == 2
    kept = data().with_vocabulary(data().vocabulary_document())
    assert kept.text_digest() == data().text_digest() and kept.content() == data().content()


def test_a_torn_encoding_leaves_no_file(named, tmp_path):
    with open(named["test"], "ab") as file:
        file.write(b"\xff")
    data = LongText(**named, cache=str(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"test.txt: a byte behind the first [\d,]+ is no UTF-8"):
        data.encoded("test")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"\xff\xfea\0", "is in UTF-16 or UTF-32; save it as UTF-8"),
        (b"caf\xc3", "ends in the middle of a character"),
        (None, "there is no such file"),
    ],
)
def test_mistakes_are_one_sentence(named, tmp_path, content, sentence):
    path = tmp_path / "other.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        LongText(str(path), named["test"], str(tmp_path / "cache")).source()
