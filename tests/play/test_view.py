"""What a page may ask for: every field in its range, or one sentence that names it."""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgen.errors import UserError
from jaxgen.play.view import MOST, REACH, View, read_view

NAN, HUGE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ([1], "a view is an object of fields"),
        ("seed", "a view is an object of fields"),
        ({"sead": 1}, "no field 'sead'; did you mean 'seed'"),
        ({"seed": -1}, "seed is -1; give a whole number from 0 to 4294967295"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"seed": 10**5000}, "seed is so large a number"),
        ({"seed": 1.0}, "seed is 1.0"),
        ({"seed": True}, "seed is true"),
        ({"seed": None}, "seed is null"),
        ({"count": 0}, "count is 0; give a whole number from 1 to 16"),
        ({"count": 10**9}, "count is 1000000000"),
        ({"count": "4"}, 'count is "4"'),
        ({"sliders": [3.01]}, "sliders is .* give numbers from -3 to 3"),
        ({"sliders": [NAN]}, "sliders"),
        ({"sliders": [HUGE]}, "sliders"),
        ({"sliders": [True]}, "sliders"),
        ({"sliders": [[0]]}, "sliders"),
        ({"sliders": 1}, "sliders is 1"),
        ({"sliders": None}, "sliders is null"),
        ({"attribute": 4}, "attribute is 4; give a number from -3 to 3"),
        ({"attribute": NAN}, "attribute is NaN"),
        ({"knobs": {"truncation": NAN}}, "truncation is NaN; give a number"),
        ({"knobs": {"truncation": HUGE}}, "truncation"),
        ({"knobs": {"truncation": "1"}}, 'truncation is "1"'),
        ({"knobs": [1]}, "knobs is"),
        ({"given": 3}, "given is 3; give a class or a prompt"),
        ({"given": "a" * 1001}, "given is .*at most 1,000 letters"),
        ({"given": "a\nb"}, "letters that no command line can hold"),
        ({"given": "a\0b"}, "letters that no command line can hold"),
        ({"given": "\ud800"}, "letters that no command line can hold"),
    ],
    ids=lambda part: None,
)
def test_what_is_no_view_is_told_in_a_sentence(document, sentence):
    with pytest.raises(UserError, match=sentence) as told:
        read_view(document)
    assert len(str(told.value)) < 300


VIEWS = st.builds(
    View,
    st.none() | st.text(st.characters(min_codepoint=32, exclude_categories=("Cs",)), max_size=20),
    st.integers(0, 2**32 - 1),
    st.integers(1, MOST),
    st.lists(st.floats(-REACH, REACH), max_size=8).map(tuple),
    st.floats(-REACH, REACH),
    st.dictionaries(st.sampled_from(("truncation", "eta")), st.floats(-1e30, 1e30)),
)


@given(VIEWS)
def test_a_view_goes_to_the_page_and_comes_back(view):
    assert read_view(json.loads(json.dumps(dataclasses.asdict(view)))) == view


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([field.name for field in dataclasses.fields(View)]), JSON))
def test_whatever_comes_is_a_view_or_a_sentence(document):
    try:
        assert isinstance(read_view(document), View)
    except UserError as error:
        assert str(error)
