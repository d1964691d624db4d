"""The names of emoji: every base in one split, every pair once, languages told by name."""
# SPDX-License-Identifier: Apache-2.0

import re

import pytest

from jaxgen.data.emoji_names import EmojiNames, base_of
from jaxgen.data.pairs import Pairs
from jaxgen.data.tokenizers import Characters
from jaxgen.errors import UserError


def test_no_base_is_in_two_splits_and_each_emoji_is_in_one():
    splits = EmojiNames().lines()
    combinations = splits.pop("combinations")
    places_of = {split: [place.removeprefix("the emoji ") for place, *_ in lines] for split, lines in splits.items()}
    bases = {split: set(map(base_of, places)) for split, places in places_of.items()}
    names = list(bases)
    assert not any(bases[a] & bases[b] for a in names for b in names if a < b)
    places = [place for lines in splits.values() for place, *_ in lines]
    assert len(places) == len(set(places)) > 3900
    assert set(combinations) <= set(splits["test"])
    assert 0.03 < len(splits["validation"]) / len(places) < 0.2 and 0.05 < len(splits["test"]) / len(places) < 0.2


@pytest.mark.parametrize(
    ("variant", "base"),
    [("🏃🏽‍♀️", "🏃"), ("👩🏿‍🚀", "🧑‍🚀"), ("👨‍🦰", "🧑"), ("🧑🏻", "🧑"), ("☹️", "☹"), ("🐆", "🐆")],
)
def test_a_variants_base_has_no_skin_gender_or_hair(variant, base):
    assert base_of(variant) == base


def test_the_words_of_a_combination_are_all_known_and_its_base_is_not():
    splits = EmojiNames("de", "en").lines()
    known = {word for _, source, _ in splits["train"] for word in re.findall(r"\w+", source)}
    for _, source, _ in splits["combinations"]:
        assert set(re.findall(r"\w+", source)) <= known
    assert {source for _, source, _ in splits["test"]} - {source for _, source, _ in splits["combinations"]}


def test_any_two_languages_make_pairs_and_others_are_told():
    data = Pairs(train=EmojiNames("fr", "it"), tokens=Characters(), buckets=(32, 128))
    assert data.name == "emoji-names fr-it" and len(data.of("test")) > 300
    with pytest.raises(UserError, match=r"'deu', a language that emoji have no names in.*'de'"):
        EmojiNames("deu").lines()
    with pytest.raises(UserError, match=r"data\.test"):
        Pairs(train=("a", "b"))
    with pytest.raises(UserError, match=r"data\.test"):
        Pairs(train=EmojiNames(), test=("a", "b"))
