"""Which examples a word names."""
# SPDX-License-Identifier: Apache-2.0

import pytest

from jaxgen.running.edit_examples import named_by


@pytest.mark.parametrize(
    ("caption", "word", "named"),
    [
        ("7", "7", True),
        ("17", "7", False),
        ("waving hand dark skin tone", "dark skin tone", True),
        ("waving hand medium-dark skin tone", "dark skin tone", False),
        ("waving hand medium-dark skin tone", "Medium-Dark", True),
        ("lightning over a field", "light", False),
        ("A red, round thing.", "red", True),
        ("the sum (c++) of it", "c++", True),
    ],
)
def test_a_word_of_a_caption_is_whole(caption, word, named):
    assert named_by(caption, [word]) is named
