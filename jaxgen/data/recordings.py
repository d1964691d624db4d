"""Recordings as an experiment names them, whatever is told of them: read once, padded, and kept as 16-bit samples."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np
from flax import struct

from jaxgen.core.data import Working
from jaxgen.data.bad import BadExamples
from jaxgen.data.examples import BadExample, chosen_from
from jaxgen.data.prepared_audio import PreparedAudio
from jaxgen.data.residence import Residence, host_memory
from jaxgen.data.sources import HostExamples, ResidentExamples, padded_batches
from jaxgen.data.splits import holding_out, in_validation, rows_of
from jaxgen.data.wav_folders import WavFolder
from jaxgen.data.waves import FULL, Recording, as_samples
from jaxgen.errors import UserError
from jaxgen.types import Batch, Key, Variables

Kept = tuple[Recording, np.ndarray]  # without its samples as they were, and with them as they are kept, [N] int16


@struct.dataclass
class ResidentRecordings(ResidentExamples):
    """Recordings in device memory, two bytes a sample; they become float32 inside the program, and only a batch."""

    def next(self, state: Key, variables: Variables, number: jax.Array, rows: jax.Array) -> tuple[Batch, Key]:
        batch, state = super().next(state, variables, number, rows)
        return jax.tree.map(_floats, batch), state


@struct.dataclass
class HostRecordings(HostExamples):
    """The same in the same order, kept in host memory and streamed."""

    def stream(self, state: Key, first: int, rows: np.ndarray) -> Iterator[Batch]:
        for batch in super().stream(state, first, rows):
            yield jax.tree.map(_floats, batch)


def _floats(array: Any) -> Any:
    """16-bit samples as float32; what is no wave stays as it is."""
    return array.astype(np.float32) / np.float32(FULL) if array.dtype == np.int16 else array


@dataclass(frozen=True)
class Recordings:
    """A folder of wav files with a `transcripts.tsv`, or a set that TFDS has prepared: waves and what is told of them.

    `train` and `test` are split expressions (`train[:90%]`). Recordings of another rate than `rate` (none given: the
    first one's) are converted to it, or are bad where `resample` is false, and so are those longer than `seconds` (none
    given: the longest of both splits). Up to `skip_bad` bad ones are left out.
    """

    name: str
    batch_size: int = 32
    rate: int | None = None  # Hz
    resample: bool = True
    seconds: float | None = None
    train: str = "train"
    test: str = "test"
    residence: Residence = Residence.AUTO  # DEVICE or HOST: all of them are read when a run begins
    data_dir: str | None = None  # TFDS's folder; else $TFDS_DATA_DIR, else TFDS's default
    skip_bad: int = 0
    bad: BadExamples = field(init=False, repr=False, compare=False)  # met in the reading so far
    holds_out: bool = field(init=False, repr=False, default=False)  # whether a tenth of `train` is set aside

    places: ClassVar[tuple[str, ...]] = ("name", "data_dir")  # where the recordings lie
    told: ClassVar[str]  # the feature that a TFDS set tells of its recordings by

    def __post_init__(self):
        if self.batch_size < 1:
            raise UserError(f"batch_size is {self.batch_size}; give at least 1")
        if (self.rate is not None and self.rate < 1) or (self.seconds is not None and not self.seconds > 0):
            raise UserError(f"data.rate is {self.rate} and data.seconds {self.seconds}; give numbers above 0, or none")
        if self.residence is Residence.DISK:
            raise UserError(
                "data.residence=DISK: recordings are read into memory; choose DEVICE or HOST, or leave it out"
            )
        object.__setattr__(self, "bad", BadExamples(self.skip_bad))

    @functools.cached_property
    def listed(self) -> WavFolder | PreparedAudio:
        """Where the recordings lie and how each is read."""
        path = Path(self.name)
        return WavFolder(path, self.bad) if path.is_dir() else PreparedAudio.find(self.name, self.data_dir, self.told)

    def _places(self, expression: str) -> Iterator[Any]:
        """What a split expression names, unread."""
        sizes = {split: len(listed) for split, listed in self.listed.splits.items()}
        for split, first, end in rows_of(expression, sizes, self.name):
            yield from self.listed.splits[split][first:end]

    @functools.cached_property
    def hertz(self) -> int:
        """The rate of all recordings: the one asked for, or the first readable one's of the training split."""
        if self.rate is not None:
            return self.rate
        for one in self._places(self.train):
            with contextlib.suppress(BadExample):  # told when it is read for good
                return self.listed.read(one).rate
        raise UserError(f"no recording of the split {self.train!r} of {self.name} can be read; give others")

    @functools.cached_property
    def samples(self) -> int:
        """N, which all recordings are padded to; UserError where a long one makes that more than the memory holds."""
        if self._most:
            return self._most
        found = self.padded_to()
        longest, samples = max(found, key=lambda one: len(one[1]))
        size = 2 * len(samples) * len(found)
        if size > host_memory():
            raise UserError(
                f"{longest.place} lasts {len(samples) / self.hertz:,.0f} s, and {len(found):,} recordings padded to it "
                f"take {size / 1e9:,.1f} GB of memory; set data.seconds to a usual length, and data.skip_bad to leave "
                "out what is longer"
            )
        return len(samples)

    def padded_to(self) -> list[Kept]:
        """The recordings of all splits, whose longest everything is padded to."""
        return [*self._read(self.train), *self._read(self.test)]

    @property
    def _most(self) -> int | None:
        return None if self.seconds is None else round(self.seconds * self.hertz)

    @functools.cached_property
    def _held(self) -> dict[str, list[Kept]]:
        """The good recordings of the expressions read so far: a bad one is counted once."""
        return {}

    def good(self, split: str) -> list[Kept]:
        """The recordings of "train", "validation", "test" or an expression that can be used; UserError without any."""
        expression = {"train": self.train, "validation": self.train, "test": self.test}.get(split, split)
        if split == "validation" and not self.holds_out:
            raise UserError(f"{self.name} has no validation split; name another")
        found = self._read(expression)
        if not self.holds_out or split not in ("train", "validation"):
            return found
        chosen = [one for one in found if in_validation(one[0].name) == (split == "validation")]
        if not chosen:
            raise UserError(f"none of the {len(found)} recordings of {self.name} is left for {split}; give more")
        return chosen

    def _read(self, expression: str) -> list[Kept]:
        """The recordings of a split expression that can be used; UserError without any."""
        if expression not in self._held:
            most = self._most if expression in (self.train, self.test) else self.samples
            found = (self._kept(one, most) for one in self._places(expression))
            self._held[expression] = [one for one in found if one is not None]
        if not self._held[expression]:
            raise UserError(f"no recording of the split {expression!r} of {self.name} can be used; give others")
        return self._held[expression]

    def with_validation(self) -> "Recordings":
        """These data with a "validation" split: a tenth of the training recordings, chosen by a hash."""
        return holding_out(self)

    def _kept(self, one: Any, most: int | None) -> Kept | None:
        """A recording read and checked; None where it is bad and that is tolerated."""
        try:
            recording = self.listed.read(one)
            self.check_told(recording)
            samples = as_samples(recording, self.hertz, self.resample)
            if most is not None and len(samples) > most:
                what = (
                    f"it lasts {len(samples) / self.hertz:.3f} s, longer than {most / self.hertz:.3f} s (data.seconds)"
                )
                raise BadExample(recording.place, what)
        except BadExample as error:
            self.bad.refuse(error.place, error.what)
            return None
        return recording._replace(samples=samples[:0]), samples

    def check_told(self, recording: Recording) -> None:
        """BadExample when what is told of a recording cannot be used."""

    def waves(self, found: list[Kept]) -> dict[str, np.ndarray]:
        """`value` [n, N] int16, zeros behind each recording's end, and `length` [n] int32."""
        wave = np.zeros((len(found), self.samples), np.int16)
        for row, (_, samples) in enumerate(found):
            wave[row, : len(samples)] = samples
        return {"value": wave, "length": np.asarray([len(samples) for _, samples in found], np.int32)}

    @property
    def _splits(self) -> tuple[str, ...]:
        return ("train", *(("validation",) if self.holds_out else ()), "test")

    def check(self, known: Mapping[str, Any], work: Working, stopped: Callable[[], bool]) -> dict[str, Any]:
        """Reads the recordings of all splits, which are kept in memory; UserError names a bad one."""
        for split in self._splits:
            self.good(split)
        return {}

    def split_digests(self) -> dict[str, dict[str, Any]]:
        """How many recordings each split has, and a digest of which they are and what is told of them."""
        told = {split: [(one.name, one.told) for one, _ in self.good(split)] for split in self._splits}
        return {split: {"examples": len(some), "sha256": digest_of(some)} for split, some in told.items()}

    def content(self) -> str:
        """SHA-256 of what the recordings are called, what is told of them, and how long they are."""
        kept = ((split, one, samples) for split in self._splits for one, samples in self.good(split))
        return digest_of([(split, one.name, one.told, len(samples)) for split, one, samples in kept])

    def begin(self, key: Key, moving: Any) -> Key:
        """The source's state before the first batch, which can be had without the recordings."""
        return key

    def source(self) -> ResidentRecordings | HostRecordings:
        arrays = self.arrays("train")
        residence = self.residence.settled(sum(array.nbytes for array in jax.tree.leaves(arrays)))
        kind = ResidentRecordings if residence is Residence.DEVICE else HostRecordings
        return kind(arrays, self.spec(), self.batch_size)

    def remarks(self, source: ResidentRecordings | HostRecordings) -> Iterator[str]:
        """Where the training recordings are stored, how long they are, and how many bad ones were met."""
        lengths = np.concatenate([wave["length"] for wave in _waves(source.arrays)])
        hours = lengths.sum() / self.hertz / 3600
        size = sum(array.nbytes for array in jax.tree.leaves(source.arrays)) / 1e6
        where = "in the device's memory" if isinstance(source, ResidentRecordings) else "in the host's memory, streamed"
        count = f"{len(lengths):,} recordings, {hours:.2f} h at {self.hertz} Hz"
        yield f"data: {self.name}, {count}, {size:,.1f} MB, {where}"
        yield from self.faults()

    def faults(self) -> Iterator[str]:
        """Which recordings were converted, and which were left out."""
        rates = [one.rate for found in self._held.values() for one, _ in found if one.rate != self.hertz]
        if rates:
            others = ", ".join(map(str, sorted(set(rates))))
            yield f"{len(rates):,} recordings of {others} Hz are converted to {self.hertz}"
        if self.bad.count:
            yield self.bad.told()

    def evaluation(self, split: str) -> dict[str, Any]:
        """Every recording of the split once, [n, B, ...]."""
        return jax.tree.map(_floats, padded_batches(self.arrays(split), self.batch_size))

    def first(self, split: str, count: int) -> dict[str, Any]:
        """The first recordings of a split, [N, ...] each."""
        return jax.tree.map(_floats, chosen_from(self.arrays(split), slice(count)))


def digest_of(told: Any) -> str:
    return hashlib.sha256(json.dumps(told).encode("utf-8", "surrogatepass")).hexdigest()


def _waves(examples: Mapping[str, Any]) -> Iterator[Mapping[str, np.ndarray]]:
    """The waves among what is given and made."""
    return (part for part in (*examples["given"].values(), examples["made"]) if "length" in part)
