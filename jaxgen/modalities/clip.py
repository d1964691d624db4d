"""Clips: read from animated pictures, shown as one animated grid, measured against held-out ones."""
# SPDX-License-Identifier: Apache-2.0

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxgen.data.decoder import read_clip
from jaxgen.data.examples import BadExample
from jaxgen.errors import UserError
from jaxgen.metrics import clip_features, features
from jaxgen.metrics.clip_features import ClipNet
from jaxgen.metrics.clip_measures import controls, flight, frozen, halves, shuffled, video_distances
from jaxgen.metrics.unmeasured import Figures
from jaxgen.modalities.image import columns, heads
from jaxgen.modalities.inputs import file_of, name_of
from jaxgen.modalities.presents import Arrays, Meaning
from jaxgen.modalities.spoilt import spoilt_pictures
from jaxgen.reporting.artefacts import Artefact
from jaxgen.reporting.grids import image_grid, levels_to_pixels
from jaxgen.reporting.terminal import Work
from jaxgen.types import Batch, Clip

_SHORT_SIDE = 64  # pixels that a frame's side is at least magnified to
_MILLISECONDS = 100  # that each frame is shown


@dataclass(frozen=True)
class ClipPresents:
    """Clips of one size and number of frames."""

    clip: Clip
    meaning: Meaning
    shown = 4
    draws = 1

    def read(self, words: Sequence[str]) -> dict[str, np.ndarray]:
        return {"value": np.stack([self._frames(word) for word in words])}

    def _frames(self, word: str) -> np.ndarray:
        """[T, H, W, C] levels of the first T frames of a GIF, WebP or PNG animation, as those that are trained on."""
        try:
            frames = read_clip(file_of(word, "an animated GIF"), self.clip.shape, name_of(word))
        except BadExample as error:
            raise UserError(f"{error}; give another animated GIF") from None
        return np.rint(frames * ((self.clip.levels - 1) / 255)).astype(np.uint8)

    @property
    def training(self) -> int:
        """As many clips as are measured at most, and 1 GiB of them."""
        return max(1, min(2_000, 2**30 // math.prod(self.clip.shape)))

    def spoilt(self, arrays: Arrays) -> dict[str, dict[str, np.ndarray]]:
        """With noise, blurred (modalities/spoilt.py), standing still and with their frames shuffled."""
        clips = np.asarray(arrays["value"])
        spoilt = spoilt_pictures(clips, self.clip.levels - 1) | {"frozen": frozen(clips), "shuffled": shuffled(clips)}
        return {name: {"value": levels} for name, levels in spoilt.items()}

    def measures(self, drawn: Sequence[Batch], real: Batch) -> Figures:
        """Of samples, beside them those of real clips and, of the distance, of controls (metrics/clip_measures.py)."""
        clips, held_out = np.concatenate([_clips(samples) for samples in drawn]), _clips(real)
        reference, others = halves(held_out)
        with Work(3, "measuring clips") as work:
            figures = video_distances({"": clips} | controls(others), reference, self._net, self.clip.levels)
            for count, (prefix, one) in enumerate((("", clips), ("real_", held_out)), start=1):
                work.done(count)
                figures |= self._flight(one, prefix)
            work.done(3)
        return figures

    def variety(self, drawn: Batch, real: Batch) -> Figures:
        return {}

    def references(
        self, train: Batch, real: Batch, captions: tuple[Sequence[str] | None, Sequence[str] | None]
    ) -> dict[str, Figures]:
        """Training clips: as they are, standing still, and with their frames shuffled."""
        reference, _ = halves(_clips(real))
        names = {"real_": "real clips", "frozen_": "their first frames", "shuffled_": "their frames shuffled"}
        rows = {}
        with Work(len(names), "measuring reference rows") as work:
            for count, (kind, clips) in enumerate(controls(_clips(train)).items(), start=1):
                distances = video_distances({"": clips}, reference, self._net, self.clip.levels)
                rows[names[kind]] = distances | self._flight(clips)
                work.done(count)
        return rows

    @property
    def _digits(self) -> str:
        """The set of the digits that move."""
        return self.meaning.data.removeprefix("moving-")

    @property
    def _net(self) -> ClipNet | None:
        return clip_features.load(self._digits, self.clip.shape, self.clip.levels) if self.clip.moving else None

    def _flight(self, clips: np.ndarray, prefix: str = "") -> Figures:
        """How digits fly, where it is known that digits do, and a net knows them."""
        net = features.load(self._digits, levels=self.clip.levels) if self.clip.moving else None
        if net is None or self.clip.channels != 1:
            return {}
        return flight(clips, net, features.NETS[self._digits][2][0], self.clip.levels, prefix)

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
        frames = [_over_white(grid) for grid in grids]
        buffer = io.BytesIO()
        frames[0].save(
            buffer, "GIF", save_all=True, append_images=frames[1:], duration=_MILLISECONDS, loop=0, disposal=1
        )
        return Artefact("gif", buffer.getvalue())


def _clips(examples: Batch) -> np.ndarray:
    """[N, T, H, W, C] in levels."""
    return np.asarray(examples["made"]["value"])


def _over_white(png: bytes) -> Any:
    """Pillow's picture in RGB."""
    from PIL import Image

    whole = Image.open(io.BytesIO(png)).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", whole.size, "white"), whole).convert("RGB")
