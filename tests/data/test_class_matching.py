"""Classes of a start found among those of other data: by name, by number, or as the user says."""
# SPDX-License-Identifier: Apache-2.0

import pytest

from jaxgen.core.condition_growth import GrowClasses
from jaxgen.data.class_matching import Classes, placed
from jaxgen.errors import UserError
from jaxgen.types import Framing, Image, Label, Spec, Tokens, Unit, Wave

MADE, WORDS = Image(8, 8, 1, 17), Tokens(3, 7, Unit.WORD, Framing.SOURCE)


def data(*names, label="class", **more):
    """Data that give one of the classes of these names, and `more` behind it."""
    return Classes(Spec(MADE, ((label, Label(len(names))), *more.items())), {label: names})


def unnamed(count):
    return Classes(Spec(MADE, (("class", Label(count)),)))


def test_classes_are_found_by_their_names_or_by_their_numbers_or_as_said():
    before, now = data("cat", "dog"), data("ant", "dog", "cow", "cat")
    assert placed(GrowClasses(), before, now) == GrowClasses(places=(3, 1))
    assert placed(GrowClasses(), unnamed(2), now) == GrowClasses(places=(0, 1))
    assert placed(GrowClasses(), before, unnamed(3)) == GrowClasses(places=(0, 1))
    assert placed(GrowClasses(places=(2, 0)), before, now) == GrowClasses(places=(2, 0))


def test_what_is_given_behind_the_class_is_counted():
    more = {"prompt": WORDS, "size": Label(4)}
    found = placed(GrowClasses(), data("a", **more), data("b", "a", **more))
    assert found == GrowClasses(places=(1,), behind=1 + 1 + 5)
    before, now = (
        Classes(Spec(MADE, (("prompt", WORDS), ("class", Label(count))))) for count in (2, 3)
    )
    assert placed(GrowClasses(), before, now) == GrowClasses(places=(0, 1), behind=1)


@pytest.mark.parametrize(
    ("before", "now", "sentence"),
    [
        (data(*"abc"), data(*"ab"), "the start has 3 of class and these data 2; leave it out and let"),
        (data("cat"), data("cats", "gnu"), r"lack cat of the start's classes \(did you mean 'cats'\?\); give"),
        (data(*"abcdefg"), data(*"hijklmnop"), r"lack a, b, c, d, e and 2 more of the start's classes; give `places`"),
        (data(*"ab"), data(*"ab"), "has another number of them; leave it out, or choose other data"),
        (Classes(Spec(MADE)), data(*"ab"), r"these give class, the start's nothing; leave it out"),
        (data(*"ab"), Classes(Spec(MADE)), r"these give nothing, the start's class; leave it out"),
        (data(*"ab", label="kind"), data(*"abc"), "these give class, the start's kind"),
        (
            Classes(Spec(MADE, (("class", Label(2)), ("size", Label(2))))),
            Classes(Spec(MADE, (("class", Label(3)), ("size", Label(3))))),
            "of these data class and size has another number",
        ),
        (data(*"ab", wave=Wave(9, 100)), data(*"abc", wave=Wave(9, 100)), "how a network sees Wave data"),
    ],
    ids=["fewer", "lost", "all lost", "as many", "from nothing", "to nothing", "another", "two labels", "a wave"],
)
def test_classes_that_cannot_be_found(before, now, sentence):
    with pytest.raises(UserError, match=sentence):
        placed(GrowClasses(), before, now)
