"""Sources give every example its turn, and a text goes on where it ended."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.data.builtin import digits
from jaxgen.data.documents import Separated
from jaxgen.data.pictures import Pictures
from jaxgen.data.residence import Residence
from jaxgen.data.sources import padded_batches
from jaxgen.data.text import Text
from jaxgen.errors import UserError
from jaxgen.types import Image, Label, Spec
from tests.data.batches import batch_at, given, made, same, words_of


def batches(source, count):
    state, rows = source.init(jax.random.key(0), None), jnp.arange(source.batch_size)
    one = jax.jit(lambda number: source.next(state, None, number, rows)[0])
    return [jax.device_get(one(jnp.int32(number))) for number in range(count)]


def test_the_digits_are_split_without_overlap_and_as_described():
    sets = digits()
    assert len(made(sets["train"])) == 1437 and len(made(sets["test"])) == 360
    pictures = np.concatenate([made(sets[split]).reshape(-1, 64) for split in ("train", "test")])
    assert len(np.unique(pictures, axis=0)) == 1797  # no picture stands twice
    spec = Pictures().spec()
    assert spec == Spec(Image(8, 8, 1, int(pictures.max()) + 1), (("class", Label(10)),))


def test_faded_digits_are_the_same_digits_with_half_the_ink():
    fresh, faded = Pictures().arrays("test"), Pictures(name="faded-digits").arrays("test")
    assert np.array_equal(made(faded), made(fresh) // 2) and np.array_equal(given(faded), given(fresh))


def test_some_classes_and_a_share_of_them():
    whole, some = Pictures().arrays("train"), Pictures(only=(8, 9), fraction=0.1).arrays("train")
    of_them = np.flatnonzero(np.isin(given(whole), (8, 9)))
    assert np.array_equal(made(some), made(whole)[of_them[: round(len(of_them) / 10)]])
    assert set(given(Pictures(only=(8, 9), fraction=0.1).arrays("test"))) == {8, 9}  # and all of the held-out ones
    assert len(given(Pictures(only=(8, 9), fraction=0.1).arrays("test"))) > 60


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
    labels = np.concatenate([given(batch) for batch in batches(source, 3)])
    images = np.concatenate([made(batch) for batch in batches(source, 3)]).reshape(-1, 64)
    train = digits()["train"]
    assert np.array_equal(np.bincount(labels), np.bincount(given(train)))
    assert np.array_equal(np.unique(images, axis=0), np.unique(made(train).reshape(-1, 64), axis=0))


def test_host_and_device_give_the_same_batches():
    device, host = (Pictures(batch_size=32, residence=Residence[name]).source() for name in ("DEVICE", "HOST"))
    state = host.init(jax.random.key(0), None)
    for number, batch in enumerate(batches(device, 4)):
        assert same(batch, batch_at(host, state, number))


def test_a_text_stream_goes_on_where_it_ended_and_starts_anew_after_its_last_batch():
    data = Text(batch_size=4, length=50)
    source, text = data.source(), data.of("train")[0]
    first = batches(source, 3)
    for row in range(4):
        start = row * source.batches * 50
        read = "".join(words_of(data, made(batch)[row, :-1]) for batch in first)
        assert read == text[start : start + 150]
        assert made(first[0])[row, -1] == made(first[1])[row, 0]  # a target is the next input
    assert first[0]["fresh"].all() and not first[1]["fresh"].any()
    last, again = batches(source, source.batches + 1)[-2:]
    assert not last["fresh"].any() and again["fresh"].all()
    assert np.array_equal(made(again), made(first[0]))


def test_an_evaluation_reads_nearly_all_of_the_text():
    data = Text(batch_size=32, length=128)
    tokens = made(data.evaluation("test"))
    assert tokens[..., 1:].size >= 0.98 * len(data.of("test")[0])


def test_characters_there_and_back_and_the_missing_one_is_named():
    data, codec = Text(), Text().codec("made")
    text = data.of("test")[0][:500]
    assert codec.decode(codec.encode(text)) == text
    with pytest.raises(UserError, match="'☃' does not occur in the data"):
        codec.encode("a ☃ b")


def test_padding_has_no_weight_and_nothing_is_lost():
    padded = padded_batches({"given": {}, "made": {"value": np.arange(10)}}, 4)
    assert made(padded).shape == (3, 4)
    assert made(padded)[padded["weight"] > 0].tolist() == list(range(10))


@pytest.mark.parametrize("data", [Pictures(), Pictures(train="train[:60%]"), Pictures(name="faded-digits")], ids=str)
def test_validation_is_a_tenth_of_what_is_trained_on_chosen_by_a_hash(data):
    def pictures(data, split):
        return {image.tobytes() for image in made(data.arrays(split))}

    held = data.with_validation()
    train, validation = pictures(held, "train"), pictures(held, "validation")
    assert not train & validation and train | validation == pictures(data, "train")
    assert 0.06 < len(validation) / len(train | validation) < 0.14
    assert pictures(held, "test") == pictures(data, "test") and not validation & pictures(data, "test")
    half = Pictures(name=data.name, train="train[:30%]").with_validation()  # fewer examples move no other one
    assert pictures(half, "validation") <= validation and pictures(half, "train") <= train
    digests = held.split_digests()
    assert digests["validation"]["examples"] == len(made(held.arrays("validation")))
    assert digests == data.with_validation().split_digests()


def test_a_text_sets_its_last_tenth_aside_and_documents_by_a_hash():
    whole, held = Text().of("train")[0], Text().with_validation()
    assert held.of("train")[0] + held.of("validation")[0] == whole and held.of("test") == Text().of("test")
    packed = Text(documents=Separated())
    held = packed.with_validation()
    train, validation = held.of("train"), held.of("validation")
    assert sorted(train + validation) == sorted(packed.of("train"))
    assert 0.07 < len(validation) / len(train + validation) < 0.13


def test_a_users_own_text_file(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("abcd" * 100)
    data = Text(name=str(path), batch_size=2, length=10)
    assert data.spec().made.vocabulary == 4 and len(data.of("test")[0]) == 40


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
            lambda: Pictures(crop=8).augment({"made": {"value": None}}, None),
            "data.crop is 8, and the pictures of digits are 8 wide",
        ),
        (lambda: Pictures(batch_size=0), "batch_size is 0; give at least 1"),
        (lambda: Pictures().evaluation("validation"), "digits has no validation split; name one by data.validation"),
        (lambda: Text(length=0), "give at least 1 of each"),
    ],
)
def test_mistakes_are_one_sentence(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()
