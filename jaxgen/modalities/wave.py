"""Recordings: read from wav files by the decoder that training uses, shown as one wav file."""
# SPDX-License-Identifier: Apache-2.0

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np

from jaxgen.data.examples import BadExample
from jaxgen.data.wav_stream import wave_pieces
from jaxgen.data.waves import FULL, Recording, as_samples, read_wave, samples_told
from jaxgen.errors import UserError
from jaxgen.modalities.inputs import file_of, name_of
from jaxgen.modalities.presents import Arrays, Meaning
from jaxgen.reporting.artefacts import Artefact
from jaxgen.reporting.attention_maps import attention_maps
from jaxgen.types import Wave

_PAUSE = 0.25  # seconds between two recordings


@dataclass(frozen=True)
class WavePresents:
    """Recordings of one rate, at most `wave.samples` long."""

    wave: Wave
    meaning: Meaning
    shown = 4

    def read(self, words: Sequence[str]) -> dict[str, np.ndarray]:
        found = [self._samples(word) for word in words]
        value = np.stack([np.pad(samples, (0, self.wave.samples - len(samples))) for samples in found])
        return {"value": value, "length": np.asarray([len(samples) for samples in found], np.int32)}

    def _samples(self, word: str) -> np.ndarray:
        """[n] float32 in [-1, 1] at the data's rate."""
        file = file_of(word, "a wav file")
        self._refuse_longer(word, samples_told(file, self.wave.rate))  # before an hour of it is in memory
        try:
            rate, samples = read_wave(file)
            whole = as_samples(Recording(name_of(word), "", rate, samples), self.wave.rate, resample=True)
        except BadExample as error:
            raise UserError(str(error)) from None
        self._refuse_longer(word, len(whole))
        if (whole == whole[0]).all():
            raise UserError(f"{name_of(word)} is silent from its beginning to its end; give another recording")
        return whole.astype(np.float32) / np.float32(FULL)

    def _refuse_longer(self, word: str, count: int | None) -> None:
        if count is not None and count > self.wave.samples:
            seconds, most = count / self.wave.rate, self.wave.samples / self.wave.rate
            place = name_of(word)
            raise UserError(f"{place} lasts {seconds:.2f} s, and the model hears {most:.2f} s; give a shorter one")

    def captions(self, arrays: Arrays) -> list[str]:
        return [f"recording of {length / self.wave.rate:.2f} s" for length in arrays["length"]]

    def lengths(self, arrays: Arrays) -> np.ndarray:
        return np.asarray(arrays["length"]) / self.wave.rate

    def attention(self, arrays: Arrays, weights: Sequence[np.ndarray], pieces: Sequence[Sequence[str]]) -> Artefact:
        """A PNG: a map for each recording, a column for each place that is its own, labelled by when it begins."""
        maps, across = [], []
        for rows, length in zip(weights, arrays["length"], strict=True):
            samples = self.wave.samples / rows.shape[1]  # a place's
            own = max(1, min(rows.shape[1], int(np.ceil(length / samples))))
            maps.append(rows[:, :own])
            across.append([f"{place * samples / self.wave.rate:.2f} s" for place in range(own)])
        return Artefact("png", attention_maps(maps, pieces, across))

    def show(self, arrays: Arrays, captions: Sequence[str] | None) -> Artefact:
        """A wav file of all, one after another; players show no captions."""
        pause = np.zeros(round(_PAUSE * self.wave.rate), np.int16)
        parts = [part for samples in self._each(arrays) for part in (samples, pause)]
        return Artefact("wav", self._file(np.concatenate(parts[:-1])))

    def recordings(self, arrays: Arrays) -> list[bytes]:
        return [self._file(samples) for samples in self._each(arrays)]

    def _each(self, arrays: Arrays) -> Iterator[np.ndarray]:
        """[n] int16 of each recording, without its padding."""
        lengths = arrays.get("length", [self.wave.samples] * len(arrays["value"]))
        for samples, length in zip(np.asarray(arrays["value"]), lengths, strict=True):
            yield np.clip(np.rint(samples[:length] * FULL), -FULL, FULL - 1).astype(np.int16)

    def _file(self, samples: np.ndarray) -> bytes:
        from scipy.io import wavfile

        buffer = io.BytesIO()
        wavfile.write(buffer, self.wave.rate, samples)
        return buffer.getvalue()


def read_as_it_comes(file: IO[bytes], word: str, rate: int, piece: int) -> Iterator[np.ndarray]:
    """[n] float32 in [-1, 1] at `rate` Hz of a wav file that `word` names, about `piece` samples at a time."""
    try:
        for samples in wave_pieces(file, name_of(word), rate, piece):
            yield samples.astype(np.float32) / np.float32(FULL)
    except BadExample as error:
        raise UserError(str(error)) from None
