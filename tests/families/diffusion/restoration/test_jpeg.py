"""JPEG as a degradation beside Pillow's own writer and reader."""
# SPDX-License-Identifier: Apache-2.0

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgen.data.photographs import read_photograph
from jaxgen.errors import UserError
from jaxgen.families.diffusion.restoration.jpeg import Jpeg, nearest_quality


def picture(channels):
    """[1, 24, 20, channels] in [-1, 1]: slow waves, sides that are no multiples of 8, integer levels."""
    rows, columns = np.indices((24, 20))
    waves = [np.sin(rows / 5 + turn) * np.cos(columns / (4 + turn)) for turn in range(channels)]
    levels = np.round(127.5 + 110 * np.stack(waves, axis=-1))
    return levels[None].astype(np.uint8)


def read_back(levels, quality, subsampling=2):
    """What Pillow makes of it, 4:2:0 unless said otherwise."""
    file = io.BytesIO()
    Image.fromarray(levels[0] if levels.shape[-1] == 3 else levels[0, ..., 0]).save(
        file, "JPEG", quality=quality, subsampling=subsampling
    )
    return np.asarray(Image.open(file)).astype(np.float64).reshape(levels.shape)


@pytest.mark.parametrize(("channels", "quality", "mean"), [(1, 10, 0.5), (1, 60, 0.5), (3, 20, 1.5), (3, 75, 1.5)])
def test_it_is_what_a_jpeg_file_holds(channels, quality, mean):
    levels = picture(channels)
    ours = (np.asarray(Jpeg(quality).forward(jnp.asarray(levels / 127.5 - 1, jnp.float32))) + 1) * 127.5
    lost = np.abs(ours - levels).mean()
    error = np.abs(ours - read_back(levels, quality))
    assert error.mean() < mean and error.mean() < lost / 3  # their transform has integers


@pytest.mark.parametrize(("subsampling", "chroma"), [(0, (1, 1)), (1, (1, 2))], ids=["4:4:4", "4:2:2"])
def test_chroma_may_be_finer(subsampling, chroma):
    """A file that is read and written again stays what it is; under 4:2:0 its chroma would not."""
    edges = np.kron(np.random.default_rng(0).integers(0, 255, (1, 8, 5, 3)), np.ones((1, 3, 4, 1))).astype(np.uint8)
    levels = read_back(edges, 30, subsampling)
    x = jnp.asarray(levels / 127.5 - 1, jnp.float32)
    off, as_most = (float(jnp.abs(jax.jit(Jpeg(30, each).forward)(x) - x).mean()) * 127.5 for each in (chroma, (2, 2)))
    assert off < 3 and as_most > 5 * off


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_file_that_exif_turns_stays_what_it_is(orientation, tmp_path):
    """Read upright and coded again where its blocks were. Its sides are no multiples of a block's; the other corner's
    blocks, and the tables of the other axis, would change it.
    """
    edges = np.kron(np.random.default_rng(0).integers(0, 255, (6, 5, 3)), np.ones((3, 4, 1))).astype(np.uint8)
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(edges[:, :19]).save(tmp_path / "x.jpg", quality=20, subsampling=1, exif=exif)
    read = read_photograph(tmp_path / "x.jpg")
    assert read.pixels.shape[:2] == ((18, 19) if orientation < 5 else (19, 18))
    code = Jpeg(nearest_quality(read.divisors), read.chroma, read.orientation)
    assert code.quality == 20

    def off(code):
        return float(np.abs(np.asarray(code.forward(jnp.asarray(read.unit[None]))) - read.unit).mean()) * 127.5

    others = [off(code.replace(orientation=other)) for other in range(1, 9) if other != orientation]
    assert off(code) < 3 and min(others) > 1.5 * off(code)


def test_the_gradient_passes_the_rounding_by():
    """Without rounding the format is the identity: the gradient of a sum is that of the sum of levels."""
    x = jnp.asarray(picture(1)[:, :16, :16] / 127.5 - 1, jnp.float32)
    weights = jnp.asarray(np.random.default_rng(0).standard_normal(x.shape), jnp.float32)
    gradient = jax.grad(lambda x: (weights * Jpeg(30).forward(x)).sum())(x)
    inside = np.abs(np.asarray(Jpeg(30).forward(x))) < 0.95  # what is clipped has none
    assert inside.all()
    np.testing.assert_allclose(gradient, weights, atol=1e-4)


def test_what_no_jpeg_file_can_be_is_said():
    with pytest.raises(UserError, match="quality of 1 to 100"):
        Jpeg(0).forward(jnp.zeros((1, 8, 8, 3)))
    with pytest.raises(UserError, match="1 or 3 channels"):
        Jpeg(50).forward(jnp.zeros((1, 8, 8, 2)))
