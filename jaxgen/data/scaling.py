"""Pictures of any size and mode made alike."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
from PIL import Image, ImageOps


def fitted(picture: Image.Image, shape: tuple[int, int, int]) -> np.ndarray:
    """[H, W, C] uint8, C 1 or 3: over white where it is see-through, scaled to cover H x W, its middle cut out."""
    height, width, channels = shape
    if picture.mode in ("P", "LA", "PA", "RGBA"):
        whole = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole)
    picture = picture.convert("L" if channels == 1 else "RGB")
    if picture.size != (width, height):
        picture = ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)
    return np.asarray(picture).reshape(shape)
