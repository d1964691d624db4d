"""What is to be undone, as an operator, its noise and a solver: one recipe a degradation, estimates where none is told.

Linear ones are DiffPIR's (arXiv 2305.08995), whose data term is solved in closed form; denoising starts from the
picture itself, which is exact; JPEG's code is applied anew at every step (arXiv 2209.11888). Pictures y are
[B, H, W, C] in [-1, 1]: B is 1, or the channels where the model makes grey pictures. Noise is told in parts of the
range from black to white, which is 2 here.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.core.degradation import Degradation
from jaxgen.core.restoration import Damaged
from jaxgen.errors import UserError
from jaxgen.families.diffusion.restoration.blur import blur, gaussian_kernel
from jaxgen.families.diffusion.restoration.canvas import Canvas
from jaxgen.families.diffusion.restoration.estimates import blur_deviation, fade, noise_deviation, scratches
from jaxgen.families.diffusion.restoration.jpeg import Jpeg, nearest_quality
from jaxgen.families.diffusion.restoration.operators import Downsample, Grey, Identity, Linear, Mask, chain
from jaxgen.families.diffusion.restoration.projected import consistent, diffpir, posterior
from jaxgen.families.diffusion.restoration.steps import Measured, Start

_ROUNDING = 2 / 255 / math.sqrt(12)  # the deviation of what an 8-bit file leaves out: no picture is without it
_FOUND_NOISE = 0.025  # in [-1, 1]; below it is a clean picture's own texture
_FOUND_BLUR = 1.0  # pixels; a sharp edge is told as 0.3 to 0.9
_SHARP = 0.6  # pixels, of that
_MOST_BLUR = 100  # pixels, as may be told; an estimate beyond it is of a picture that has no edge
_FOUND_FADE = 0.75  # of the contrast that is left, in the channel that has the most
_FOUND_QUALITY = 60  # of JPEG; better ones show little
_SMALLEST = 8  # pixels a side that an estimate needs
_HIDES_CODE = 0.5  # the level of noise under which a JPEG and the picture look alike: what is above it tells nothing

Solve = Callable[[Measured, Start], jax.Array]
TAKES = {  # what may be told of each
    Degradation.OLD_PHOTO: {"missing", "noise"},
    Degradation.INPAINT: {"missing", "noise"},
    Degradation.SUPER_RESOLUTION: {"factor", "noise"},
    Degradation.DEBLUR: {"blur", "noise"},
    Degradation.DENOISE: {"noise"},
    Degradation.JPEG: {"quality"},
    Degradation.COLOUR: {"noise"},
    Degradation.AUTO: {"noise"},
}


class Beginning(NamedTuple):
    """Where a walk begins, if not at noise of the largest level: a picture on the canvas, and the level."""

    picture: np.ndarray  # [B, H, W, C]
    sigma: float
    has_noise: bool = False  # of that level already


class Recipe(NamedTuple):
    """y = A x + sigma_y n for x on a canvas, and how it is solved."""

    y: np.ndarray  # [B, ...]
    operator: Linear | Jpeg
    sigma_y: float
    solve: Solve
    found: tuple[str, ...]  # what is undone, in words
    beginning: Beginning | None = None


def recipe_for(damaged: Damaged, y: np.ndarray, grey: bool, canvas: Canvas) -> Recipe:
    """The recipe of a damaged picture y [B, h, w, C] on the canvas of what it is restored to.

    `grey`: y [.., 1] is the grey of a picture in colour. UserError where something must be told, or makes no sense.
    """
    match damaged.degradation:
        case Degradation.INPAINT:
            return _inpaint(damaged, y, grey, canvas)
        case Degradation.SUPER_RESOLUTION:
            sigma_y, words = _told(damaged)
            operator = _on(canvas, Downsample(damaged.factor), grey=grey)
            found = f"{damaged.factor} times smaller", *words
            return Recipe(y, operator, sigma_y, diffpir, found)
        case Degradation.COLOUR:
            sigma_y, words = _told(damaged)
            return Recipe(y, _on(canvas, grey=True), sigma_y, diffpir, ("without colours", *words))
        case Degradation.DENOISE:
            sigma_y, words = _noise(damaged, y)
            return _denoise(y, sigma_y, grey, canvas, words)
        case Degradation.DEBLUR:
            return _deblur(damaged, y, grey, canvas)
        case Degradation.JPEG:
            return _jpeg(damaged, y, grey, canvas)
        case Degradation.OLD_PHOTO:
            return _old_photo(damaged, y, grey, canvas)
    return _found_by_itself(damaged, y, grey, canvas)


def _on(canvas: Canvas, *parts: Linear, grey: bool) -> Linear:
    """The operator from the canvas: cropped, made smaller, grey, then what cannot stand before another part."""
    first = [part for part in parts if isinstance(part, Downsample)]
    last = [part for part in parts if not isinstance(part, Downsample)]
    crop = [canvas.crop] if canvas.canvas != canvas.size else []
    whole = [*crop, *first, *([Grey()] if grey else []), *last]
    return chain(*whole) if whole else Identity()


def _inpaint(damaged: Damaged, y: np.ndarray, grey: bool, canvas: Canvas) -> Recipe:
    if damaged.missing is None:
        raise UserError("inpaint needs to know what is missing; give --mask M.png, white where it is")
    known = _known(damaged.missing)
    sigma_y, words = _told(damaged)
    found = (f"{100 * damaged.missing.mean():.1f} % missing", *words)
    return Recipe(y * known, _on(canvas, Mask(jnp.asarray(known)), grey=grey), sigma_y, diffpir, found)


def _denoise(y: np.ndarray, sigma_y: float, grey: bool, canvas: Canvas, words: tuple[str, ...]) -> Recipe:
    if grey:
        return Recipe(y, _on(canvas, grey=True), sigma_y, diffpir, words)
    noisy = canvas.padded(y)
    return Recipe(noisy, Identity(), sigma_y, posterior, words, Beginning(noisy, sigma_y, has_noise=True))


def _deblur(damaged: Damaged, y: np.ndarray, grey: bool, canvas: Canvas) -> Recipe:
    deviation, words = damaged.blur, "as told"
    if deviation is None:
        deviation, words = _sharpened(_blur_found(y)), "estimated"
        if not 0 < deviation <= _MOST_BLUR:
            raise UserError("no blur is found in the picture; tell its standard deviation in pixels with --blur")
    sigma_y, more = _noise(damaged, y)
    operator = _on(canvas, blur(gaussian_kernel(deviation)), grey=grey)
    found = f"a blur of {deviation:.2g} pixels ({words})", *more
    return Recipe(y, operator, sigma_y, diffpir, found)


def _jpeg(damaged: Damaged, y: np.ndarray, grey: bool, canvas: Canvas) -> Recipe:
    if len(y) > 1:
        raise UserError(
            "JPEG codes a picture's colours together, and this run makes grey pictures; give a --workdir trained on "
            "colour ones"
        )
    quality, words = damaged.quality, "as told"
    if quality is None:
        if damaged.divisors is None:
            raise UserError("the picture is no JPEG file, which would tell how it was compressed; give --quality")
        quality, words = nearest_quality(damaged.divisors), "by the file's tables"
    solve = functools.partial(consistent, decoded=_on(canvas, grey=grey))
    found = (f"JPEG of quality {quality} ({words})",)
    near = canvas.padded(y.repeat(3, axis=3) if grey else y)
    code = Jpeg(quality, damaged.chroma, damaged.orientation)
    return Recipe(y, code, 0.0, solve, found, Beginning(near, _HIDES_CODE))


def _old_photo(damaged: Damaged, y: np.ndarray, grey: bool, canvas: Canvas) -> Recipe:
    known, seen = _unhurt(damaged, y)
    y, contrast, faded = _unfaded(y, known)
    sigma_y, words = _noise(damaged, y, contrast)
    operator = _on(canvas, Mask(jnp.asarray(known)), grey=grey)
    return Recipe(y * known, operator, sigma_y, diffpir, (faded, seen, *words))


def _unhurt(damaged: Damaged, y: np.ndarray) -> tuple[np.ndarray, str]:
    """[h, w, 1], 1 where nothing is missing or scratched, and the words for it."""
    if damaged.missing is not None:
        return _known(damaged.missing), f"{100 * damaged.missing.mean():.1f} % missing"
    _check_size(y, "scratches", "--mask")
    picture = jnp.asarray(y)
    least = max(0.25 * float(fade(picture).gain.max()), 5 * float(noise_deviation(picture).mean()))
    known = np.asarray(scratches(picture, threshold=least)).min(axis=0)
    return known, f"{100 * (1 - known.mean()):.1f} % taken for scratches"


def _known(missing: np.ndarray) -> np.ndarray:
    """[h, w, 1] float32."""
    return 1 - missing[..., None].astype(np.float32)


def _found_by_itself(damaged: Damaged, y: np.ndarray, grey: bool, canvas: Canvas) -> Recipe:
    """Fading and blur, fading and noise, or a JPEG file's code, where they exceed what a picture without them shows."""
    _check_size(y, "damage", "--degradation")
    cleared, contrast, faded = _unfaded(y)
    is_faded = contrast < _FOUND_FADE
    y = cleared if is_faded else y
    found = (faded,) if is_faded else ()
    sigma_y, words = _noise(damaged, y, contrast if is_faded else 1.0)
    noisy = sigma_y > _FOUND_NOISE or damaged.noise is not None
    deviation = _blur_found(y)
    if _FOUND_BLUR < deviation <= _MOST_BLUR:
        found += (f"a blur of {_sharpened(deviation):.2g} pixels (estimated)", *words)
        operator = _on(canvas, blur(gaussian_kernel(_sharpened(deviation))), grey=grey)
        return Recipe(y, operator, sigma_y, diffpir, found)
    if not (noisy or is_faded):
        if damaged.divisors is not None and nearest_quality(damaged.divisors) <= _FOUND_QUALITY:
            return _jpeg(damaged, y, grey, canvas)
        raise UserError("neither noise, blur nor fading is found in the picture; name what happened: --degradation")
    return _denoise(y, sigma_y, grey, canvas, found + (words if noisy else ()))


def _told(damaged: Damaged) -> tuple[float, tuple[str, ...]]:
    """σ_y as the user tells it and the words for it; else 0, which takes y at its word."""
    if damaged.noise is None:
        return 0.0, ()
    return 2 * damaged.noise, (_words_of(2 * damaged.noise, "as told"),)


def _noise(damaged: Damaged, y: np.ndarray, contrast: float = 1.0) -> tuple[float, tuple[str, ...]]:
    """σ_y as told, of the picture before its contrast was restored, or estimated."""
    if damaged.noise is not None:
        sigma_y, how = 2 * damaged.noise / contrast, "as told"
    else:
        _check_size(y, "noise", "--noise")
        sigma_y, how = float(noise_deviation(jnp.asarray(y)).mean()), "estimated"
    return max(sigma_y, _ROUNDING), (_words_of(sigma_y, how),)


def _words_of(sigma_y: float, how: str) -> str:
    if sigma_y < _ROUNDING:
        return f"hardly any noise ({how})"
    return f"noise of {100 * sigma_y / 2:.2g} % of the range ({how})"


def _blur_found(y: np.ndarray) -> float:
    _check_size(y, "blur", "--blur")
    return float(blur_deviation(jnp.asarray(y)).mean())


def _sharpened(deviation: float) -> float:
    """The blur of a picture by its estimate, which counts a sharp edge's own width; 0 where there is none beside it."""
    return math.sqrt(max(deviation**2 - _SHARP**2, 0.0))


def _unfaded(y: np.ndarray, known: np.ndarray | None = None) -> tuple[np.ndarray, float, str]:
    """The picture with its contrast restored, what was left of it in the best channel, and the words for it."""
    lost = fade(jnp.asarray(y) if known is None else jnp.where(known > 0, y, jnp.nan))
    left = float(jnp.max(lost.gain))
    return np.asarray(lost.undone(jnp.asarray(y))), left, f"faded to {100 * left:.0f} % of the contrast"


def _check_size(y: np.ndarray, what: str, option: str) -> None:
    """UserError for a picture too small for an estimate, with the option that tells it instead."""
    if min(y.shape[1:3]) < _SMALLEST:
        size = f"{y.shape[1]} x {y.shape[2]} pixels"
        raise UserError(f"a picture of {size} is too small to estimate its {what}; tell it with {option}")
