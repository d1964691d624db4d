"""Labels in pictures can be read, whichever letters they have and whichever fonts are there."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageFont

from jaxgen.reporting import fonts
from jaxgen.reporting.attention_maps import attention_maps
from jaxgen.reporting.fonts import font_for, has, legible

OWN = ImageFont.load_default(size=12)


@pytest.mark.parametrize(
    ("text", "shown"), [("Two men.", "Two men."), ("Männer für Ćwik", "Manner fur Cwik"), ("漢 д", "? ?"), ("", "")]
)
def test_without_another_font_a_letter_is_its_base_letter_or_a_question_mark(text, shown, monkeypatch):
    monkeypatch.setattr(fonts, "_SYSTEM", ("no such font.ttf",))
    fonts._system.cache_clear()
    assert legible(text, font_for([text], 12)) == shown
    fonts._system.cache_clear()


@given(st.lists(st.text(max_size=4), max_size=3))
def test_what_is_shown_has_a_picture_of_each_letter(texts):
    font = font_for(texts, 12)
    assert all(has(font, letter) for text in texts for letter in legible(text, font))


def test_ascii_is_drawn_alike_on_every_machine():
    assert font_for(["woman", "running"], 12).getname() == OWN.getname()


def test_letters_that_a_font_of_the_system_has_are_left_as_they_are():
    font = font_for(["Männer"], 12)
    if font.getname() == OWN.getname():
        pytest.skip("none of the fonts that are looked for is installed")
    assert legible("Männer", font) == "Männer"
    one, other = (attention_maps([np.ones((1, 1))], [["men"]], [[label]]) for label in ("Männer", "Manner"))
    assert one != other
