"""Sources give every example its turn, and a text goes on where it ended."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.data.builtin import digits
from jaxgen.data.pictures import Pictures
from jaxgen.data.residence import Residence
from jaxgen.data.sources import padded_batches
from jaxgen.data.text import Text
from jaxgen.errors import UserError
from tests.data.batches import batch_at


def batches(source, count):
    state, rows = source.init(jax.random.key(0), None), jnp.arange(source.batch_size)
    one = jax.jit(lambda number: source.next(state, None, number, rows)[0])
    return [jax.device_get(one(jnp.int32(number))) for number in range(count)]


def test_the_digits_are_split_without_overlap_and_as_described():
    sets = digits()
    assert len(sets["train"]["image"]) == 1437 and len(sets["test"]["image"]) == 360
    pictures = np.concatenate([sets[split]["image"].reshape(-1, 64) for split in ("train", "test")])
    assert len(np.unique(pictures, axis=0)) == 1797  # no picture stands twice
    spec = Pictures().spec()
    assert spec.image == pictures.reshape(-1, 8, 8, 1).shape[1:] and spec.levels == pictures.max() + 1


def test_faded_digits_are_the_same_digits_with_half_the_ink():
    fresh, faded = Pictures().arrays("test"), Pictures(name="faded-digits").arrays("test")
    assert np.array_equal(faded["image"], fresh["image"] // 2) and np.array_equal(faded["label"], fresh["label"])


def test_some_classes_and_a_share_of_them():
    whole, some = Pictures().arrays("train"), Pictures(only=(8, 9), fraction=0.1).arrays("train")
    of_them = np.flatnonzero(np.isin(whole["label"], (8, 9)))
    assert np.array_equal(some["image"], whole["image"][of_them[: round(len(of_them) / 10)]])
    assert set(Pictures(only=(8, 9), fraction=0.1).arrays("test")["label"]) == {8, 9}  # and all of the held-out ones
    assert len(Pictures(only=(8, 9), fraction=0.1).arrays("test")["label"]) > 60


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Pictures(fraction=0.0), "data.fraction"),
        (lambda: Pictures(only=(3, 10)).arrays("train"), "no such classes"),
    ],
)
def test_a_choice_that_cannot_be_made_is_told(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()


def test_an_epoch_of_a_resident_set_is_the_set():
    source = Pictures(batch_size=479).source()  # a third of the training split
    labels = np.concatenate([batch["label"] for batch in batches(source, 3)])
    images = np.concatenate([batch["image"] for batch in batches(source, 3)]).reshape(-1, 64)
    train = digits()["train"]
    assert np.array_equal(np.bincount(labels), np.bincount(train["label"]))
    assert np.array_equal(np.unique(images, axis=0), np.unique(train["image"].reshape(-1, 64), axis=0))


def test_host_and_device_give_the_same_batches():
    device, host = (Pictures(batch_size=32, residence=Residence[name]).source() for name in ("DEVICE", "HOST"))
    state = host.init(jax.random.key(0), None)
    for number, batch in enumerate(batches(device, 4)):
        other = batch_at(host, state, number)
        assert batch.keys() == other.keys() and all(np.array_equal(batch[name], other[name]) for name in batch)


def test_a_text_stream_goes_on_where_it_ended_and_starts_anew_after_its_last_batch():
    data = Text(batch_size=4, length=50)
    source, text = data.source(), data.of("train")[0]
    first = batches(source, 3)
    for row in range(4):
        start = row * source.batches * 50
        read = "".join(data.decode(batch["tokens"][row, :-1]) for batch in first)
        assert read == text[start : start + 150]
        assert first[0]["tokens"][row, -1] == first[1]["tokens"][row, 0]  # a target is the next input
    assert first[0]["fresh"].all() and not first[1]["fresh"].any()
    last, again = batches(source, source.batches + 1)[-2:]
    assert not last["fresh"].any() and again["fresh"].all()
    assert np.array_equal(again["tokens"], first[0]["tokens"])


def test_an_evaluation_reads_nearly_all_of_the_text():
    data = Text(batch_size=32, length=128)
    tokens = data.evaluation("test")["tokens"]
    assert tokens[..., 1:].size >= 0.98 * len(data.of("test")[0])


def test_characters_there_and_back_and_the_missing_one_is_named():
    data = Text()
    text = data.of("test")[0][:500]
    assert data.decode(data.encode(text)) == text
    with pytest.raises(UserError, match="'☃' does not occur in the data"):
        data.encode("a ☃ b")


def test_padding_has_no_weight_and_nothing_is_lost():
    padded = padded_batches({"image": np.arange(10)}, 4)
    assert padded["image"].shape == (3, 4)
    assert padded["image"][padded["weight"] > 0].tolist() == list(range(10))


def test_a_users_own_text_file(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("abcd" * 100)
    data = Text(name=str(path), batch_size=2, length=10)
    assert data.spec().vocabulary == 4 and len(data.of("test")[0]) == 40


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: Text(name="pyton-docs").spec(),
            "neither a builtin text nor a file nor a TFDS set; did you mean 'python-docs'",
        ),
        (lambda: Text(batch_size=10_000).source(), "too few for data.batch_size=10000"),
        (lambda: Pictures(crop=-1), "data.crop is -1"),
        (
            lambda: Pictures(crop=8).augment({"image": None}, None),
            "data.crop is 8, and the pictures of digits are 8 wide",
        ),
        (lambda: Pictures(batch_size=0), "batch_size is 0; give at least 1"),
        (lambda: Pictures().evaluation("validation"), "digits has no split 'validation'"),
        (lambda: Text(length=0), "give at least 1 of each"),
    ],
)
def test_mistakes_are_one_sentence(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()
