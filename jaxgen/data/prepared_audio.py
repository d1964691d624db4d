"""Sets of recordings that TFDS has prepared, read without TensorFlow, which TFDS's own Audio feature would ask for.

What is on disk is simple: array_record files of `tf.train.Example`, and `features.json`, which says what is in them.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgen.data.examples import BadExample
from jaxgen.data.splits import held_out
from jaxgen.data.waves import FULL, Recording
from jaxgen.errors import UserError, nearest

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_SPOKEN_DIGIT = re.compile(r"\d_(\w+)_(\d+)\.wav")  # DIGIT_SPEAKER_NUMBER.wav


class Record(NamedTuple):
    """An example's place."""

    split: str
    number: int


@dataclass(frozen=True)
class PreparedAudio:
    """A prepared set with one Audio feature, and `label` (a class) or `text` beside it.

    Its own splits where it has a `test`; `spoken_digit` is cut as its authors say, each speaker's recordings 0 to 4 of
    a digit for testing; else one recording in ten, by a fixed permutation, is held out.
    """

    name: str
    folder: Path
    told: str  # the feature beside the audio: "label" or "text"

    @classmethod
    def find(cls, name: str, data_dir: str | None, told: str) -> "PreparedAudio":
        """UserError when TFDS has prepared no such set, or not so that it can be read here."""
        found = cls(name, _folder(name, data_dir), told)
        found._audio  # noqa: B018 - refused now rather than at the first recording
        return found

    @functools.cached_property
    def _features(self) -> Mapping[str, Any]:
        return json.loads((self.folder / "features.json").read_text())["featuresDict"]["features"]

    @functools.cached_property
    def _audio(self) -> str:
        """The name of the audio feature."""
        named = [name for name, kind in self._features.items() if "audio" in kind]
        if len(named) != 1 or self.told not in self._features:
            raise UserError(
                f"{self.name} is a set of {', '.join(self._features)}; these data need audio and {self.told}"
            )
        kind = self._features[named[0]]["audio"]
        if kind.get("lazyDecode") or kind.get("encoding", "NONE") != "NONE" or not kind.get("sampleRate"):
            raise UserError(
                f"{self.name} keeps its audio encoded or without a rate, and only TensorFlow can read that "
                "(jaxgen[tensorflow]); write it as wav files with a transcripts.tsv"
            )
        return named[0]

    @property
    def classes(self) -> int:
        return int(self._features[self.told].get("classLabel", {}).get("numClasses", 0))

    @functools.cached_property
    def _readers(self) -> dict[str, Any]:
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        info = json.loads((self.folder / "dataset_info.json").read_text())
        if info.get("fileFormat") != "array_record":
            raise UserError(
                f"{self.name} is prepared in a format without random access; run `tfds build {self.name} "
                "--file_format=array_record` (it needs jaxgen[tensorflow])"
            )
        files = {
            split["name"]: sorted(self.folder.glob(f"*-{split['name']}.array_record*")) for split in info["splits"]
        }
        return {split: ArrayRecordDataSource([str(file) for file in found]) for split, found in files.items() if found}

    @functools.cached_property
    def splits(self) -> Mapping[str, Sequence[Record]]:
        own = {split: [Record(split, n) for n in range(len(reader))] for split, reader in self._readers.items()}
        if re.split("[/:]", self.name)[0] == "spoken_digit":
            numbers = [_speaker_and_number(self._example(record))[1] for record in own["train"]]
            numbered = list(zip(own["train"], numbers, strict=True))
            return {
                "train": [record for record, number in numbered if number >= 5],
                "test": [record for record, number in numbered if number < 5],
            }
        return own if "test" in own else {**own, **held_out(own["train"], lambda one: f"{one.split} {one.number}")}

    def speaker_of(self, record: Record) -> str:
        """Who speaks in a recording of `spoken_digit`."""
        return _speaker_and_number(self._example(record))[0]

    def _example(self, record: Record) -> Mapping[str, Any]:
        from tensorflow_datasets.proto import tf_example_pb2

        return tf_example_pb2.Example.FromString(self._readers[record.split][record.number]).features.feature

    def read(self, record: Record) -> Recording:
        """BadExample for samples beyond 16 bits and a text that is no UTF-8."""
        place = f"{self.name} {record.split}, example {record.number}"
        kind, example = self._features[self._audio]["audio"], self._example(record)
        told = example[self.told]
        try:
            words = told.bytes_list.value[0].decode() if told.bytes_list.value else str(told.int64_list.value[0])
        except (UnicodeDecodeError, IndexError):
            raise BadExample(place, f"its {self.told} is missing or no UTF-8") from None
        audio = example[self._audio]
        samples = np.asarray(audio.float_list.value, np.float64)
        if not len(samples):
            whole = np.asarray(audio.int64_list.value, np.int64)
            if len(whole) and not -FULL <= whole.min() <= whole.max() < FULL:
                raise BadExample(place, "its samples have more than 16 bits")
            samples = whole / FULL
        channels = int(dict(enumerate(kind["shape"]["dimensions"])).get(1, 1))
        name = f"{record.split} {record.number}"
        return Recording(place, words, int(kind["sampleRate"]), samples.reshape(-1, channels), name)


def _speaker_and_number(example: Mapping[str, Any]) -> tuple[str, int]:
    """Who speaks in an example of `spoken_digit`, and which of the speaker's recordings of its digit it is."""
    file = example["audio/filename"].bytes_list.value[0].decode()
    speaker, number = _SPOKEN_DIGIT.fullmatch(file).groups()
    return speaker, int(number)


def _folder(name: str, data_dir: str | None) -> Path:
    """Where the newest version of a prepared set lies."""
    import tensorflow_datasets as tfds

    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or tfds.core.constants.DATA_DIR).expanduser()
    asked = root / name.replace(":", "/")
    versions = [(tuple(map(int, found.groups())), path) for path in asked.glob("*") if (found := _version(path))]
    if (asked / "features.json").is_file() and _version(asked):
        return asked
    if versions:
        return max(versions)[1]
    names = tfds.list_builders(with_community_datasets=False)
    if re.split("[/:]", name)[0] not in names:
        which = "neither a folder with a transcripts.tsv nor a set that TFDS knows"
        raise UserError(f"data.name is {name!r}, {which}{nearest(name, names)}")
    raise UserError(
        f"{name} is not prepared in {root}: set TFDS_DATA_DIR to the folder that holds it, or install "
        f"jaxgen[tensorflow] and run `tfds build {name} --file_format=array_record`"
    )


def _version(path: Path) -> re.Match[str] | None:
    return _VERSION.fullmatch(path.name) if (path / "features.json").is_file() else None
