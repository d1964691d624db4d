"""The front page's picture: two digits of each class by each family of `make demo`, five columns a family.

python docs/draw_samples.py [--runs runs/five_families] [--out docs/samples.png]
"""
# SPDX-License-Identifier: Apache-2.0

import argparse
from pathlib import Path

import numpy as np

import jaxgen
from jaxgen.atomic_write import write_whole
from jaxgen.reporting.grids import image_grid

FAMILIES = {"rnn": "RNN", "transformer": "Transformer", "gan": "GAN", "vae": "VAE", "diffusion": "diffusion"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/five_families"), help="the demo's runs (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("docs/samples.png"), help="the picture (%(default)s)")
    options = parser.parse_args()
    drawn = [jaxgen.load(options.runs / family).sample(range(10), count=2) for family in FAMILIES]  # [20, H, W, 1] each
    blocks = np.stack([pictures.reshape(4, 5, *pictures.shape[1:]) for pictures in drawn], axis=1)  # [4, 5, 5, H, W, 1]
    labels = [name if column == 2 else "" for name in FAMILIES.values() for column in range(5)]
    write_whole(options.out, image_grid(blocks.reshape(-1, *blocks.shape[3:]), 25, 4, labels))


if __name__ == "__main__":
    main()
