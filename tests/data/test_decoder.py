"""One decoder: every mode, depth and orientation against numpy; what cannot be shown as it is meant is refused."""
# SPDX-License-Identifier: Apache-2.0

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxgen.data.decoder import check_picture, fitted, opaque, picture_size, read_known, read_picture
from jaxgen.data.examples import BadExample
from jaxgen.data.pictures import Pictures
from jaxgen.modalities.image import ImagePresents
from jaxgen.modalities.presents import Meaning
from jaxgen.types import Image as Size
from tests.data.batches import made

DRAW = np.random.default_rng(0)
RGB = DRAW.integers(0, 256, (4, 6, 3), np.uint8)
GREY = DRAW.integers(0, 256, (4, 6), np.uint8)
DEEP = DRAW.integers(0, 65_536, (4, 6), np.uint16)
ALPHA = np.tile(np.array([0, 64, 128, 255, 1, 254], np.uint8), (4, 1))

TURNED = {  # EXIF's orientations: how what is stored becomes what is shown
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(np.rint(values).astype(np.uint8)[..., None], 3, -1)


def over_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return colour * share + 255 * (1 - share)


def saved(file: Path, picture: Image.Image, **options) -> np.ndarray:
    """What the decoder reads from the file, [4, 6, 3] as int."""
    picture.save(file, **options)
    return read_picture(file, (4, 6, 3)).astype(int)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
@pytest.mark.parametrize("orientation", TURNED)
def test_a_picture_is_upright_whatever_its_exif_says(orientation, suffix, tmp_path):
    exif, file = Image.Exif(), tmp_path / f"a.{suffix}"
    exif[274] = orientation
    smooth = np.tile(np.linspace(0, 250, 48, dtype=np.uint8)[None, :, None], (32, 1, 3))  # which JPEG keeps
    smooth[16:] //= 2
    Image.fromarray(smooth).save(file, exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    expected = TURNED[orientation](smooth).astype(int)
    assert picture_size(file) == expected.shape[:2]
    found = read_picture(file, (*picture_size(file), 3))
    assert np.abs(found - expected).max() <= (12 if suffix == "jpg" else 0)


@pytest.mark.parametrize(
    ("suffix", "picture", "expected"),
    [
        ("png", Image.fromarray(RGB), RGB),
        ("png", Image.fromarray(GREY), grey(GREY)),
        ("png", Image.fromarray(GREY > 99), grey((GREY > 99) * 255)),
        ("bmp", Image.fromarray(RGB), RGB),
        ("tga", Image.fromarray(RGB), RGB),
        ("ppm", Image.fromarray(RGB), RGB),
        ("png", Image.fromarray(DEEP), grey(DEEP / 257)),  # I;16
        ("tif", Image.fromarray(DEEP), grey(DEEP / 257)),
        ("tif", Image.fromarray(DEEP.astype(">u2")), grey(DEEP / 257)),  # I;16B
        ("tif", Image.fromarray((GREY / 255).astype(np.float32)), grey(GREY)),  # F
        ("pfm", Image.fromarray((GREY / 255).astype(np.float32)), grey(GREY)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_mode_and_depth_is_what_numpy_says(suffix, picture, expected, tmp_path):
    assert np.array_equal(saved(tmp_path / f"a.{suffix}", picture), expected)


def test_sixteen_bits_that_open_as_integers_are_scaled_and_not_cut(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 6 4 65535\n" + DEEP.astype(">u2").tobytes())
    assert np.array_equal(read_picture(tmp_path / "a.pgm", (4, 6, 3)), grey(DEEP / 257))
    assert np.array_equal(fitted(Image.fromarray(DEEP.astype(np.int32)), (4, 6, 3)), grey(DEEP / 257))


def test_a_tiff_whose_zero_is_white_is_not_shown_as_its_negative(tmp_path):
    tags = {262: 0}
    assert np.array_equal(saved(tmp_path / "a.tif", Image.fromarray(DEEP), tiffinfo=tags), grey((65_535 - DEEP) / 257))


@pytest.mark.parametrize("channels", ["RGBA", "LA"])
def test_what_is_transparent_lies_over_white(channels, tmp_path):
    colour = RGB if channels == "RGBA" else GREY[..., None]
    picture = Image.fromarray(np.concatenate([colour, ALPHA[..., None]], -1))
    assert picture.mode == channels
    expected = over_white(np.broadcast_to(colour, RGB.shape), ALPHA)
    for suffix in ("png", "tif"):
        assert np.abs(saved(tmp_path / f"a.{suffix}", picture) - expected).max() <= 1
    if channels == "RGBA":
        premultiplied = opaque(picture.convert("RGBa"))
        assert np.abs(np.asarray(premultiplied)[:, 2:4] - expected[:, 2:4]).max() <= 2


def test_a_palette_has_transparent_entries_by_number_or_with_an_alpha_each(tmp_path):
    index = DRAW.integers(0, 4, (4, 6), np.uint8)
    colours = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200], [9, 9, 9]], np.uint8)
    picture = Image.frombytes("P", (6, 4), index.tobytes())
    picture.putpalette(colours.tobytes())
    plain = colours[index]
    assert np.array_equal(saved(tmp_path / "plain.png", picture), plain)
    for suffix in ("png", "gif"):
        one = saved(tmp_path / f"one.{suffix}", picture, transparency=2)
        assert np.array_equal(one, np.where(index[..., None] == 2, 255, plain))
    alphas = np.array([255, 0, 128, 255], np.uint8)
    found = saved(tmp_path / "each.png", picture, transparency=alphas.tobytes())
    assert np.abs(found - over_white(plain, alphas[index])).max() <= 1


def test_one_colour_may_be_the_transparent_one_in_every_depth(tmp_path):
    cases = [
        (Image.fromarray(GREY), int(GREY[1, 2]), GREY[1, 2] == GREY, grey(GREY)),
        (Image.fromarray(DEEP), int(DEEP[1, 2]), DEEP[1, 2] == DEEP, grey(DEEP / 257)),
        (Image.fromarray(RGB), tuple(RGB[1, 2].tolist()), (RGB[1, 2] == RGB).all(-1), RGB),
    ]
    for picture, colour, see_through, plain in cases:
        found = saved(tmp_path / "a.png", picture, transparency=colour)
        assert see_through.any() and np.array_equal(found, np.where(see_through[..., None], 255, plain)), picture.mode


def test_colour_spaces_become_rgb(tmp_path):
    ink = 255 - RGB.astype(int)
    cmyk = Image.frombytes("CMYK", (6, 4), np.concatenate([ink, np.zeros((4, 6, 1))], -1).astype(np.uint8).tobytes())
    assert np.abs(saved(tmp_path / "a.tif", cmyk) - RGB).max() <= 1
    for mode in ("YCbCr", "HSV"):
        assert np.abs(np.asarray(opaque(Image.fromarray(RGB).convert(mode))).astype(int) - RGB).max() <= 12, mode
    neutral = np.zeros((1, 3, 3), np.uint8)  # L* of 0, 53.585 and 100, without colour; 53.585 is sRGB's 128
    neutral[0, :, 0] = 0, round(53.585 * 2.55), 255
    found = np.asarray(opaque(Image.frombytes("LAB", (3, 1), neutral.tobytes()))).astype(int)
    assert np.abs(found[0] - [[0] * 3, [128] * 3, [255] * 3]).max() <= 1


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (48, 48)])
def test_what_is_transparent_has_no_part_in_the_pixels_that_are_known(size, tmp_path):
    """However it is scaled: a dark picture with a hole of another colour is dark wherever it is known."""
    pixels = np.full((32, 32, 4), (40, 60, 80, 255), np.uint8)
    pixels[6:15, 10:21] = 255, 0, 0, 0
    pixels[6, 10, 3] = 128
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found, known = read_known(tmp_path / "a.png", (*size, 3))
    covers = np.add.reduceat(np.add.reduceat(pixels[..., 3] < 255, range(0, 32, 4), 0), range(0, 32, 4), 1)
    assert size != (8, 8) or np.array_equal(known, covers == 0)
    assert known.any() and not known.all() and (found[known] == (40, 60, 80)).all()
    whole = Image.fromarray(np.dstack([RGB, np.full((4, 6), 255, np.uint8)]))
    whole.save(tmp_path / "whole.png")
    found, known = read_known(tmp_path / "whole.png", (4, 6, 3))
    assert known is None and np.array_equal(found, RGB)


def test_of_an_animation_the_first_frame_is_shown(tmp_path):
    frames = [Image.new("RGB", (6, 4), (level, 0, 0)) for level in (10, 200)]
    for suffix in ("gif", "webp", "png", "tif"):
        lossless = {"lossless": True} if suffix == "webp" else {}
        found = saved(tmp_path / f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:], **lossless)
        assert np.abs(found - [10, 0, 0]).max() <= 1 and check_picture(tmp_path / f"a.{suffix}") == 2


@pytest.mark.parametrize(
    ("picture", "sentence"),
    [
        (Image.fromarray(np.full((4, 6), 3.5, np.float32)), r"a.tif: .*floats from 3.5 to 3.5 and not 0 to 1"),
        (Image.fromarray(np.full((4, 6), np.nan, np.float32)), "floats from nan to nan"),
        (Image.fromarray(np.full((4, 6), 9, np.int32)), "integers of 32 bits, or signed, whose range is not known"),
    ],
)
def test_values_of_no_known_range_are_refused_by_name(picture, sentence, tmp_path):
    with pytest.raises(BadExample, match=sentence):
        saved(tmp_path / "a.tif", picture)


def test_the_extension_does_not_matter_and_what_is_no_picture_is_named(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert np.array_equal(read_picture(tmp_path / "a.jpg", (4, 6, 3)), RGB)
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c.png").mkdir()
    for name, sentence in (("b.png", "the file is empty"), ("c.png", "directory"), ("d.png", "No such file")):
        with pytest.raises(BadExample, match=rf"{name}: no picture can be read from it \(.*{sentence}"):
            read_picture(tmp_path / name, (4, 6, 3))


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    smooth = np.tile(np.linspace(0, 250, 96, dtype=np.uint8)[None, :, None], (80, 1, 3))
    files = {}
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"):
        Image.fromarray(smooth).save(buffer := io.BytesIO(), kind)
        files[kind] = buffer.getvalue()
    return files


@given(st.data())
@settings(max_examples=60)
def test_damaged_bytes_are_a_bad_picture_or_one_that_reads_and_nothing_else(whole, tmp_path_factory, data):
    raw = bytearray(whole[data.draw(st.sampled_from(sorted(whole)))])
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw) - 1))]
    else:
        for place in data.draw(st.lists(st.integers(0, min(len(raw), 300) - 1), max_size=8)):
            raw[place] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.getbasetemp() / "damaged.png"
    file.write_bytes(raw)
    try:
        assert read_picture(file, (8, 8, 3)).shape == (8, 8, 3)
    except BadExample as error:
        assert str(file) in str(error)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_what_is_cut_off_is_found_by_the_quick_check_too(kind, whole, tmp_path):
    (tmp_path / "a.jpg").write_bytes(whole[kind])
    assert check_picture(tmp_path / "a.jpg") == 1
    (tmp_path / "a.jpg").write_bytes(whole[kind][: len(whole[kind]) * 3 // 4])
    with pytest.raises(BadExample, match="truncated"):
        check_picture(tmp_path / "a.jpg")


def test_score_and_training_see_the_same_picture(tmp_path):
    """Whatever its mode, turn and proportions are; read as a set's only picture and as a word of the command line."""
    exif = Image.Exif()
    exif[274] = 6
    tall = DRAW.integers(0, 256, (30, 17, 4), np.uint8)
    pictures = [Image.fromarray(tall), Image.fromarray(tall[..., :2]), Image.fromarray(tall[..., 0].astype(np.uint16))]
    for number, picture in enumerate([*pictures, Image.fromarray(tall).quantize(16)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        picture.save(folder / "a.png", exif=exif)
        data = Pictures(name=str(folder), size=12)
        trained = made(data.arrays("train"))[0]
        presents = ImagePresents(Size(12, 12, 3, 256), Meaning("", (), None))
        assert np.array_equal(presents.read([str(folder / "a.png")])["value"][0], trained)


def test_a_page_description_with_the_name_of_a_picture_is_none(tmp_path):
    """What is in a file counts, and no program is started to read it."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n%%EOF\n")
    with pytest.raises(BadExample, match="cannot identify image file"):
        read_picture(tmp_path / "a.png", (4, 4, 3))
