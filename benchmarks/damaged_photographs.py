"""Three damaged photographs to try `jaxgen restore` on, and how near restorations come to what they were.

    python benchmarks/damaged_photographs.py FOLDER     writes, or with restorations in it measures too

Photographs that scikit-image ships, 256x256: an old one (grey, faded to half of the contrast, noise, six scratches),
one as JPEG of quality 10, one under a Gaussian blur of 1.5 pixels and a little noise. NAME_fixed.png beside them are
measured against the originals.
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data
from skimage.filters import gaussian
from skimage.transform import resize

from jaxgen.metrics.psnr import psnr_db

SIDE = 256
DAMAGED = {"scratched.png": "camera.png", "compressed.jpg": "astronaut.png", "blurred.png": "coffee.png"}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where they are written, and where those that were restored lie")
    folder = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    camera = resized(data.camera())
    save(camera, folder / "camera.png")
    save(scratched(camera, draw), folder / "scratched.png")
    astronaut = resized(data.astronaut()[:400, 40:440])
    save(astronaut, folder / "astronaut.png")
    save(astronaut, folder / "compressed.jpg", quality=10)
    coffee = resized(data.coffee()[50:350, 150:450])
    save(coffee, folder / "coffee.png")
    blurred = gaussian(coffee, 1.5, channel_axis=-1, mode="reflect")
    save(blurred + 0.01 * draw.standard_normal(coffee.shape), folder / "blurred.png")
    for name, original in DAMAGED.items():
        fixed = f"{Path(name).stem}_fixed.png"
        for picture in (name, fixed) if (folder / fixed).exists() else (name,):
            (near,) = psnr_db(pixels(folder / picture), pixels(folder / original), 255)
            print(f"{picture}: {near:.2f} dB")


def pixels(file: Path) -> np.ndarray:
    """[1, H, W, 3]."""
    return np.asarray(Image.open(file).convert("RGB"))[None]


def resized(pixels: np.ndarray) -> np.ndarray:
    """Values from 0 to 1."""
    return resize(pixels / 255, (SIDE, SIDE, *pixels.shape[2:]), anti_aliasing=True)


def scratched(grey: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """Faded and noisy, four light lines down and two dark ones across."""
    old = 0.25 + 0.5 * grey + 0.02 * draw.standard_normal(grey.shape)
    for column in (40, 41, 150, 203):
        old[:, column] = np.where(draw.random(SIDE) < 0.95, 0.92, old[:, column])
    for row in (90, 180):
        old[row, 20:230] = 0.12
    return old


def save(values: np.ndarray, file: Path, **options) -> None:
    Image.fromarray(np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)).save(file, **options)


if __name__ == "__main__":
    main()
