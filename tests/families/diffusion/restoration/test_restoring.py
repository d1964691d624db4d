"""Recipes on priors whose answer is known: constants, a Gaussian, and a denoiser that has seen the picture."""
# SPDX-License-Identifier: Apache-2.0

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgen.core.degradation import Degradation
from jaxgen.core.restoration import Damaged
from jaxgen.errors import UserError
from jaxgen.families.diffusion.restoration.blur import blur, gaussian_kernel
from jaxgen.families.diffusion.restoration.canvas import canvas_for
from jaxgen.families.diffusion.restoration.jpeg import Jpeg, nearest_quality
from jaxgen.families.diffusion.restoration.operators import Crop, Downsample, Grey, Identity
from jaxgen.families.diffusion.restoration.projected import diffpir, posterior
from jaxgen.families.diffusion.restoration.restoring import Prior, restoration_of
from jaxgen.families.diffusion.restoration.steps import Measured, Start
from jaxgen.families.diffusion.restoration.tiles import _starts
from jaxgen.ops.noise import schedule
from jaxgen.ops.rows import normal

RNG = np.random.default_rng(3)
KEY = jax.random.key(5)


def prior(denoise, shape, multiple=None) -> Prior:
    return Prior(lambda variables: denoise, shape, multiple, 0.01, 20.0, 0.5)


def constant(level: float):
    return lambda x, σ: jnp.full_like(x, level)


def restored(prior: Prior, damaged: Damaged, number: int = 0) -> np.ndarray:
    plan = restoration_of(prior, damaged)
    row = number * plan.rows + jnp.arange(plan.rows)
    x, advance = plan.begin(plan.arguments, KEY, row), jax.jit(plan.advance)
    for step in range(plan.steps):
        x = advance(None, plan.arguments, x, jnp.int32(step), KEY, row)
    return np.asarray(plan.picture(x))


def picture(*shape: int) -> np.ndarray:
    return RNG.uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("trained", "multiple", "model", "channels"),
    [((4, 4), None, 1, 3), ((4, 4), None, 3, 3), ((4, 4), 4, 1, 1), ((16, 16), None, 1, 1)],
    ids=["tiles of each channel", "tiles in colour", "any size", "smaller than the model's"],
)
def test_what_is_known_stays_and_the_rest_is_the_prior_s_without_seams(trained, multiple, model, channels):
    y, missing = picture(9, 6, channels), RNG.random((9, 6)) < 0.5
    damaged = Damaged(y, Degradation.INPAINT, missing, evaluations=2)
    found = restored(prior(constant(0.25), (*trained, model), multiple), damaged)
    np.testing.assert_allclose(found, np.where(missing[..., None], 0.25, y), atol=1e-5)


@pytest.mark.parametrize("size", [(5, 289), (768, 1024), (300, 31), (16, 2000)])
def test_tiles_of_a_network_of_any_size_cover_a_photograph_with_little_twice(size):
    canvas = canvas_for(size, (32, 32), 8)
    assert all(side % 8 == 0 for side in (*canvas.canvas, *canvas.tile)) and max(canvas.tile) <= 288
    seen = canvas.over(lambda x, σ: jnp.full_like(x, 2.0))(jnp.zeros((1, *canvas.canvas, 1)), jnp.ones(1))
    np.testing.assert_allclose(seen, 2.0, rtol=1e-6)
    tiles = [len(_starts(*sides)) for sides in zip(canvas.canvas, canvas.tile, canvas.stride, strict=True)]
    assert np.prod(tiles) * np.prod(canvas.tile) <= 1.5 * np.prod(canvas.canvas)


def test_of_a_grey_picture_a_prior_of_colours_tells_the_grey_or_where_asked_the_colours():
    y = picture(4, 4, 1)
    colours = jnp.asarray([0.5, -0.5, 0.1])
    tinted = prior(lambda x, σ: jnp.broadcast_to(colours, x.shape), (4, 4, 3))
    found = restored(tinted, Damaged(y, Degradation.COLOUR, evaluations=3))
    np.testing.assert_allclose(Grey().forward(found), y, atol=2e-3)
    weights = np.asarray(Grey().weights)
    wanted = colours + (y - Grey().forward(jnp.broadcast_to(colours, (4, 4, 3)))) * weights / Grey().square
    np.testing.assert_allclose(found, wanted, atol=2e-3)  # the nearest colours of that grey
    missing = np.eye(4, dtype=bool)
    grey = restored(tinted, Damaged(y, Degradation.INPAINT, missing, evaluations=3))
    tone = Grey().forward(colours)
    np.testing.assert_allclose(grey, np.where(missing[..., None], tone, y), atol=1e-5)


def test_a_larger_picture_shows_the_small_one_where_it_is_scaled_down():
    y = picture(3, 5, 1)
    found = restored(prior(constant(0.0), (4, 4, 1)), Damaged(y, Degradation.SUPER_RESOLUTION, factor=2, evaluations=3))
    assert found.shape == (6, 10, 1)
    np.testing.assert_allclose(Downsample(2).forward(found[None])[0], y, atol=1e-3)


def test_denoising_draws_from_the_posterior_of_a_gaussian():
    """x_0 ~ N(0, v), y = x_0 + σ_y n: the mean v/(v + σ_y²) y, the variance v σ_y²/(v + σ_y²)."""
    v, sigma_y, rows = 0.3, 0.5, 3000
    y = jnp.broadcast_to(jnp.asarray(picture(2, 2, 1)), (rows, 2, 2, 1))
    start = Start(y, schedule(120, 0.01, sigma_y), KEY, jnp.arange(rows))
    shrunk = Measured(lambda x, σ: x * v / (v + σ[:, None, None, None] ** 2), Identity(), y, sigma_y)
    found = np.asarray(posterior(shrunk, start), np.float64)
    kept, spread = v / (v + sigma_y**2), np.sqrt(v * sigma_y**2 / (v + sigma_y**2))
    np.testing.assert_allclose(found.mean(0), kept * y[0], atol=4 * spread / np.sqrt(rows))
    np.testing.assert_allclose(found.std(0), spread, rtol=0.06)


def test_step_by_step_is_the_whole_walk():
    y, row, sigmas = jnp.asarray(picture(2, 5, 4, 1)), jnp.arange(2), schedule(4, 0.1, 2.0)
    operator = blur(gaussian_kernel(0.7))
    measured = Measured(lambda x, σ: jnp.tanh(x) / (1 + σ[:, None, None, None]), operator, y, 0.1)
    x = 2.0 * normal(KEY, row, (5, 4, 1))
    whole = diffpir(measured, Start(x, sigmas, KEY, row))
    for number, end in enumerate([*sigmas[1:], 0.0]):
        x = diffpir(measured, Start(x, sigmas[number][None], KEY, row, end, number))
    np.testing.assert_allclose(x, whole, atol=1e-5)


def test_a_restored_jpeg_is_the_same_file_when_it_is_compressed_again():
    clean = np.tanh(np.cumsum(np.cumsum(RNG.standard_normal((16, 24, 1)), 0), 1) / 8).astype(np.float32)
    y = np.asarray(Jpeg(20).forward(jnp.asarray(clean[None])))[0]
    seen = prior(lambda x, σ: jnp.broadcast_to(jnp.asarray(clean), x.shape), (16, 24, 1))
    again = restored(seen, Damaged(y, Degradation.JPEG, quality=20, evaluations=3))
    np.testing.assert_allclose(again, clean, atol=2 / 255)  # what agrees with y is left alone
    blank = restored(prior(constant(0.0), (8, 8, 1)), Damaged(y, Degradation.JPEG, quality=20, evaluations=3))
    off = np.abs(np.asarray(Jpeg(20).forward(jnp.asarray(blank[None])))[0] - y)
    assert np.mean(off) < 1 / 255  # the codes are y's; pixels are rounded to whole levels and clipped in between


def test_a_jpeg_is_compressed_as_its_file_was():
    damaged = Damaged(picture(16, 24, 3), Degradation.JPEG, quality=20, chroma=(1, 2), orientation=6)
    _, operator, *_ = restoration_of(prior(constant(0.0), (16, 24, 3)), damaged).arguments
    assert operator == Jpeg(20, (1, 2), 6)


def divisors(quality: int) -> np.ndarray:
    """[8, 8] of a file's luma, as Pillow writes it."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG", quality=quality)
    return np.reshape(Image.open(io.BytesIO(buffer.getvalue())).quantization[0], (8, 8))


@pytest.mark.parametrize("quality", [10, 50, 93])
def test_a_file_s_tables_tell_its_quality(quality):
    assert nearest_quality(divisors(quality)) == quality


def test_a_crop_s_adjoint_is_its_transpose():
    crop = Crop((7, 6), (4, 3), (1, 2))
    x, y = jnp.asarray(picture(2, 7, 6, 2)), jnp.asarray(picture(2, 4, 3, 2))
    np.testing.assert_allclose((crop.forward(x) * y).sum(), (x * crop.adjoint(y)).sum(), rtol=1e-5)
    np.testing.assert_array_equal(crop.forward(crop.adjoint(y)), y)


def _steps(size: int = 64) -> np.ndarray:
    """Squares of 16 pixels, light and dark, over black and white."""
    rows, columns = np.indices((size, size)) // 16
    return (((rows * 3 + columns * 5) % 7) / 3 - 1).astype(np.float32)[..., None]


def _words(y: np.ndarray, degradation=Degradation.AUTO, **known) -> str:
    return restoration_of(prior(constant(0.0), (8, 8, 1)), Damaged(y, degradation, **known)).found


def test_auto_finds_what_happened():
    clean = _steps()
    noise = 0.2 * np.random.default_rng(0).standard_normal(clean.shape).astype(np.float32)
    noisy = _words(clean + noise)
    assert 8 < float(noisy.removeprefix("noise of ").split()[0]) < 12 and "blur" not in noisy
    blurred = np.asarray(blur(gaussian_kernel(2.0)).forward(jnp.asarray(clean[None])))[0]
    assert "a blur of " in _words(blurred)
    assert 1.5 < float(_words(blurred).split("a blur of ")[1].split()[0]) < 2.5
    faded = _words(0.4 * clean + 0.3)
    assert "faded to 40 % of the contrast" in faded and "blur" not in faded
    assert _words(clean, divisors=divisors(30)) == "JPEG of quality 30 (by the file's tables)"
    assert "noise of" in _words(clean + noise, divisors=divisors(30))
    for table in (None, divisors(90)):
        with pytest.raises(UserError, match="neither noise, blur nor fading"):
            _words(clean, divisors=table)


def test_where_no_edge_is_found_no_blur_is():
    flat, ramp = np.full((24, 24, 1), -0.2, np.float32), np.linspace(-1, 1, 64 * 64, dtype=np.float32)
    ramp = np.sort(ramp).reshape(64, 64, 1)
    for smooth in (flat, ramp):
        with pytest.raises(UserError, match="neither noise, blur nor fading"):
            _words(smooth)
        with pytest.raises(UserError, match=r"no blur is found .* --blur"):
            _words(smooth, Degradation.DEBLUR)


def test_an_old_photograph_is_found_faded_and_scratched_and_its_scratches_hide_no_fading():
    old = 0.5 * _steps()
    old[:, 37] = 1.0
    found = _words(old, Degradation.OLD_PHOTO)
    assert found.startswith("faded to 50 % of the contrast")
    share = float(found.split(" % taken")[0].split()[-1])
    assert 100 / 64 <= share <= 6


@pytest.mark.parametrize(
    ("degradation", "known", "sentence"),
    [
        ("inpaint", {}, "give --mask M.png"),
        ("denoise", {"noise": 0.0}, "--noise is 0.0; give its deviation as a part of the range"),
        ("denoise", {"blur": 2.0}, "--blur says nothing of denoise"),
        ("denoise", {"evaluations": 1}, "--evaluations is 1; give at least 2"),
        ("deblur", {"blur": 0.0}, "--blur is 0.0; give its deviation in pixels"),
        ("jpeg", {}, "give --quality"),
        ("jpeg", {"quality": 0}, "--quality is 0; give 1 to 100"),
        ("colour", {}, "knows no colours"),
        ("auto", {"missing": np.eye(9, dtype=bool)}, "--mask says nothing of auto"),
    ],
)
def test_what_is_missing_or_makes_no_sense_is_told(degradation, known, sentence):
    with pytest.raises(UserError, match=sentence):
        restoration_of(prior(constant(0.0), (4, 4, 1)), Damaged(picture(9, 9, 1), Degradation(degradation), **known))


def test_a_grey_model_does_not_undo_the_code_of_colours():
    coloured = Damaged(picture(9, 9, 3), Degradation.JPEG, quality=10)
    with pytest.raises(UserError, match="codes a picture's colours together"):
        restoration_of(prior(constant(0.0), (4, 4, 1)), coloured)


@pytest.mark.parametrize(
    ("degradation", "option"),
    [("denoise", "noise"), ("deblur", "blur"), ("old-photo", "mask"), ("auto", "degradation")],
)
def test_a_picture_too_small_to_be_judged_wants_to_be_told(degradation, option):
    with pytest.raises(UserError, match=f"4 x 9 pixels is too small to estimate its .* tell it with --{option}"):
        restoration_of(prior(constant(0.0), (4, 4, 1)), Damaged(picture(4, 9, 1), Degradation(degradation)))
