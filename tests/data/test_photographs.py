"""Photographs there and back: depth, channels, transparency and profile, as Pillow or the numbers have them."""
# SPDX-License-Identifier: Apache-2.0

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxgen.data.photographs import MOST_PIXELS, Photograph, png, read_mask, read_photograph
from jaxgen.errors import UserError


@settings(max_examples=25)
@given(st.sampled_from([np.uint8, np.uint16]), st.sampled_from([1, 3]), st.booleans(), st.integers(0, 2**32 - 1))
def test_pixels_and_transparency_come_back_bit_for_bit(tmp_path_factory, depth, channels, clear, seed):
    rng, most = np.random.default_rng(seed), np.iinfo(depth).max
    size = tuple(rng.integers(1, 9, 2))
    pixels = rng.integers(0, most, (*size, channels), depth, endpoint=True)
    pixels[0, 0, 0] ^= 1 if channels == 3 and (pixels == pixels[..., :1]).all() else 0  # in colour indeed
    alpha = rng.integers(0, most, size, depth, endpoint=True) if clear else None
    file = tmp_path_factory.mktemp("there") / "x.png"
    file.write_bytes(png(Photograph(pixels, alpha)))
    read = read_photograph(file)
    assert read.pixels.dtype == depth and (read.alpha is None) == (alpha is None)
    np.testing.assert_array_equal(read.pixels, pixels)
    np.testing.assert_array_equal(read.with_unit(read.unit).pixels, pixels)
    if clear:
        np.testing.assert_array_equal(read.alpha, alpha)
    if depth is np.uint8:
        with Image.open(file) as picture:
            assert picture.mode == {1: "L", 3: "RGB"}[channels] + ("A" if clear else "")
            np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), np.broadcast_to(pixels, (*size, 3)))


def _saved(folder, picture: Image.Image, suffix: str = "png", **how):
    file = folder / f"x.{suffix}"
    picture.save(file, **how)
    return file


def _ramp(mode: str = "RGB") -> Image.Image:
    colours = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3) * 3
    return Image.fromarray(colours).convert(mode)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "LAB"])
def test_other_kinds_of_colours_are_read_as_pillow_converts_them(mode, tmp_path):
    picture = _ramp() if mode != "LAB" else Image.new("LAB", (4, 6), (128, 128, 128))
    picture = picture.convert(mode) if mode != "LAB" else picture
    read = read_photograph(_saved(tmp_path, picture, "tif" if mode in ("CMYK", "YCbCr", "LAB") else "png"))
    if mode == "LAB":
        assert read.pixels.shape == (6, 4, 1) and abs(int(read.pixels[0, 0, 0]) - 119) <= 2  # L* = 50
        return
    wanted = np.asarray(picture.convert("RGB")).astype(int)
    assert np.abs(wanted - read.pixels).max() <= 2 and read.pixels.shape[2] == (1 if mode in ("1", "L") else 3)


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
    stored = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(4, 16))
    exif = Image.Exif()
    exif[274] = 6  # to be turned by a quarter, clockwise
    read = read_photograph(_saved(tmp_path, stored, exif=exif))
    np.testing.assert_array_equal(read.pixels[..., 0], np.rot90(np.asarray(stored), -1))


def test_a_colour_profile_goes_along_and_one_of_other_colours_does_not(tmp_path):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    read = read_photograph(_saved(tmp_path, _ramp(), icc_profile=profile))
    with Image.open(io.BytesIO(png(read))) as written:
        assert written.info["icc_profile"] == profile
    grey = read.with_unit(read.unit[..., :1])
    with Image.open(io.BytesIO(png(grey))) as written:
        assert written.mode == "RGB" and written.info["icc_profile"] == profile
    cmyk = read_photograph(_saved(tmp_path, _ramp("CMYK"), "tif", icc_profile=profile))
    assert cmyk.profile is None


def test_transparency_is_resized_with_the_picture():
    alpha = np.array([[0, 255], [0, 255]], np.uint8)
    larger = Photograph(np.zeros((2, 2, 3), np.uint8), alpha).with_unit(np.ones((4, 4, 3), np.float32))
    assert larger.pixels.min() == 255 and larger.alpha.shape == (4, 4)
    np.testing.assert_array_equal(larger.alpha[:, [0, 3]], np.tile([0, 255], (4, 1)))


def test_the_tables_of_a_jpeg_file_are_in_their_natural_order(tmp_path):
    read = read_photograph(_saved(tmp_path, _ramp(), "jpg", quality=50))
    np.testing.assert_array_equal(read.divisors[0], [16, 11, 10, 16, 24, 40, 51, 61])  # ITU-T T.81, annex K


def test_a_jpeg_file_tells_how_fine_its_chroma_is_and_how_it_is_turned(tmp_path):
    for how, tag, chroma, orientation in ((0, 1, (1, 1), 1), (1, 6, (1, 2), 6), (2, 9, (2, 2), 1)):
        exif = Image.Exif()
        exif[274] = tag
        read = read_photograph(_saved(tmp_path, _ramp(), "jpg", subsampling=how, exif=exif))
        assert (read.chroma, read.orientation) == (chroma, orientation)
        assert read.pixels.shape[:2] == ((4, 6) if orientation == 6 else (6, 4))


def _frames(folder):
    return _saved(folder, _ramp(), "gif", save_all=True, append_images=[_ramp().rotate(90)])


def _cut(folder):
    file = _saved(folder, _ramp().resize((64, 64)))
    file.write_bytes(file.read_bytes()[:200])
    return file


def _huge(folder):
    return _saved(folder, Image.new("1", (8000, 8000)))


def _words(folder):
    (folder / "x.png").write_text("no picture")
    return folder / "x.png"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (_frames, "has 2 frames; give one of them"),
        (_cut, "no picture can be read from it"),
        (_huge, f"{MOST_PIXELS:,} are the most; scale it down, or cut it"),
        (_words, "no picture can be read from it"),
        (lambda folder: folder / "none.png", "give another file"),
        (lambda folder: folder, "give another file"),
        (lambda folder: _saved(folder, Image.new("F", (2, 2), 7.0), "tif"), "floats from 7 to 7"),
    ],
)
def test_what_is_no_photograph_is_told_in_a_sentence(make, sentence, tmp_path):
    with pytest.raises(UserError) as told:
        read_photograph(make(tmp_path))
    assert sentence in str(told.value) and "\n" not in str(told.value)


def test_standard_input_is_read_as_a_file_is(tmp_path):
    deep = Photograph(np.random.default_rng(0).integers(0, 65_535, (5, 4, 3), np.uint16))
    read = read_photograph(io.BytesIO(png(deep)), "standard input")
    np.testing.assert_array_equal(read.pixels, deep.pixels)
    with pytest.raises(UserError, match=r"^standard input: no picture can be read from it"):
        read_photograph(io.BytesIO(b"words"), "standard input")
    with pytest.raises(UserError, match=r"^standard input has 5 x 4 pixels"):
        read_mask(io.BytesIO(png(deep)), (6, 4), "standard input")


def test_masks(tmp_path):
    strokes = np.zeros((6, 4, 4), np.uint8)
    strokes[..., :3] = 255  # white on nothing
    strokes[2, 1, 3] = 255
    missing = read_mask(_saved(tmp_path, Image.fromarray(strokes)), (6, 4))
    assert missing.sum() == 1 and missing[2, 1]
    for level, sentence in ((0, "nothing white"), (255, "white all over")):
        with pytest.raises(UserError, match=sentence):
            read_mask(_saved(tmp_path, Image.new("L", (4, 6), level)), (6, 4))
    with pytest.raises(UserError, match="give it that size"):
        read_mask(_saved(tmp_path, Image.new("L", (6, 4), 255)), (6, 4))
