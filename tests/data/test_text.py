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
from jaxgen.modalities.inputs import text_of
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
        len(text) + 1
        for text in data.of("test")  # all of a document's bytes, and its end
    )


def folder_of(root, files):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(root)


def test_a_folder_of_texts_is_a_set_whose_files_are_documents(tmp_path):
    files = {f"deep/{number}.txt": f"text {number}\n\nmore" for number in range(40)} | {"a.md": "# a", "b.TXT": "b"}
    left = {".hidden.txt": "x", "__MACOSX/c.txt": "x", ".git/d.txt": "x", "e.png": b"\x89", "f.txt": b"", "~g.txt": "x"}
    data = Text(folder_of(tmp_path, files | left), length=16, batch_size=2, documents=Examples(), tokens=Bytes())
    train, test = data.of("train"), data.of("test")
    assert sorted([*train, *test]) == sorted(files.values()) and 1 <= len(test) <= 12
    folder_of(tmp_path, {"new.txt": "new", "deep/0.md": "other"})
    again = dataclasses.replace(data)
    assert set(train) <= set(again.of("train")) and set(test) <= set(again.of("test"))  # the others have not moved
    said = list(data.understood())
    assert f"{len(train)} train, {len(test)} test" in said[0]
    assert said[1] == "left out: 4 hidden files, 1 empty files, 1 .png"
    stream = Text(str(tmp_path), tokens=Bytes())
    assert "\n\n".join(again.of("train")) == stream.of("train")[0] and len(stream.of("test")) == 1


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("Train/a.txt", "TEST/b.txt"), {"train": ("a",), "test": ("b",)}),
        (("train/a.txt", "val/b.txt", "test/c.txt"), {"train": ("a",), "validation": ("b",), "test": ("c",)}),
        (("training/a.txt", "valid/b.txt", "c.txt"), {"train": ("a",), "test": ("b",)}),
        (("a.txt",), None),
    ],
)
def test_a_folders_own_splits(tmp_path, names, splits):
    name = folder_of(tmp_path, {name: Path(name).stem * 10 for name in names})
    texts = Text(name, documents=Examples(), tokens=Bytes()).texts
    if splits is not None:
        assert texts == {split: tuple(part * 10 for part in parts) for split, parts in splits.items()}
    else:
        assert Text(name, tokens=Bytes()).texts == {"train": ("a" * 9,), "test": ("a",)}


def test_folders_may_be_named_split_by_split_and_cut_at_separators(tmp_path):
    names = {"one/a.txt": "a\n---\nb", "one/b.txt": "c", "two/c.txt": "d"}
    folder_of(tmp_path, names)
    data = Text(train=str(tmp_path / "one"), test=str(tmp_path / "two"), documents=Separated("---"), tokens=Bytes())
    assert data.texts == {"train": ("a", "b", "c"), "test": ("d",)}


def test_a_documents_end_is_a_target_and_no_sample_shows_it(tmp_path):
    name = folder_of(tmp_path, {"a.txt": "ab\n\nb\n\nabba" * 5})
    data = Text(name, length=8, batch_size=2, documents=Separated())
    made_, spec = data.packed("train")["made"], data.spec().made
    end, start = spec.vocabulary - 1, spec.vocabulary
    assert data.vocabulary.size == 3 - 1 and end == 2
    targets, inputs = made_["value"][:, 1:][made_["mask"]], made_["value"][:, :-1][made_["mask"]]
    documents = len(data.of("train"))
    assert (targets == end).sum() == (inputs == start).sum() == documents
    assert not (inputs == end).any() and not (targets == start).any()
    assert words_of(data, np.array([start, 0, 1, end, end])) == "ab" and words_of(data, np.array([start, end])) == ""


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("breaks", ["\n", "\r\n", "\r"])
def test_a_byte_order_mark_and_a_systems_line_breaks_are_no_characters(tmp_path, encoding, breaks):
    text, mark = "añb\n☃\n" * 20, {"utf-16-le": "\ufeff", "utf-16-be": "\ufeff"}.get(encoding, "")
    content = (mark + text.replace("\n", breaks)).encode(encoding)
    data = Text(folder_of(tmp_path, {"a.txt": content, "b.txt": content}), documents=Examples())
    assert data.texts == {"train": (text,), "test": (text,)} and data.vocabulary.characters == "\nabñ☃"
    assert text_of(str(tmp_path / "a.txt")) == text[:-1]
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(content))
    assert Text(str(tmp_path / "a.txt.gz")).vocabulary.characters == "\nabñ☃"


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
        (lambda f: Text(name=f["test"], documents=Examples()).spec(), "is for TFDS sets and folders"),
        (lambda f: Text(name=f["wide"]).spec(), "wide.txt: byte 2 is 0, .* UTF-16 that does not say so"),
        (lambda f: Text(name=f["half"]).spec(), "half.txt begins as UTF-16 does and is none"),
        (lambda f: Text(name=f["bare"]).spec(), r"bare is a folder without a text file \(.txt, .md\)"),
        (lambda f: Text(name="mnist").spec(), "mnist is a set of image, label, and none"),
        (lambda f: Text(name="tiny_shakespeare", data_dir=f["folder"]).spec(), "is not prepared in"),
        (lambda f: Text(residence=Residence.DISK), "larger than memory is data=LongText"),
        (lambda f: Text(skip_bad=-1), "data.skip_bad is -1"),
    ],
)
def test_mistakes_are_one_sentence(make, sentence, files, tmp_path):
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "wide.txt").write_bytes("text".encode("utf-16-le"))
    (tmp_path / "half.txt").write_bytes("text".encode("utf-16")[:-1])
    (tmp_path / "bare").mkdir()
    files |= {name: str(tmp_path / f"{name}.txt") for name in ("wide", "half")} | {"bare": str(tmp_path / "bare")}
    (tmp_path / "torn.gz").write_bytes(Path(files["train"]).read_bytes()[:-20])
    more = {"empty": str(tmp_path / "empty.txt"), "torn": str(tmp_path / "torn.gz"), "folder": str(tmp_path)}
    with pytest.raises(UserError, match=sentence):
        make(files | more)


def test_a_file_of_a_folder_without_a_text_is_left_out(tmp_path):
    """Of white space, or of lines that are no UTF-8."""
    for number in range(12):
        (tmp_path / f"{number}.txt").write_text(f"text number {number}")
    (tmp_path / "blank.txt").write_text(" \n")
    (tmp_path / "latin.txt").write_bytes("gr\u00fc\u00df\n".encode("latin-1"))
    data = Text(str(tmp_path), documents=Examples(), skip_bad=1, length=8, batch_size=1)
    assert sorted(data.of("train") + data.of("test")) == sorted(f"text number {number}" for number in range(12))
