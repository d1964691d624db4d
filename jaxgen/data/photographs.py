"""Photographs as they are restored: of any size, grey or in colour, of 8 or 16 bits, with their transparency kept."""
# SPDX-License-Identifier: Apache-2.0

import struct
import warnings
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, JpegImagePlugin

from jaxgen.data.decoder import ALPHA, deep_values, opaque, opened, orientation, upright, with_alpha
from jaxgen.data.examples import BadExample
from jaxgen.errors import UserError

MOST_PIXELS = 2**24  # of a photograph, 4,096 x 4,096
_PROFILED = ("1", "L", "LA", "La", "RGB", "RGBA", "RGBa", "P", "PA")  # modes whose profile holds for what is written
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> a PNG's colour type


@dataclass(frozen=True)
class Photograph:
    """Pixels [H, W, 1 or 3], uint8 or uint16, upright; grey ones have one channel whatever the file had."""

    pixels: np.ndarray
    alpha: np.ndarray | None = None  # [H, W], of the pixels' type
    profile: bytes | None = None  # ICC, of the colours
    divisors: np.ndarray | None = None  # [8, 8] of a JPEG's luma as it is stored, rows of vertical frequency
    chroma: tuple[int, int] = (2, 2)  # rows and columns of a JPEG, as it is stored, that share a value of chroma
    orientation: int = 1  # EXIF's, 1 to 8, by which a JPEG was turned upright

    @property
    def largest(self) -> int:
        return int(np.iinfo(self.pixels.dtype).max)

    @property
    def unit(self) -> np.ndarray:
        """[H, W, C] float32 in [-1, 1]."""
        return (self.pixels.astype(np.float64) * (2 / self.largest) - 1).astype(np.float32)

    def with_unit(self, values: np.ndarray) -> "Photograph":
        """With pixels by values [H', W', C'] in [-1, 1], which are clipped; the transparency is resized with them."""
        pixels = np.rint((np.clip(values, -1, 1).astype(np.float64) + 1) * (self.largest / 2))
        alpha = self.alpha
        if alpha is not None and alpha.shape != values.shape[:2]:
            height, width = values.shape[:2]
            sized = Image.fromarray(alpha.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
            alpha = np.clip(np.rint(np.asarray(sized)), 0, self.largest).astype(alpha.dtype)
        return replace(self, pixels=pixels.astype(self.pixels.dtype), alpha=alpha)


def read_photograph(file: Path | IO[bytes], place: str | None = None) -> Photograph:
    """UserError for what is no picture, is broken, moves, has values of no known range or more than MOST_PIXELS.

    `place` is what the file is called in a sentence.
    """
    place = str(file) if place is None else place
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MOST_PIXELS is below its limit
            with opened(file, place) as picture:
                frames = 1 if picture.format == "MPO" else getattr(picture, "n_frames", 1)  # MPO: a phone's preview
                size = picture.size
                read = _photograph(file, picture) if frames == 1 and size[0] * size[1] <= MOST_PIXELS else None
    except BadExample as error:
        raise UserError(f"{error}; give another file") from None
    if read is not None:
        return read
    if frames > 1:
        raise UserError(f"{place} has {frames} frames; give one of them as a file of its own")
    raise UserError(
        f"{place} has {size[1]:,} x {size[0]:,} pixels, and {MOST_PIXELS:,} are the most; scale it down, or cut it"
    )


def read_mask(file: Path | IO[bytes], size: tuple[int, int], place: str | None = None) -> np.ndarray:
    """[H, W], true where a mask is white, which is what is missing. UserError for another size, and for no mask."""
    place = str(file) if place is None else place
    mask = read_photograph(file, place)
    if mask.pixels.shape[:2] != size:
        height, width = mask.pixels.shape[:2]
        raise UserError(
            f"{place} has {height} x {width} pixels and the picture {size[0]} x {size[1]}; give it that size"
        )
    missing = mask.unit.mean(axis=2) > 0
    if mask.alpha is not None:  # strokes on nothing
        missing &= mask.alpha > mask.largest // 2
    if not missing.any():
        raise UserError(f"{place} has nothing white in it; make white what is missing")
    if missing.all():
        raise UserError(f"{place} is white all over; leave black what is to be kept")
    return missing


def png(photograph: Photograph) -> bytes:
    """The bytes of a PNG file: grey or in colour, of 8 or 16 bits, with its transparency and colour profile."""
    pixels, profile = photograph.pixels, photograph.profile
    if profile is not None and pixels.shape[2] == 1 and profile[16:20] == b"RGB ":
        pixels = pixels.repeat(3, axis=2)
    if profile is not None and profile[16:20] != (b"GRAY" if pixels.shape[2] == 1 else b"RGB "):
        profile = None
    if photograph.alpha is not None:
        pixels = np.concatenate([pixels, photograph.alpha[..., None]], axis=2)
    height, width, channels = pixels.shape
    depth = 8 * pixels.dtype.itemsize
    header = struct.pack(">IIBBBBB", width, height, depth, _COLOUR_TYPES[channels], 0, 0, 0)
    chunks = [(b"IHDR", header)]
    if profile is not None:
        chunks.append((b"iCCP", b"profile\0\0" + zlib.compress(profile)))
    chunks += [(b"IDAT", zlib.compress(_filtered(pixels), 6)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, chunks))


def _chunk(named: tuple[bytes, bytes]) -> bytes:
    whole = b"".join(named)
    return struct.pack(">I", len(named[1])) + whole + struct.pack(">I", zlib.crc32(whole))


def _filtered(pixels: np.ndarray) -> bytes:
    """Rows of bytes by the Paeth filter (PNG specification, section 9.4), each after its number, 4."""
    height, _, channels = pixels.shape
    deep = pixels.astype(pixels.dtype.newbyteorder(">"))
    rows = np.frombuffer(deep.tobytes(), np.uint8).reshape(height, -1)
    step = channels * pixels.dtype.itemsize
    around = np.pad(rows.astype(np.int16), ((1, 0), (step, 0)))
    left, up, corner = around[1:, :-step], around[:-1, step:], around[:-1, :-step]
    off = [np.abs(near - left - up + corner) for near in (left, up, corner)]  # |p - a|, |p - b|, |p - c|
    nearest = np.where((off[0] <= off[1]) & (off[0] <= off[2]), left, np.where(off[1] <= off[2], up, corner))
    filtered = (rows - nearest).astype(np.uint8)
    return np.concatenate([np.full((height, 1), 4, np.uint8), filtered], axis=1).tobytes()


def _photograph(file: Path | IO[bytes], picture: Image.Image) -> Photograph:
    profile = picture.info.get("icc_profile") if picture.mode in _PROFILED else None
    tables = getattr(picture, "quantization", None)
    divisors = np.asarray(tables[0], np.float32).reshape(8, 8) if tables else None
    chroma, turned = (_chroma(picture), orientation(picture)) if tables else ((2, 2), 1)
    pixels, alpha = _arrays(file, picture)
    if (pixels == pixels[..., :1]).all():
        pixels = pixels[..., :1]
    return Photograph(np.ascontiguousarray(pixels), alpha, profile, divisors, chroma, turned)


def _chroma(picture: Image.Image) -> tuple[int, int]:
    """Of a JPEG that is not yet decoded; 4:2:0, what most have, where Pillow cannot tell."""
    return {0: (1, 1), 1: (1, 2)}.get(JpegImagePlugin.get_sampling(picture), (2, 2))


def _arrays(file: Path | IO[bytes], picture: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels [H, W, C] and alpha [H, W]."""
    clear, kind, tags = picture.info.get("transparency"), picture.format, getattr(picture, "tag_v2", {})
    deep = _deep_colours(file, picture)
    whole = upright(picture)
    if deep is None and (whole.mode.startswith("I") or whole.mode == "F"):
        values, full = deep_values(whole, kind, tags)
        deep = np.rint(values * (65_535 / full)).astype(np.uint16)[..., None]
    if deep is None:
        has_alpha = whole.mode in ALPHA and whole.has_transparency_data
        values = np.asarray(with_alpha(whole) if has_alpha else opaque(whole))
    elif clear is not None:
        shown = (deep != np.asarray(clear)).any(axis=2)
        return deep, shown.astype(np.uint16) * 65_535
    else:
        values = deep
    has_alpha = values.shape[2] in (2, 4)
    return (values[..., :-1], values[..., -1]) if has_alpha else (values, None)


def _deep_colours(file: Path | IO[bytes], picture: Image.Image) -> np.ndarray | None:
    """[H, W, 2 to 4] uint16 of a PNG of 16 bits and several channels, of which Pillow gives the upper bytes alone.

    It is decoded again as if its bytes stood in another order, which gives the lower ones.
    """
    raw = picture.tile[0].args if picture.format == "PNG" and picture.tile else None
    if raw == "LA;16B":
        four = _decoded_as(file, "RGBA").astype(np.uint16)
        return four[..., ::2] * 256 + four[..., 1::2]
    if raw not in ("RGB;16B", "RGBA;16B"):
        return None
    return _decoded_as(file, raw).astype(np.uint16) * 256 + _decoded_as(file, raw.replace("16B", "16L"))


def _decoded_as(file: Path | IO[bytes], raw: str) -> np.ndarray:
    """[H, W, C] uint8 by another one of Pillow's raw modes."""
    with Image.open(file) as picture:
        picture.tile = [tile._replace(args=raw) for tile in picture.tile]
        return np.asarray(upright(picture))
