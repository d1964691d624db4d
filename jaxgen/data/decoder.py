"""The one decoder of picture files: upright, 8 bits a channel, over white, of one size; for training and all else."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import functools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from jaxgen.data.examples import BadExample

if TYPE_CHECKING:  # imported by what decodes alone: who reads texts needs no Pillow
    from PIL import Image

# What `Image.open` reads as pictures; PostScript and other page descriptions, which would start a program, are none.
SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("png", "apng", "jpg", "jpeg", "jpe", "jfif", "webp", "avif", "bmp", "dib", "gif", "tif", "tiff"),
        *("jp2", "j2k", "jpx", "ppm", "pgm", "pbm", "pnm", "pfm", "tga", "ico", "qoi"),
    )
)
ANIMATED = frozenset({".gif", ".webp", ".png", ".apng", ".avif"})  # of these, which may hold several frames
ALPHA = ("1", "L", "P", "RGB", "LA", "La", "PA", "RGBA", "RGBa")  # modes in which Pillow knows transparency
_BROKEN_EXIF = (OSError, ValueError, SyntaxError, KeyError, TypeError, struct.error)
_DEEPEST = 65_535  # of 16 bits
_HEADER, _EIGHTH = 64, 8  # a JPEG is checked at an eighth of its size where that leaves so many pixels


def read_picture(file: Path | IO[bytes], shape: tuple[int, int, int], place: str | None = None) -> np.ndarray:
    """[H, W, C] uint8, C 1 or 3: the file's first frame, upright and over white, scaled to cover H x W, its middle.

    `place` is what the file is called in a sentence. BadExample when no picture can be read from it, or none that can
    be shown as it is meant.
    """
    with opened(file, place) as picture:
        return fitted(picture, shape)


def read_known(
    file: Path | IO[bytes], shape: tuple[int, int, int], place: str | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """The picture as `read_picture`, and [H, W] bool: where all that a pixel covers is opaque; None: everywhere.

    What is transparent has the nearest opaque colour in place of white, so that scaling brings no white to the others.
    """
    from PIL import Image, ImageOps

    with opened(file, place) as picture:
        picture = upright(picture)
        if not (picture.mode in ALPHA and picture.has_transparency_data):
            return fitted(picture, shape), None
        whole = with_alpha(picture)
        alpha, (height, width, _) = whole.getchannel("A"), shape
        covered = alpha if alpha.size == (width, height) else ImageOps.fit(alpha, (width, height), Image.Resampling.BOX)
        known = np.asarray(covered) == 255
        if known.all():
            return fitted(picture, shape), None
        return fitted(_spread(whole), shape), known


def _spread(picture: "Image.Image") -> "Image.Image":
    """RGB of an RGBA picture, each pixel that is not opaque of the colour of the nearest that is, if there is one."""
    from PIL import Image
    from scipy.ndimage import distance_transform_edt

    values = np.asarray(picture)
    hidden = values[..., 3] < 255
    if not hidden.all():
        _, (rows, columns) = distance_transform_edt(hidden, return_indices=True)
        values = values[rows, columns]
    return Image.fromarray(np.ascontiguousarray(values[..., :3]))


def read_clip(file: Path | IO[bytes], shape: tuple[int, int, int, int], place: str | None = None) -> np.ndarray:
    """[T, H, W, C] uint8: the first T frames of an animation, each as `read_picture` has one.

    BadExample also where there are fewer.
    """
    from PIL import ImageSequence

    wanted = shape[0]
    with opened(file, place) as picture:
        found = getattr(picture, "n_frames", 1)
        frames = ImageSequence.Iterator(picture)
        clip = [fitted(frame, shape[1:]) for frame, _ in zip(frames, range(wanted), strict=False)]
    if len(clip) < wanted:
        told = f"it has {found} {'frame' if found == 1 else 'frames'}, and a clip here has {wanted}"
        raise BadExample(place or str(file), told)
    return np.stack(clip)


def check_picture(file: Path) -> int:
    """How many frames a file has, all of the first decoded. BadExample as `read_picture`, which takes longer."""
    with opened(file, None) as picture:
        width, height = picture.size
        if picture.format == "JPEG" and min(width, height) >= _HEADER:
            picture.draft(None, (width // _EIGHTH, height // _EIGHTH))
        frames = getattr(picture, "n_frames", 1)
        opaque(picture)
        return frames


def picture_size(file: Path) -> tuple[int, int]:
    """H, W of a picture as it is shown, from its header alone. BadExample when there is none."""
    with opened(file, None) as picture:
        lies = picture.format != "TIFF" and orientation(picture) >= 5  # Pillow has turned a TIFF's size itself
        return (picture.width, picture.height) if lies else (picture.height, picture.width)


def fitted(picture: "Image.Image", shape: tuple[int, int, int]) -> np.ndarray:
    """[H, W, C] uint8 of an opened picture, C 1 or 3, as `read_picture`; ValueError for one that cannot be shown."""
    from PIL import Image, ImageOps

    height, width, channels = shape
    whole = opaque(picture)
    if channels == 1:
        whole = whole.convert("L")
    if whole.size != (width, height):
        whole = ImageOps.fit(whole, (width, height), Image.Resampling.LANCZOS)
    return np.asarray(whole).reshape(shape)


def opaque(picture: "Image.Image") -> "Image.Image":
    """The picture in RGB of 8 bits, upright by its EXIF orientation, over white where it is transparent.

    Colour profiles are not applied. ValueError for values of no known range: floats outside [0, 1], integers of more
    than 16 bits.
    """
    from PIL import Image

    kind, tags = picture.format, getattr(picture, "tag_v2", {})
    picture = upright(picture)
    if picture.mode.startswith("I") or picture.mode == "F":
        return _eight_bits(picture, kind, tags)
    if picture.mode in ALPHA and picture.has_transparency_data:
        whole = with_alpha(picture)
        picture = Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole)
    if picture.mode == "LAB":
        from PIL import ImageCms

        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(picture, *profiles, outputMode="RGB")
    return picture.convert("RGB")


def upright(picture: "Image.Image") -> "Image.Image":
    """The picture, decoded, by its EXIF orientation; as it is stored where its EXIF block is damaged."""
    from PIL import ImageOps

    picture.load()
    with contextlib.suppress(*_BROKEN_EXIF):
        return ImageOps.exif_transpose(picture)
    return picture


def with_alpha(picture: "Image.Image") -> "Image.Image":
    """RGBA of a picture that `has_transparency_data`."""
    from PIL import Image

    colour = picture.info.get("transparency")
    if picture.mode == "RGB" and isinstance(colour, tuple) and max(colour) > 255:  # of 16 bits, as the file had
        picture.info["transparency"] = tuple(value >> 8 for value in colour)
    if picture.mode == "1":
        alpha = np.where(np.asarray(picture) == bool(colour), np.uint8(0), np.uint8(255))
        picture = picture.convert("RGB")
        picture.putalpha(Image.fromarray(alpha))
        return picture
    return picture.convert("LA").convert("RGBA") if picture.mode == "La" else picture.convert("RGBA")


def _eight_bits(picture: "Image.Image", kind: str | None, tags: Any) -> "Image.Image":
    """RGB of one deep channel."""
    from PIL import Image

    values, full = deep_values(picture, kind, tags)
    grey = np.rint(values * (255 / full)).astype(np.uint8)
    grey = np.where(values == picture.info.get("transparency", -1), np.uint8(255), grey)
    return Image.fromarray(grey).convert("RGB")


def deep_values(picture: "Image.Image", kind: str | None, tags: Any) -> tuple[np.ndarray, float]:
    """[H, W] float64 of one deep channel and what is white: 12 or 16 bits from 0 to their largest, floats from 0 to 1.

    `kind` and `tags` are those of its file. ValueError for values of no known range.
    """
    values, full = np.asarray(picture).astype(np.float64), float(_DEEPEST)
    if picture.mode == "F":
        full = 1.0
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise ValueError(f"its values are floats from {values.min():.4g} to {values.max():.4g} and not 0 to 1")
    elif picture.mode == "I" and (kind not in ("PNG", "PPM", None) or values.min() < 0 or values.max() > _DEEPEST):
        raise ValueError("its values are integers of 32 bits, or signed, whose range is not known")
    elif kind == "TIFF":
        full = 2.0 ** tags.get(258, (16,))[0] - 1  # BitsPerSample
        values = full - values if tags.get(262) == 0 else values  # WhiteIsZero
    return values, full


def orientation(picture: "Image.Image") -> int:
    """EXIF's, 1 to 8; 1, as it is stored, for any other number."""
    try:
        number = picture.getexif().get(274, 1)
    except _BROKEN_EXIF:
        return 1
    return int(number) if number in range(1, 9) else 1


@functools.cache
def _formats() -> tuple[str, ...]:
    """Pillow's names of the formats of `SUFFIXES`: it looks at what is in a file, whatever that is called."""
    from PIL import Image

    known = Image.registered_extensions()
    return tuple(sorted({known[suffix] for suffix in SUFFIXES if suffix in known}))


@contextlib.contextmanager
def opened(file: Path | IO[bytes], place: str | None) -> "Iterator[Image.Image]":
    """The picture in a file, not yet decoded; whatever is wrong with it, then or inside, is a BadExample."""
    from PIL import Image

    try:
        with Image.open(file, formats=_formats()) as picture:
            yield picture
    except Exception as error:  # Pillow's decoders raise errors of every kind on damaged bytes
        place = place or str(file)
        what = str(error).split("\n")[0] or type(error).__name__
        if isinstance(file, Path) and not isinstance(error, PermissionError) and file.exists():
            what = what if file.stat().st_size else "the file is empty"
        raise BadExample(place, f"no picture can be read from it ({what})") from None
