"""Pictures: read from files by the decoder that training uses, shown as one grid, measured against held-out ones."""
# SPDX-License-Identifier: Apache-2.0

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from jaxgen.data.decoder import read_known, read_picture
from jaxgen.data.examples import BadExample
from jaxgen.errors import UserError
from jaxgen.metrics import picture_text
from jaxgen.metrics.diversity import diversity
from jaxgen.metrics.features import CLASSES, FeatureNet, load
from jaxgen.metrics.modes import kinds, modes
from jaxgen.metrics.retrieval import retrieval
from jaxgen.metrics.sample_quality import picture_measures, reconstruction_measures, reference_rows
from jaxgen.metrics.unmeasured import Figures, measured
from jaxgen.modalities.inputs import file_of, name_of
from jaxgen.modalities.presents import Arrays, Meaning
from jaxgen.modalities.spoilt import spoilt_pictures
from jaxgen.reporting.artefacts import Artefact
from jaxgen.reporting.grids import image_grid, levels_to_pixels
from jaxgen.reporting.picture_words import attended_pictures, captioned_pictures, prompted_pictures
from jaxgen.reporting.terminal import Work
from jaxgen.types import Batch, Image, Tokens

_SHORT_SIDE = 48  # pixels that a picture's side is at least magnified to
_MOST_COLUMNS = 20

Read = TypeVar("Read")


@dataclass(frozen=True)
class ImagePresents:
    """Pictures of one size."""

    image: Image
    meaning: Meaning
    shown = 8
    draws = 4

    def read(self, words: Sequence[str]) -> dict[str, np.ndarray]:
        return {"value": np.stack([self._levels(self._decoded(read_picture, word)) for word in words])}

    def beginnings(self, words: Sequence[str]) -> dict[str, np.ndarray]:
        """Pictures, and where they have no transparent pixels, which are to be filled in; all else is changed whole."""
        pictures, masks = zip(*(self._decoded(read_known, word) for word in words), strict=True)
        arrays = {"value": np.stack([self._levels(picture) for picture in pictures])}
        holes = [mask is not None for mask in masks]
        if not any(holes):
            return arrays
        if not all(holes):
            raise UserError(f"{words[holes.index(False)]} has no transparent pixels and others have; leave it out")
        if not all(mask.any() for mask in masks):
            raise UserError("a picture to begin from is transparent everywhere; leave --begin out")
        return arrays | {"known": np.stack(masks)}

    def _decoded(self, read: Callable[..., Read], word: str) -> Read:
        """A picture file, scaled and cropped as pictures that are trained on."""
        try:
            return read(file_of(word, "a picture"), self.image.shape, name_of(word))
        except BadExample as error:
            raise UserError(f"{error}; give another file") from None

    def _levels(self, pixels: np.ndarray) -> np.ndarray:
        return np.rint(pixels * ((self.image.levels - 1) / 255)).astype(np.uint8)

    def captions(self, arrays: Arrays) -> list[str]:
        return [f"picture {number}" for number in range(1, len(arrays["value"]) + 1)]

    def units(self, arrays: Arrays) -> np.ndarray:
        """Pixels [N, H, W, C] uint8; grey where a picture is not known."""
        pixels = levels_to_pixels(np.asarray(arrays["value"]), self.image.levels)
        return pixels if "known" not in arrays else np.where(arrays["known"][..., None], pixels, np.uint8(128))

    def show(self, arrays: Arrays, captions: Sequence[str] | None) -> Artefact:
        """A PNG: a column for each thing given, its caption above, where they come round in turn; else a square.

        What was made for sentences stands below each.
        """
        pixels = self.units(arrays)
        if captions is not None and self._prompts:
            return Artefact("png", prompted_pictures(pixels, captions))
        scale = max(1, -(-_SHORT_SIDE // min(self.image.height, self.image.width)))
        wide = columns(len(pixels), captions)
        return Artefact("png", image_grid(pixels, wide, scale, heads(captions, wide)))

    def show_with(self, arrays: Arrays, texts: Sequence[str]) -> Artefact:
        """A PNG of each picture beside its text."""
        return Artefact("png", captioned_pictures(self.units(arrays), texts))

    def attention(self, arrays: Arrays, weights: Sequence[np.ndarray], pieces: Sequence[Sequence[str]]) -> Artefact:
        """A PNG: each picture once for each word, faint where the word did not attend to it."""
        return Artefact("png", attended_pictures(self.units(arrays), weights, pieces))

    def spoilt(self, arrays: Arrays) -> dict[str, dict[str, np.ndarray]]:
        """With noise, and blurred (modalities/spoilt.py)."""
        spoilt = spoilt_pictures(arrays["value"], self.image.levels - 1)
        return {name: {"value": levels} for name, levels in spoilt.items()}

    @property
    def training(self) -> int:
        """At most 10,000 pictures, and 1 GiB of them."""
        return max(1, min(10_000, 2**30 // math.prod(self.image.shape)))

    @property
    def _net(self) -> FeatureNet | None:
        return load(self.meaning.data, self.image.shape, self.image.levels)

    def recognised(self, arrays: Arrays) -> np.ndarray | None:
        net = None if "known" in arrays else self._net
        return None if net is None else net.probabilities(np.asarray(arrays["value"])).argmax(axis=1)

    def features(self, arrays: Arrays) -> np.ndarray:
        pictures, captioned = np.asarray(arrays["value"]), picture_text.load(self.meaning.data)
        if captioned is not None:
            return captioned.pictures(pictures)
        if self._net is not None:
            return self._net.features(pictures)
        return pictures.reshape(len(pictures), -1) / np.float32(self.image.levels - 1)

    def measures(self, drawn: Sequence[Batch], real: Batch) -> Figures:
        if self._stacked is not None:
            return self._modes(drawn, real)
        images = np.concatenate([samples["made"]["value"] for samples in drawn])
        labels = _classes(real)
        labels = None if labels is None else np.tile(labels, len(drawn))
        with Work(len(drawn) + 1, "measuring samples") as work:
            tick = functools.partial(_one_more, work)
            figures = picture_measures(images, labels, real["made"]["value"], self._net, self.image.levels, tick)
        return figures | self._retrieval(drawn, real)

    def compared(self, again: Arrays, originals: Arrays) -> Figures:
        return reconstruction_measures(again["value"], originals["value"], self._net, self.image.levels)

    @property
    def _stacked(self) -> FeatureNet | None:
        """The net for each colour of stacked digits, where one ships."""
        kind, _, digits = self.meaning.data.partition("-")
        return load(digits, (*self.image.shape[:2], 1), self.image.levels) if kind == "stacked" else None

    def _modes(self, drawn: Sequence[Batch], real: Batch) -> Figures:
        """Of stacked digits: the kinds that are made and how evenly, of samples and of as many real pictures."""
        net, count, figures = self._stacked, CLASSES**self.image.channels, {}
        with Work(len(drawn) + 1, "counting modes") as work:
            found = [modes(kinds(one["made"]["value"], net), count) for one in _told(work, (*drawn, real))]
        for place, name in enumerate((f"modes_of_{count}[{net.name}]", f"reverse_kl_nats[{net.name}]")):
            values = [float(one[place]) for one in found]
            figures[name] = float(np.mean(values[:-1]))
            if len(drawn) > 1:
                figures[f"{name}/spread"] = float(np.std(values[:-1], ddof=1))
            figures[f"real_{name}"] = values[-1]
        return figures

    def _retrieval(self, drawn: Sequence[Batch], real: Batch) -> Figures:
        """How often a prompt is the nearest to what was made for it, where a contrastive net ships for the data."""
        net, prompts = picture_text.load(self.meaning.data), self._prompts
        if net is None or not prompts:
            return {}
        arrays, codec = real["given"][prompts[0]], self.meaning.codec
        texts = [codec.decode(tokens[own]) for tokens, own in zip(arrays["value"], arrays["mask"], strict=True)]
        return retrieval([one["made"]["value"] for one in drawn], real["made"]["value"], texts, net)

    @property
    def _prompts(self) -> list[str]:
        """The names of the sentences that are given."""
        return [name for name, modality in self.meaning.given if isinstance(modality, Tokens)]

    def variety(self, drawn: Batch, real: Batch) -> Figures:
        net, labels = self._net, _classes(real)
        if net is None or labels is None:
            return {}
        image = drawn["made"]["value"]
        seen = net.probabilities(image).argmax(axis=1)
        sets = net.features(image), seen, net.features(real["made"]["value"]), labels
        return {"diversity": measured(lambda: diversity(*sets))}

    def references(
        self, train: Batch, real: Batch, captions: tuple[Sequence[str] | None, Sequence[str] | None]
    ) -> dict[str, Figures]:
        sets = [array for part in (train, real) for array in (part["made"]["value"], _classes(part, 0))]
        with Work(2 * (self.draws + 1), "measuring reference rows") as work:
            tick = functools.partial(_one_more, work)
            rows = reference_rows(*sets, self._net, 0, self.draws, self.image.levels, tick)
        names = {
            "real": "real digits" if self.meaning.data == "digits" else "real pictures",
            "histogram": "pixel histogram" if _classes(train) is None else "per-class pixel histogram",
        }
        return {names[name]: _as_a_run(row) for name, row in rows.items()}


def _told(work: Work, sets: Sequence[Batch]) -> Iterator[Batch]:
    for one in sets:
        yield one
        _one_more(work)


def _one_more(work: Work) -> None:
    work.done(work.count + 1)


def columns(count: int, captions: Sequence[str] | None) -> int:
    """How many pictures stand side by side."""
    kinds = 0 if captions is None else len(set(captions))
    return min(count, kinds) if 1 < kinds <= _MOST_COLUMNS else max(1, round(count**0.5))


def heads(captions: Sequence[str] | None, wide: int) -> list[str] | None:
    """The caption above each column, where all of a column were made for the same."""
    if captions is None or any(len(set(captions[column::wide])) > 1 for column in range(wide)):
        return None
    return list(captions[:wide])


def _classes(examples: Batch, without: int | None = None) -> np.ndarray | None:
    """[N] the classes that are given; where none are, `without` for each, or None."""
    given = examples["given"].get("class")
    if given is not None:
        return np.asarray(given["value"])
    return None if without is None else np.full(len(examples["made"]["value"]), without)


def _as_a_run(row: Figures) -> Figures:
    """A reference row under the names of a run's figures: the models know the class, and so does its likelihood."""
    given_class = row.get("bits_per_dim[given class]")
    return row if given_class is None else row | {"bits_per_dim": given_class}
