"""Prompts in a user's spelling: what is alike is known, what is not is named with the nearest, and left out."""
# SPDX-License-Identifier: Apache-2.0

import io

import numpy as np
import pytest
from PIL import Image as Picture

from jaxgen.data.tokenizers import WordList
from jaxgen.errors import UserError
from jaxgen.modalities.presentation import Presentation
from jaxgen.modalities.presents import Meaning
from jaxgen.types import Framing, Image, Spec, Tokens, Unit

WORDS = WordList(("hand", "OK", "red", "heart", "o’clock", "waving", "ok", "<eos>", "<unk>"))
SPEC = Spec(Image(8, 8, 3, 256), (("prompt", Tokens(4, WORDS.size, Unit.WORD, Framing.SOURCE)),))
PRESENTATION = Presentation.of(SPEC, {name: Meaning("mine", codec=WORDS) for name in ("prompt", "made")})


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("waving hand: Red", "waving hand red"),
        ("ok OK Ok", "ok OK OK"),
        ("“heart”  o'clock!", "heart o’clock"),
    ],
)
def test_words_are_known_however_they_are_spelled(typed, read, capsys):
    request = PRESENTATION.request([typed], None)
    assert PRESENTATION.given["prompt"].captions(request["given"]["prompt"]) == [read]
    assert not capsys.readouterr().err


def test_an_unknown_word_is_named_and_left_out_and_a_prompt_of_such_alone_is_none(capsys):
    request = PRESENTATION.request(["a red hart"], 2)
    assert PRESENTATION.given["prompt"].captions(request["given"]["prompt"]) == ["red", "red"]
    told = " ".join(capsys.readouterr().err.split())
    assert "left out: 'a' and 'hart' (did you mean 'heart'" in told
    for words, sentence in (
        ("hart", "no word that the model was trained with: 'hart'"),
        ("  ", "is empty"),
        ("red " * 1000, "1000 words, and the model reads 4"),
        ("x y z v w", "'z' and 2 more; give others"),
    ):
        with pytest.raises(UserError, match=sentence):
            PRESENTATION.request([words], None)


def test_samples_begin_from_every_picture_for_every_line_of_a_file_of_prompts(tmp_path):
    (tmp_path / "prompts.txt").write_text("red heart\nwaving hand\n", encoding="utf-8")
    for name, shade in (("a.png", 0), ("b.png", 255)):
        Picture.new("RGB", (8, 8), (shade,) * 3).save(tmp_path / name)
    begun = [str(tmp_path / name) for name in ("a.png", "b.png")]
    request = PRESENTATION.request([str(tmp_path / "prompts.txt")], None, begun)
    prompts = PRESENTATION.given["prompt"].captions(request["given"]["prompt"])
    assert prompts == ["red heart", "red heart", "waving hand", "waving hand"]
    assert request["made"]["value"][:, 0, 0, 0].tolist() == [0, 255, 0, 255]


def test_a_sheet_shows_each_prompt_above_all_of_its_pictures():
    request = PRESENTATION.request(["red heart", "waving hand"], 3)
    value = np.zeros((6, 8, 8, 3), np.uint8)
    value[::2, ..., 0] = 255  # the rows come in turn
    value[1::2, ..., 2] = 255
    page = PRESENTATION.show({"given": request["given"], "made": {"value": value}})
    pixels = np.asarray(Picture.open(io.BytesIO(page.content)).convert("RGB")).astype(int)
    red, blue = (np.all(pixels == colour, axis=-1) for colour in ((255, 0, 0), (0, 0, 255)))
    assert red.sum() == blue.sum() == 3 * 96 * 96
    ink = np.flatnonzero(np.any(pixels.max(axis=-1) < 100, axis=1))  # dark letters
    lines = np.flatnonzero(red.any(axis=1)), np.flatnonzero(blue.any(axis=1))
    assert ink[0] < lines[0][0] and lines[0][-1] < ink[-1] < lines[1][0]
