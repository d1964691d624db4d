"""A data set as people meet it: requests in words, samples beside what was given for them, measures."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from jaxgen.core.data import Finite
from jaxgen.errors import UserError
from jaxgen.metrics.unmeasured import Figures
from jaxgen.modalities.clip import ClipPresents
from jaxgen.modalities.image import ImagePresents
from jaxgen.modalities.label import LabelPresents
from jaxgen.modalities.presents import (
    Arrays,
    Continues,
    DrawsAttention,
    Enumerable,
    InPieces,
    InUnits,
    InWords,
    Meaning,
    Measured,
    OnePerLine,
    OwnModality,
    Playable,
    Presents,
    WithTexts,
    counted,
    counted_rows,
)
from jaxgen.modalities.prompt import PromptPresents
from jaxgen.modalities.tokens import SourcePresents, TargetPresents, text_presents, with_references
from jaxgen.modalities.wave import WavePresents
from jaxgen.reporting.artefacts import Artefact
from jaxgen.reporting.attention_maps import attention_maps
from jaxgen.types import Batch, Clip, Framing, Image, Label, Modality, Spec, Tokens, Wave

WITHOUT_GIVEN = 80  # samples where nothing is said
_LAST_FRAMES = 10  # for which an animation stops at its end
_MOST_KINDS = 20  # classes that a run shows of itself


def presents(modality: Modality, meaning: Meaning) -> Presents:
    """How a modality is presented."""
    match modality:
        case Label():
            return LabelPresents(modality, meaning)
        case Tokens():
            prompts = modality.framing is Framing.SOURCE and isinstance(meaning.made, Image)
            return (PromptPresents if prompts else text_presents)(modality, meaning)
        case Image():
            return ImagePresents(modality, meaning)
        case Wave():
            return WavePresents(modality, meaning)
        case Clip():
            return ClipPresents(modality, meaning)
        case OwnModality():
            return modality.presents(meaning)
    raise UserError(f"{type(modality).__name__} cannot be shown; give it a method `presents` (modalities/presents.py)")


@dataclass(frozen=True)
class Presentation:
    """The presenters of what is given, by name, and of what is made."""

    given: Mapping[str, Presents]
    made: Presents
    free: bool = False  # whether samples are drawn with nothing given: those of a run under a reward

    @classmethod
    def of(cls, spec: Spec, meanings: Mapping[str, Meaning], free: bool = False) -> "Presentation":
        """`meanings`: by the names of what is given, and "made"."""
        given = {name: presents(modality, replace(meanings[name], made=spec.made)) for name, modality in spec.given}
        return cls(given, presents(spec.made, replace(meanings["made"], given=spec.given)), free)

    def request(self, words: Sequence[str], count: int | None, begun: Sequence[str] = ()) -> dict[str, Any]:
        """What to sample: `count` for each word, in turn (1), or so many without words (80). UserError for others.

        `begun` are files that samples begin from, in turn; without a count at least one sample from each.
        """
        if count is not None and count < 1:
            raise UserError(f"--count is {count}; give at least 1")
        if begun:
            return self._begun(words, count, begun)
        if not words:
            return self._unasked(count or WITHOUT_GIVEN)
        if self.given:
            name, reader = self._first("--given")
            arrays = reader.read(words)
            rows = counted(arrays) * (count or 1)
            return _request(rows, {name: _in_turn(arrays, rows)}, None)
        if isinstance(self.made, Continues):
            rows = len(words) * (count or 1)
            return _request(rows, {}, _in_turn(self.made.begin(words), rows))
        raise UserError("these data give nothing to make samples for; leave --given out")

    def _begun(self, words: Sequence[str], count: int | None, begun: Sequence[str]) -> dict[str, Any]:
        if not self.makes_pictures:
            raise UserError("--begin is for runs that make pictures; leave it out")
        arrays, given, kinds = self.made.beginnings(begun), {}, 1
        if words:
            asked = self.request(words, None)
            given, kinds = asked["given"], len(asked["row"])  # a file of sentences is several
        rows = len(begun) * kinds * (count or 1)
        places = np.arange(rows) // len(begun) % kinds  # every picture with each, those of one beside each other
        return _request(rows, jax.tree.map(lambda array: array[places], given), _in_turn(arrays, rows))

    def _unasked(self, count: int) -> dict[str, Any]:
        if not self.given or self.free:
            return _request(count, {}, None)
        name, reader = self._first("--given")
        if not isinstance(reader, Enumerable):
            raise UserError(f"samples are made for {name}; give one or more with --given")
        return _request(count, {name: _in_turn(reader.every(), count)}, None)

    def _first(self, option: str) -> tuple[str, Presents]:
        if len(self.given) > 1:
            raise UserError(f"{option} is for data that give one thing, and these give {', '.join(self.given)}")
        return next(iter(self.given.items()))

    @property
    def makes_pictures(self) -> bool:
        return isinstance(self.made, ImagePresents)

    @property
    def given_begins(self) -> bool:
        """Whether pictures are made of nothing, so that a picture that a user gives is what they begin from."""
        return not self.given and self.makes_pictures

    @property
    def reads_sentences(self) -> bool:
        """Whether one sentence is given for each that is made."""
        return [type(reader) for reader in self.given.values()] == [SourcePresents]

    @property
    def reads_recordings(self) -> bool:
        """Whether one recording is given for each text that is made."""
        return [type(reader) for reader in self.given.values()] == [WavePresents]

    def sentence(self, text: str) -> tuple[dict[str, Any], np.ndarray]:
        """What is asked for a sentence, or for what has come of it, and its tokens [n]."""
        request = self.request([text], None)
        (arrays,) = request["given"].values()
        return request, arrays["value"][0][arrays["mask"][0]]

    def shown(self, data: Any) -> dict[str, Any]:
        """What a run asks for to show itself: some for each class, or what `data` give in held-out examples."""
        count = self.made.shown
        if not self.given or self.free:
            return _request(count * count if isinstance(self.made, Measured) else count, {}, None)
        if self._classes is not None:
            return self._unasked(count * min(counted(self._classes.every()), _MOST_KINDS))
        if not isinstance(data, Finite):
            return _request(count, {}, None)
        given = data.first("test", count)["given"]
        return _request(len(jax.tree.leaves(given)[0]), given, None)

    def shown_references(self, data: Any) -> list[str] | None:
        """What the texts that are made for `shown` should be; None where a run shows something else of itself."""
        of_texts = isinstance(self.made, TargetPresents) and self.given and not self.free and self._classes is None
        if not of_texts or not isinstance(data, Finite):
            return None
        return self.made.captions(data.first("test", self.made.shown)["made"])

    @property
    def choices(self) -> list[str]:
        """The words that --given chooses from, where one of a few values is given; none elsewhere."""
        return [] if self._classes is None else self._classes.captions(self._classes.every())

    @property
    def reads_prompt(self) -> bool:
        """Whether one sentence is given, and nothing else."""
        return [isinstance(reader, SourcePresents) for reader in self.given.values()] == [True]

    def assorted(self, count: int) -> dict[str, Any]:
        """A request for rows of all kinds: every class in turn, or sentences of words at random."""
        if not self.reads_prompt:
            return self._unasked(count)
        name, reader = self._first("--given")
        return _request(count, {name: reader.assorted(count)}, None)

    @property
    def _classes(self) -> Enumerable | None:
        """What is given, where that is one of a few values and nothing else."""
        readers = list(self.given.values())
        return readers[0] if len(readers) == 1 and isinstance(readers[0], Enumerable) else None

    def example(self, word: str) -> dict[str, Any]:
        """A batch of one, {"row", "made"}, of what `score` looks at."""
        return {"row": np.zeros(1, np.int32), "given": {}, "made": self.made.read([word])}

    def alternatives(self, words: Sequence[str]) -> list[tuple[dict[str, str], dict[str, Any]]]:
        """(what is shown of it, the given of a batch of one) for the word given, or for every class without any."""
        if not self.given:
            if words:
                raise UserError(f"--given {' '.join(words)}: this run scores without anything given; leave it out")
            return [({}, {})]
        name, reader = self._first("--given")
        if not words and not isinstance(reader, Enumerable):
            raise UserError(f"an example is scored under its {name}; give one with --given for each")
        arrays = reader.read(words) if words else reader.every()
        captions = reader.captions(arrays)
        rows = [jax.tree.map(lambda array, n=n: array[n : n + 1], arrays) for n in range(len(captions))]
        return [({name: caption}, {name: row}) for caption, row in zip(captions, rows, strict=True)]

    def show(self, samples: Batch, references: Sequence[str] | None = None) -> Artefact:
        """Samples in one file, with what was given for each and, where it is known, what the texts made should be."""
        made, captions = samples["made"], self._captions(samples)
        name, reader = next(iter(self.given.items())) if len(self.given) == 1 else ("", None)
        given = samples["given"].get(name)
        if isinstance(self.made, OnePerLine) and isinstance(reader, WithTexts) and given is not None:
            return reader.show_with(given, with_references(self.made.captions(made), references))
        shown = self.made.show(made, captions, *([] if references is None else [references]))
        if shown.is_text and isinstance(reader, Playable) and given is not None:
            return replace(shown, recordings=tuple(reader.recordings(given)))
        return shown

    def show_bare(self, samples: Batch) -> tuple[Artefact, tuple[str, ...]]:
        """Samples in one file without a word in it, and what was given for each."""
        return self.made.show(samples["made"], None), tuple(self._captions(samples) or ())

    @property
    def shows_states(self) -> bool:
        """Whether what is made can be shown as it comes about."""
        return self.makes_pictures

    def show_states(self, samples: Batch) -> Artefact:
        """An animated GIF of samples whose "made" is every state on the way to them [N, T, ...]."""
        value, image = samples["made"]["value"], self.made.image
        clip = Clip(value.shape[1], image.height, image.width, image.channels, image.levels)
        # the last is shown longer
        frames = np.concatenate([value, np.repeat(value[:, -1:], _LAST_FRAMES, axis=1)], axis=1)
        return ClipPresents(clip, self.made.meaning).show({"value": frames}, self._captions(samples))

    def animation(self, pixels: np.ndarray) -> Artefact:
        """An animated GIF of pictures [N, T, H, W, C] uint8, a frame each T."""
        return ClipPresents(Clip(*pixels.shape[1:], 256), self.made.meaning).show({"value": pixels}, None)

    def captions(self, examples: Batch) -> list[str]:
        """What was given for each, in words; nothing where nothing was."""
        return self._captions(examples) or [""] * counted_rows(examples)

    def lines(self, samples: Batch) -> list[str] | None:
        """Samples a line each, without what was given; None where they are none that can be written so."""
        return self.made.lines(samples["made"]) if isinstance(self.made, OnePerLine) else None

    def plain(self, examples: Batch) -> tuple[Sequence[Any], Sequence[Any]]:
        """What was given for each example and what was made: texts and class names as strings, all else as arrays.

        None is given for each where nothing is, a dict by name where several things are.
        """
        made = _plain(self.made, examples["made"])
        given = {name: _plain(self.given[name], arrays) for name, arrays in examples["given"].items()}
        if not given:
            return [None] * len(made), made
        if len(given) == 1:
            return next(iter(given.values())), made
        return [dict(zip(given, parts, strict=True)) for parts in zip(*given.values(), strict=True)], made

    def results(self, samples: Batch) -> Sequence[Any]:
        """What was made, for people to work with: texts as strings, pictures and clips as pixels 0..255."""
        made = samples["made"]
        return self.made.units(made) if isinstance(self.made, InUnits) else _plain(self.made, made)

    def references(self, train: Batch, real: Batch) -> dict[str, Figures]:
        """Figures of rows that are no models, where what is made is Measured, and how many examples they are of."""
        rows = self.made.references(train, real, (self._captions(train), self._captions(real)))
        counts = {"training_examples": counted_rows(train), "held_out_examples": counted_rows(real)}
        return {name: row | counts for name, row in rows.items()}

    def attention(self, samples: Batch, weights: np.ndarray) -> Artefact:
        """A picture of `weights` [N, T, S] from what was made to what was given, place by place."""
        name, reader = self._first("--attention")
        drawn_on = isinstance(reader, DrawsAttention)
        if not ((drawn_on or isinstance(reader, InPieces)) and isinstance(self.made, InPieces)):
            raise UserError(f"--attention shows sequences, and {name} here is none; leave it out")
        made = self.made.pieces(samples["made"])
        if drawn_on:
            own = [rows[: len(down)] for rows, down in zip(weights, made, strict=True)]
            return reader.attention(samples["given"][name], own, made)
        given = reader.pieces(samples["given"][name])
        maps = [rows[: len(down), : len(across)] for rows, down, across in zip(weights, made, given, strict=True)]
        return Artefact("png", attention_maps(maps, made, given))

    def _captions(self, samples: Batch) -> list[str] | None:
        """What was given for each."""
        captions = [self.given[name].captions(arrays) for name, arrays in samples["given"].items()]
        return [", ".join(parts) for parts in zip(*captions, strict=True)] if captions else None


def _plain(reader: Presents, arrays: Arrays) -> Sequence[Any]:
    return reader.words(arrays) if isinstance(reader, InWords) else np.asarray(arrays["value"])


def _request(rows: int, given: Mapping[str, Arrays], made: Arrays | None) -> dict[str, Any]:
    request = {"row": np.arange(rows, dtype=np.int32), "given": dict(given)}
    return request if made is None else request | {"made": dict(made)}


def _in_turn(arrays: Arrays, rows: int) -> dict[str, np.ndarray]:
    """The examples over and over until there are so many rows."""
    places = np.arange(rows) % counted(arrays)
    return {name: array[places] for name, array in arrays.items()}
