"""Clips: read from animated pictures, shown as one animated grid."""
# SPDX-License-Identifier: Apache-2.0

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageSequence

from jaxgen.data.decoder import fitted, opened
from jaxgen.data.examples import BadExample
from jaxgen.errors import UserError
from jaxgen.modalities.image import columns, heads
from jaxgen.modalities.inputs import file_of, name_of
from jaxgen.modalities.presents import Arrays, Meaning
from jaxgen.reporting.artefacts import Artefact
from jaxgen.reporting.grids import image_grid, levels_to_pixels
from jaxgen.types import Clip

_SHORT_SIDE = 64  # pixels that a frame's side is at least magnified to
_MILLISECONDS = 100  # that each frame is shown


@dataclass(frozen=True)
class ClipPresents:
    """Clips of one size and number of frames."""

    clip: Clip
    meaning: Meaning
    shown = 4

    def read(self, words: Sequence[str]) -> dict[str, np.ndarray]:
        return {"value": np.stack([self._frames(word) for word in words])}

    def _frames(self, word: str) -> np.ndarray:
        """[T, H, W, C] levels of the first T frames of a GIF, WebP or PNG animation."""
        file, place, wanted = file_of(word, "an animated GIF"), name_of(word), self.clip.frames
        try:
            with opened(file, place) as picture:
                found = ImageSequence.Iterator(picture)
                frames = [fitted(frame, self.clip.shape[1:]) for frame, _ in zip(found, range(wanted), strict=False)]
        except BadExample as error:
            raise UserError(f"{error}; give an animated GIF") from None
        if len(frames) < wanted:
            raise UserError(f"{place} has {len(frames)} frames, and a clip here has {wanted}; give a longer one")
        return np.rint(np.stack(frames) * ((self.clip.levels - 1) / 255)).astype(np.uint8)

    def captions(self, arrays: Arrays) -> list[str]:
        return [f"clip {number}" for number in range(1, len(arrays["value"]) + 1)]

    def units(self, arrays: Arrays) -> np.ndarray:
        """Pixels [N, T, H, W, C] uint8."""
        return levels_to_pixels(np.asarray(arrays["value"]), self.clip.levels)

    def show(self, arrays: Arrays, captions: Sequence[str] | None) -> Artefact:
        """An animated GIF that plays all clips side by side, over and over."""
        pixels = self.units(arrays)
        scale = max(1, -(-_SHORT_SIDE // min(self.clip.height, self.clip.width)))
        wide = columns(len(pixels), captions)
        grids = [image_grid(pixels[:, frame], wide, scale, heads(captions, wide)) for frame in range(pixels.shape[1])]
        frames = [_over_white(PillowImage.open(io.BytesIO(grid))) for grid in grids]
        buffer = io.BytesIO()
        frames[0].save(
            buffer, "GIF", save_all=True, append_images=frames[1:], duration=_MILLISECONDS, loop=0, disposal=1
        )
        return Artefact("gif", buffer.getvalue())


def _over_white(picture: PillowImage.Image) -> PillowImage.Image:
    whole = picture.convert("RGBA")
    return PillowImage.alpha_composite(PillowImage.new("RGBA", whole.size, "white"), whole).convert("RGB")
