"""Requests in a user's words, and samples beside what was given for them."""
# SPDX-License-Identifier: Apache-2.0

import io
import os
import tracemalloc

import numpy as np
import pytest
from PIL import Image as PillowImage
from scipy.io import wavfile

from jaxgen.data.pictures import Pictures
from jaxgen.data.text import Text
from jaxgen.data.tokenizers import Alphabet, BytePairs, WordList
from jaxgen.errors import UserError
from jaxgen.modalities.inputs import lines_of, text_of
from jaxgen.modalities.presentation import Presentation
from jaxgen.modalities.presents import Meaning
from jaxgen.running.data_info import DataInfo
from jaxgen.types import Clip, Framing, Image, Label, Spec, Tokens, Unit, Wave

ANIMALS = Meaning("zoo", ("cat", "dog", "2"))
LETTERS = Meaning("letters", codec=Alphabet("abc"))


def of(data, free=False) -> Presentation:
    info = DataInfo.of(data)
    return Presentation.of(info.spec, info.meanings(data), free)


def zoo(made=Image(4, 4, 1, 17)) -> Presentation:
    return Presentation.of(Spec(made, (("class", Label(3)),)), {"class": ANIMALS, "made": Meaning("zoo")})


def letters(framing=Framing.STREAM, length=8) -> Presentation:
    return Presentation.of(Spec(Tokens(length, 3, framing=framing)), {"made": LETTERS})


def test_each_word_is_one_example_and_count_is_for_each():
    request = zoo().request(["dog", "cat"], 3)
    assert request["given"]["class"]["value"].tolist() == [1, 0, 1, 0, 1, 0]
    assert request["row"].tolist() == list(range(6)) and "made" not in request
    assert zoo().request(["2"], None)["given"]["class"]["value"].tolist() == [2]


def test_samples_begin_from_every_picture_for_every_word_and_what_is_transparent_is_unknown(tmp_path):
    levels = np.arange(16, dtype=np.uint8).reshape(4, 4) * 17
    alpha = np.full((4, 4), 255, np.uint8)
    alpha[:, 2:] = 0
    files = [str(tmp_path / name) for name in ("a.png", "b.png", "whole.png")]
    for file, turned in zip(files, (levels, levels.T), strict=False):
        PillowImage.merge("LA", [PillowImage.fromarray(band) for band in (turned.copy(), alpha)]).save(file)
    PillowImage.fromarray(levels).save(files[2])
    request = zoo(Image(4, 4, 1, 256)).request(["dog", "cat"], 3, files[:2])
    assert request["given"]["class"]["value"].tolist() == [1, 1, 0, 0] * 3 and len(request["row"]) == 12
    made = request["made"]
    np.testing.assert_array_equal(made["value"][::2, :, :2, 0], np.broadcast_to(levels[:, :2], (6, 4, 2)))
    np.testing.assert_array_equal(made["value"][1::2, :, :2, 0], np.broadcast_to(levels.T[:, :2], (6, 4, 2)))
    np.testing.assert_array_equal(made["known"], np.broadcast_to(alpha == 255, (12, 4, 4)))
    whole = zoo(Image(4, 4, 1, 256)).request([], None, files[2:])
    assert set(whole["made"]) == {"value"} and whole["given"] == {} and len(whole["row"]) == 1
    with pytest.raises(UserError, match=r"whole.png has no transparent pixels"):
        zoo(Image(4, 4, 1, 256)).request([], None, files)
    with pytest.raises(UserError, match="--begin is for runs that make pictures"):
        letters().request([], None, files)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "ppm"])
def test_a_picture_where_a_class_or_a_text_is_read_is_told(suffix, tmp_path, monkeypatch):
    file = tmp_path / f"three.{suffix}"
    PillowImage.fromarray(np.random.default_rng(0).integers(128, 256, (16, 16, 3), np.uint8)).save(file)
    word = str(file)
    reads = (
        lambda: zoo().request([word], None),
        lambda: zoo().alternatives([word]),
        lambda: letters().example(word),
        lambda: letters().request([word], None),
    )
    for read in reads:
        with pytest.raises(UserError, match=rf"{suffix} is a picture, and a class or a text is asked for; give one"):
            read()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(file.read_bytes())))
    with pytest.raises(UserError, match="standard input is a picture"):
        zoo().request(["-"], None)
    file.write_bytes(b"\x89PNG\r\n\x1a\n\0\0 cut off")
    with pytest.raises(UserError, match="is no text"):
        zoo().request([word], None)


def test_the_states_of_pictures_are_one_animation():
    value = np.random.default_rng(0).integers(0, 17, (6, 5, 4, 4, 1), np.uint8)
    shown = zoo().show_states({"given": {}, "made": {"value": value}})
    with PillowImage.open(io.BytesIO(shown.content)) as animation:
        assert shown.suffix == "gif" and animation.n_frames >= 5


def test_without_words_there_are_eighty_of_all_classes_in_turn():
    value = zoo().request([], None)["given"]["class"]["value"]
    assert len(value) == 80 and value[:4].tolist() == [0, 1, 2, 0]
    assert of(Pictures(), free=True).request([], None)["given"] == {}


def test_a_class_is_named_or_numbered_and_a_file_or_standard_input_may_hold_it(tmp_path, monkeypatch):
    (tmp_path / "which").write_text("dog\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"cat\n")))
    value = zoo().request([str(tmp_path / "which"), "-", "1"], None)["given"]["class"]["value"]
    assert value.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [("dgo", "did you mean 'dog'"), ("7", "known are '2', 'cat', 'dog'"), ("photo.png", "there is no class")],
)
def test_an_unknown_class_is_answered_with_the_nearest(word, sentence):
    with pytest.raises(UserError, match=sentence):
        zoo().request([word], None)


def test_prompts_of_one_length_are_known_whole_and_others_say_where():
    made = letters().request(["ab", "ca"], 2)["made"]
    assert made["value"].tolist() == [[0, 1], [2, 0], [0, 1], [2, 0]] and "known" not in made
    made = letters().request(["abc", "c"], None)["made"]
    assert made["value"][1][0] == 2 and made["known"].tolist() == [[True] * 3, [True, False, False]]


@pytest.mark.parametrize(
    ("words", "sentence"), [([""], "the text is empty"), (["abd"], "'d' does not occur"), (["ab", ""], "is empty")]
)
def test_a_prompt_that_cannot_be_read_is_told(words, sentence):
    with pytest.raises(UserError, match=sentence):
        letters().request(words, None)


def test_nothing_can_be_given_where_the_data_give_nothing():
    plain = Presentation.of(Spec(Image(4, 4, 1, 17)), {"made": Meaning("plain")})
    with pytest.raises(UserError, match="leave --given out"):
        plain.request(["7"], None)
    with pytest.raises(UserError, match="--count is 0"):
        plain.request([], 0)


def test_a_sentence_is_padded_and_one_that_is_too_long_refused():
    spec = Spec(Tokens(6, 4, framing=Framing.TARGET), (("source", Tokens(4, 3, framing=Framing.SOURCE)),))
    translating = Presentation.of(spec, {"source": LETTERS, "made": LETTERS})
    source = translating.request(["abc", "a"], None)["given"]["source"]
    assert source["value"].tolist() == [[0, 1, 2, 0], [0, 0, 0, 0]]
    assert source["mask"].sum(axis=1).tolist() == [3, 1]
    with pytest.raises(UserError, match="has 5 characters, and the model reads 4"):
        translating.request(["abcab"], None)
    with pytest.raises(UserError, match="made for source"):
        translating.request([], None)
    made = {"value": np.array([[4, 2, 1, 3, 0, 0, 0], [4, 3, 3, 3, 3, 3, 3]])}  # 4 is "start", 3 "end"
    shown = translating.show({"given": {"source": source}, "made": made}).content.decode()
    assert shown.split("\n\n――――――――\n\n") == ["abc\ncb", "a\n"]


def test_a_target_read_is_what_training_sees():
    spec = Spec(Tokens(6, 4, framing=Framing.TARGET), (("source", Tokens(4, 3, framing=Framing.SOURCE)),))
    made = Presentation.of(spec, {"source": LETTERS, "made": LETTERS}).example("ab")["made"]
    assert made["value"].tolist() == [[4, 0, 1, 3]] and made["mask"].tolist() == [[True, True, True]]


def test_a_picture_is_read_as_those_that_are_trained_on(tmp_path):
    """There and back: a grid's picture as a file is the picture's own levels; see-through pixels lie over white."""
    digit = Pictures().arrays("test")["made"]["value"][0]
    presentation = of(Pictures())
    pixels = np.rint(digit[..., 0] * (255 / 16)).astype(np.uint8)
    PillowImage.fromarray(pixels).save(tmp_path / "digit.png")
    assert np.array_equal(presentation.example(str(tmp_path / "digit.png"))["made"]["value"][0], digit)
    PillowImage.fromarray(np.zeros((8, 8, 4), np.uint8)).save(tmp_path / "glass.png")
    assert presentation.example(str(tmp_path / "glass.png"))["made"]["value"].min() == 16


@pytest.mark.parametrize("content", [b"", b"no picture"])
def test_a_file_that_is_no_picture_is_told(tmp_path, content):
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.png: no picture can be read"):
        of(Pictures()).example(str(tmp_path / "broken.png"))
    with pytest.raises(UserError, match="there is no file"):
        of(Pictures()).example(str(tmp_path / "absent.png"))


def test_every_class_is_tried_where_none_is_named():
    named = [shown for shown, _ in zoo().alternatives([])]
    assert named == [{"class": "cat"}, {"class": "dog"}, {"class": "2"}]
    ((shown, given),) = zoo().alternatives(["dog"])
    assert shown == {"class": "dog"} and given["class"]["value"].tolist() == [1]
    assert letters().alternatives([]) == [({}, {})]
    with pytest.raises(UserError, match="--given dog: this run scores without anything given; leave it out"):
        letters().alternatives(["dog"])


def test_pictures_stand_under_the_names_of_their_classes():
    """The captions' pixels differ where the names do, and the pictures below them do not."""
    value = np.arange(6 * 16, dtype=np.uint8).reshape(6, 4, 4, 1) % 17
    samples = {"given": {"class": {"value": np.array([0, 1, 2] * 2)}}, "made": {"value": value}}
    artefact = zoo().show(samples)
    assert artefact.suffix == "png"
    with PillowImage.open(io.BytesIO(artefact.content)) as picture:
        named = np.asarray(picture)
    with PillowImage.open(io.BytesIO(zoo().made.show(samples["made"], None).content)) as picture:
        bare = np.asarray(picture)
    assert named.shape[0] > 2 * 48 and named.shape[1] == 3 * 48 + 2 * 6 and bare.shape != named.shape


def test_a_recording_comes_back_from_its_file(tmp_path):
    wave = Presentation.of(Spec(Wave(800, 8000)), {"made": Meaning("sounds")})
    value = (0.5 * np.sin(np.arange(1600) * 0.1)).reshape(2, 800).astype(np.float32)
    samples = {"given": {}, "made": {"value": value, "length": np.array([800, 500])}}
    artefact = wave.show(samples)
    (tmp_path / "both.wav").write_bytes(artefact.content)
    with pytest.raises(UserError, match=r"lasts 0\.41 s, and the model hears 0\.10 s"):
        wave.example(str(tmp_path / "both.wav"))
    one = wave.show({"given": {}, "made": {"value": value[1:], "length": np.array([500])}})
    (tmp_path / "one.wav").write_bytes(one.content)
    made = wave.example(str(tmp_path / "one.wav"))["made"]
    assert made["length"].tolist() == [500]
    np.testing.assert_allclose(made["value"][0, :500], value[1, :500], atol=1 / 32768)
    assert not made["value"][0, 500:].any()


@pytest.mark.parametrize("piped", [False, True])
def test_an_hour_is_refused_before_it_is_in_memory(piped, tmp_path, monkeypatch):
    """By the size that the header tells, or, of a pipe's, by the file's own."""
    buffer, count = io.BytesIO(), 3600 * 44_100
    wavfile.write(buffer, 44_100, np.ones((1, 2), np.int16))
    head = bytearray(buffer.getvalue()[:44])
    head[40:44] = (0xFFFFFFFF if piped else 4 * count).to_bytes(4, "little")
    (tmp_path / "hour.wav").write_bytes(head)
    os.truncate(tmp_path / "hour.wav", 44 + 4 * count)
    wave = Presentation.of(Spec(Wave(800, 8000)), {"made": Meaning("sounds")})
    tracemalloc.start()
    with pytest.raises(UserError, match=r"lasts 3600\.00 s, and the model hears 0\.10 s"):
        wave.example(str(tmp_path / "hour.wav"))
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    (tmp_path / "hour.wav").write_bytes(buffer.getvalue())  # of standard input, too, the whole is read after its header
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(buffer.getvalue())))
    for word in ("-", str(tmp_path / "hour.wav")):
        with pytest.raises(UserError, match="is silent from its beginning to its end"):
            wave.example(word)


def test_a_clip_comes_back_from_its_file(tmp_path):
    clip = Presentation.of(Spec(Clip(3, 4, 4, 1, 2)), {"made": Meaning("clips")})
    value = np.random.default_rng(0).integers(0, 2, (1, 3, 4, 4, 1)).astype(np.uint8)
    artefact = clip.show({"given": {}, "made": {"value": value}})
    assert artefact.suffix == "gif"
    (tmp_path / "clip.gif").write_bytes(artefact.content)
    np.testing.assert_array_equal(clip.example(str(tmp_path / "clip.gif"))["made"]["value"], value)
    longer = Presentation.of(Spec(Clip(4, 4, 4, 1, 2)), {"made": Meaning("clips")})
    with pytest.raises(UserError, match="has 3 frames"):
        longer.example(str(tmp_path / "clip.gif"))


def test_text_is_shown_as_it_was_encoded():
    text = of(Text(length=16))
    tokens = text.example("A sentence of the text.")["made"]["value"]
    assert text.show({"given": {}, "made": {"value": tokens}}).content.decode() == "A sentence of the text."


def translation(codec=None) -> Presentation:
    """From up to six letters a, b, c to up to three."""
    spec = Spec(Tokens(4, 4, framing=Framing.TARGET), (("source", Tokens(6, 3, framing=Framing.SOURCE)),))
    return Presentation.of(spec, {"source": LETTERS, "made": LETTERS})


def test_each_line_of_a_file_is_a_sentence_and_so_is_each_argument(tmp_path, monkeypatch):
    (tmp_path / "lines").write_text("ab\nc\r\n")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"ca\nbb\n")))
    request = translation().request(["abc", str(tmp_path / "lines"), "-"], None)
    source = request["given"]["source"]
    assert source["mask"].sum(axis=1).tolist() == [3, 2, 1, 2, 2]
    assert source["value"].tolist() == [[0, 1, 2, 0, 0, 0], [0, 1, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0],
                                        [1, 1, 0, 0, 0, 0]]  # fmt: skip
    assert request["row"].tolist() == list(range(5))
    twice = translation().request(["abc", "b"], 2)["given"]["source"]["mask"].sum(axis=1)
    assert twice.tolist() == [3, 1, 3, 1]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("ab\n\nc", "line 2 of .*lines is empty; give a sentence"),
        ("ab\nabcabca", "line 2 of .*lines has 7 characters, and the model reads 6; give less"),
        ("xy", "'x' does not occur"),
        ("", "line 1 of .*lines is empty"),
    ],
)
def test_a_bad_line_is_told_by_its_place(content, sentence, tmp_path):
    (tmp_path / "lines").write_text(content)
    with pytest.raises(UserError, match=sentence):
        translation().request([str(tmp_path / "lines")], None)
    with pytest.raises(UserError, match="the text given is empty"):
        translation().request([" "], None)


def test_a_sentence_of_a_script_that_no_token_holds_is_refused():
    pytest.importorskip("tokenizers")
    merges = BytePairs(300).fit(["Zwei Männer", "Männer und Bären"] * 9, [])
    tokens = Tokens(64, merges.size, Unit.SUBWORD, Framing.SOURCE)
    made = Tokens(64, merges.size + 1, Unit.SUBWORD, Framing.TARGET)
    meaning = Meaning("sentences", codec=merges)
    presentation = Presentation.of(Spec(made, (("source", tokens),)), {"source": meaning, "made": meaning})
    for text in ("Zwei Bären", "ä", "Zwei 漢字"):
        assert presentation.request([text], None)["given"]["source"]["mask"].any()
    for text in ("漢字 とても", "Привет мир"):
        with pytest.raises(UserError, match="the text given has no letter that a token of the model holds"):
            presentation.request([text], None)


def samples_of(*texts, **more):
    """Translations as a task makes them, from "start" to "end" and ends behind."""
    value = np.full((len(texts), 5), 3, np.int32)
    value[:, 0] = 4
    for row, text in enumerate(texts):
        value[row, 1 : len(text) + 1] = ["abc".index(letter) for letter in text]
    given = translation().request(["ab"] * len(texts), None)["given"]
    return {"given": given, "made": {"value": value, **more}}


def test_translations_are_lines_or_stand_below_their_source():
    presentation, samples = translation(), samples_of("cab", "", "b")
    assert presentation.lines(samples) == ["cab", "", "b"]
    assert presentation.show(samples).content.decode().startswith("ab\ncab\n\n")
    several = np.stack([samples["made"]["value"]] * 2, axis=1)
    scores = np.array([[-0.5, -np.inf], [-1.0, -2.0], [-0.1, -0.2]])
    lines = presentation.lines(samples_of("cab", "", "b", alternatives=several, scores=scores))
    assert lines == ["1\t-0.5000\tcab", "2\t-1.0000\t", "2\t-2.0000\t", "3\t-0.1000\tb", "3\t-0.2000\tb"]


def test_translations_are_measured_against_references_and_a_nearest_sentence():
    presentation, real = translation(), samples_of("cab", "abc", "b")
    figures = presentation.made.measures([samples_of("cab", "abc", "c")], real)
    assert figures["exact_match"] == pytest.approx(2 / 3) and 0 < figures["chrf"] < 100
    (name, row), *_ = presentation.references(real, real).items()
    assert name == "nearest training sentence" and row["exact_match"] == pytest.approx(1 / 3)  # all sources are alike


def test_an_attention_map_has_a_cell_for_every_pair_of_places():
    samples = samples_of("cab", "b")
    weights = np.zeros((2, 4, 6))
    weights[0, 1, 1] = weights[1, 0, 0] = 1.0  # of "a" to "b", of "b" to "a"
    artefact = translation().attention(samples, weights)
    with PillowImage.open(io.BytesIO(artefact.content)) as picture:
        pixels = np.asarray(picture)
    blue = (pixels == (0, 0, 255)).all(axis=-1)
    assert artefact.suffix == "png" and 700 < blue.sum() < 1000  # two cells of 21 pixels' side
    with pytest.raises(UserError, match="--attention"):
        zoo().attention({"given": {"class": {"value": np.zeros(1, int)}}, "made": {}}, weights)


def test_a_word_that_looks_like_a_file_and_is_none_is_said(tmp_path, capsys):
    (tmp_path / "letters.txt").write_text("abc")
    assert text_of(str(tmp_path / "letters.txt")) == "abc" and not capsys.readouterr().err
    assert text_of("lettres.txt") == "lettres.txt" and "there is no file lettres.txt" in capsys.readouterr().err
    assert text_of("and/or not") == "and/or not" and not capsys.readouterr().err
    for read in (text_of, lines_of):
        with pytest.raises(UserError, match="is a folder; name its files"):
            read(str(tmp_path))


WORDS = Meaning("words", codec=WordList(("red", "cat", "dog", "<unk>", "<eos>")))


def texts(*rows: str) -> dict[str, np.ndarray]:
    """Of four tokens with start and end, as `Tokens(4, 6, framing=TARGET)` has them."""
    value = np.full((len(rows), 5), 5, np.int32)
    for row, text in zip(value, rows, strict=True):
        tokens = WORDS.codec.encode(text)
        row[0], row[1 : len(tokens) + 1] = 6, tokens
    return {"value": value}


def made_for(given, reader=ANIMALS) -> Presentation:
    made = Tokens(4, 6, Unit.WORD, Framing.TARGET)
    return Presentation.of(Spec(made, (("what", given),)), {"what": reader, "made": WORDS})


@pytest.mark.parametrize(
    ("given", "figures"),
    [
        (Image(2, 2, 3, 256), {"cider", "bleu", "exact_match"}),
        (Wave(8, 8000), {"wer", "cer", "bleu", "chrf", "exact_match"}),
        (Tokens(4, 3, framing=Framing.SOURCE), {"bleu", "chrf", "exact_match"}),
    ],
)
def test_texts_are_measured_by_what_is_given_for_them(given, figures):
    made, real = ({"given": {}, "made": texts("red cat", last)} for last in ("dog", "red dog"))
    found = made_for(given).made.measures([made], real)
    assert {name for name in found if not name.endswith("_signature")} == figures and found["exact_match"] == 0.5
    if "wer" in found:
        assert found["wer"] == 1 / 4


def test_the_nearest_training_picture_tells_a_baseline_and_recordings_have_none():
    value = np.arange(36, dtype=np.uint8).reshape(3, 2, 2, 3)
    train = {"given": {"what": {"value": value}}, "made": texts("red cat", "dog", "red dog")}
    real = {"given": {"what": {"value": value[1:] + 1}}, "made": texts("dog", "cat")}
    rows = made_for(Image(2, 2, 3, 256)).references(train, real)
    assert rows["nearest training picture"]["exact_match"] == 0.5
    assert rows["nearest training picture"]["training_examples"] == 3
    wave = {"value": np.zeros((3, 8), np.float32), "length": np.full(3, 8)}
    recordings = [{"given": {"what": {k: v[:n] for k, v in wave.items()}}, "made": texts(*["dog"] * n)} for n in (3, 2)]
    assert made_for(Wave(8, 8000)).references(*recordings) == {}
    assert made_for(Wave(8, 8000)).made.training == 0  # none are read for it


def read_png(content: bytes) -> np.ndarray:
    return np.asarray(PillowImage.open(io.BytesIO(content)).convert("RGB")).astype(int)


def test_each_picture_stands_beside_its_caption():
    pictures = np.zeros((2, 2, 2, 3), np.uint8)
    pictures[1] = (255, 0, 0)
    presentation = made_for(Image(2, 2, 3, 256))
    shown = presentation.show({"given": {"what": {"value": pictures}}, "made": texts("red cat", "dog")})
    page = read_png(shown.content)
    assert shown.suffix == "png"
    black, red = ((page == colour).all(axis=2) for colour in ((0, 0, 0), (255, 0, 0)))
    assert red.sum() == 96 * 96 and red.nonzero()[0].min() > black[:, :104].nonzero()[0].max()  # below the first
    assert (page[:104, 112:].min() < 128) and (page[112:, 112:].min() < 128)  # letters right of both


def test_texts_stand_above_what_they_should_be_and_recordings_are_kept_apart():
    value = np.linspace(-1, 0.5, 16, dtype=np.float32).reshape(2, 8)
    given = {"what": {"value": value, "length": np.array([8, 3])}}
    shown = made_for(Wave(8, 8000)).show({"given": given, "made": texts("red cat", "dog")}, ["cat", "dog"])
    assert shown.parts == [
        "recording of 0.00 s\nred cat\nreference: cat",
        "recording of 0.00 s\ndog\nreference: dog",
    ]
    for wav, row, length in zip(shown.recordings, value, (8, 3), strict=True):
        rate, samples = wavfile.read(io.BytesIO(wav))
        assert rate == 8000 and np.array_equal(samples, np.rint(row[:length] * 32_768).astype(np.int16))
    pictures = {"what": {"value": np.zeros((1, 2, 2, 3), np.uint8)}}
    bare, with_reference = (
        read_png(made_for(Image(2, 2, 3, 256)).show({"given": pictures, "made": texts("dog")}, said).content)
        for said in (None, ["red cat"])
    )
    assert (with_reference < 128).sum() > 2 * (bare < 128).sum() - 3 * 96 * 96  # black letters, more of them


def test_attention_fades_what_a_word_does_not_look_at():
    pictures, weights = np.zeros((1, 4, 4, 3), np.uint8), np.zeros((1, 4, 4), np.float32)
    weights[0, range(4), [0, 1, 2, 3]] = 1  # word t looks at place t of 2 x 2
    samples = {"given": {"what": {"value": pictures}}, "made": texts("red cat dog")}
    page = read_png(made_for(Image(4, 4, 3, 256)).attention(samples, weights).content)
    for word in range(4):  # three and the end
        left, top = 8 + 104 * (word + 1), 8 + 17
        quarters = page[top : top + 96, left : left + 96, 0].reshape(2, 48, 2, 48).mean(axis=(1, 3)).ravel()
        assert quarters.argmin() == word and quarters[word] == 0 and np.delete(quarters, word).min() > 200


def test_attention_to_a_recording_is_drawn_over_its_own_time():
    wave = {"value": np.zeros((1, 8000), np.float32), "length": np.array([4000])}
    samples, weights = {"given": {"what": wave}, "made": texts("red dog")}, np.full((1, 4, 10), 0.2, np.float32)
    shown = made_for(Wave(8000, 8000)).attention(samples, weights)
    page = read_png(shown.content)
    cells = (page[..., 0] == 204) & (page[..., 2] == 255)  # of a weight of 0.2
    assert shown.suffix == "png" and cells.sum() == 3 * 5 * 21 * 21  # three words, five places of a tenth of a second


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "1"])
def test_pictures_of_any_kind_and_of_one_pixel_are_read(mode, tmp_path):
    PillowImage.new(mode, (1, 1), 0).save(tmp_path / "one.png")
    request = made_for(Image(4, 4, 3, 256)).request([str(tmp_path / "one.png")], None)
    value = request["given"]["what"]["value"]
    seen_through = mode in ("LA", "RGBA")  # what is transparent lies over white
    assert value.shape == (1, 4, 4, 3) and (value == (255 if seen_through else 0)).all()
