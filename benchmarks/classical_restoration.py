"""Classical restoration methods of scikit-image at several strengths, for the table of benchmarks/restoration.py."""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Callable

import numpy as np
from skimage import restoration
from skimage.transform import resize

Picture = np.ndarray  # [H, W, C] in [-1, 1]
Way = Callable[[Picture], Picture]


def as_it_is(y: Picture) -> Picture:
    return y


def coloured(y: Picture) -> Picture:
    """Grey as three equal channels."""
    return y.repeat(3, axis=2)


def resized(height: int, width: int, y: Picture) -> Picture:
    """Bicubic."""
    return resize(y, (height, width), order=3, mode="edge", anti_aliasing=False)


def then(last: Way, ways: dict[str, Way]) -> dict[str, Way]:
    """Each of the ways followed by `last`."""
    return {name: lambda y, way=way: last(way(y)) for name, way in ways.items()}


def smoothers(sigma_y: float) -> dict[str, Way]:
    """Total variation (Chambolle) and non-local means."""

    def variation(weight: float, y: Picture) -> Picture:
        return restoration.denoise_tv_chambolle(y, weight=weight, channel_axis=-1)

    def means(strength: float, y: Picture) -> Picture:
        sizes = {"patch_size": 3, "patch_distance": 5, "fast_mode": False}
        smooth = restoration.denoise_nl_means(y, h=strength * sigma_y, sigma=sigma_y, channel_axis=-1, **sizes)
        return smooth.reshape(y.shape)  # it drops a single channel

    tv = {f"total variation {weight}": functools.partial(variation, weight) for weight in (0.03, 0.06, 0.1, 0.15)}
    return tv | {f"non-local means {h}": functools.partial(means, h) for h in (0.4, 0.7, 1.0, 1.4, 2.0)}


def inpainters(known: np.ndarray, sigma_y: float) -> dict[str, Way]:
    """Biharmonic inpainting, alone and smoothed."""

    def biharmonic(y: Picture) -> Picture:
        return restoration.inpaint_biharmonic(y, known[..., 0] < 0.5, channel_axis=-1)

    smoothed = {
        f"biharmonic, {name}": lambda y, way=way: way(biharmonic(y)) for name, way in smoothers(sigma_y).items()
    }
    return {"biharmonic": biharmonic} | smoothed


def deblurrers(kernel: np.ndarray) -> dict[str, Way]:
    """Wiener's filter, on the picture mirrored beyond its borders."""
    margin = len(kernel)

    def wiener(balance: float, y: Picture) -> Picture:
        padded = np.pad(y, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
        channels = [restoration.wiener(padded[..., c], kernel, balance, clip=False) for c in range(y.shape[2])]
        return np.stack(channels, axis=-1)[margin:-margin, margin:-margin]

    filters = {f"Wiener {balance}": functools.partial(wiener, balance) for balance in (0.003, 0.01, 0.03, 0.1, 0.3)}
    return {"as it is": as_it_is} | filters
