"""Sets of pictures as an experiment names them: builtin ones, TFDS's and the user's folders, and their batches."""
# SPDX-License-Identifier: Apache-2.0

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

from jaxgen.core.data import Working
from jaxgen.data import builtin
from jaxgen.data.bad import BadExamples
from jaxgen.data.checking import check_pictures
from jaxgen.data.copies import copy_with
from jaxgen.data.emoji import emoji
from jaxgen.data.examples import Chosen, RandomAccess, chosen_from, decoded, size_of
from jaxgen.data.folders import PictureFolder
from jaxgen.data.parts import PaddedParts
from jaxgen.data.picture_views import DrawnOnce, Ungiven, all_drawn_once, two_levels, ungiven
from jaxgen.data.prepared import class_names, picture_builder, picture_spec, prepared_folder, read_pictures
from jaxgen.data.residence import Residence
from jaxgen.data.sources import HostExamples, ResidentExamples, padded_batches
from jaxgen.data.splits import holding_out, in_validation, part_of
from jaxgen.data.streams import StreamedExamples
from jaxgen.errors import UserError
from jaxgen.ops.augmentation import binarised, cropped, flipped
from jaxgen.types import Batch, Image, Key, Label, Spec

_BUILTIN = {"digits": builtin.digits, "faded-digits": builtin.faded_digits, "emoji": emoji}
_PART = 2**28  # bytes of pictures that are evaluated at once; fixed, so that a resumed run adds in the same order
_RESIDENCE = {
    ResidentExamples: "in the device's memory",
    HostExamples: "in the host's memory, streamed to the device",
    StreamedExamples: "read by Grain as they come",
}


@dataclass(frozen=True)
class Pictures:
    """Pictures by name: the builtin `digits`, `faded-digits` and `emoji`, a set that TFDS has prepared, or a folder.

    `train`, `validation` and `test` are split expressions (`train[:90%]`, `validation+test`). All of the pictures, or
    those of the classes `only`, and of the training part the first `fraction`. Up to `skip_bad` bad examples are
    replaced by the next good one.

    With `binarise` each pixel of a grey picture is ink with the probability of its intensity: drawn anew each time that
    it is trained on, and once for all that is measured, by a draw that is the same on every machine.
    """

    name: str = "digits"
    batch_size: int = 64
    residence: Residence = Residence.AUTO
    data_dir: str | None = None  # TFDS's folder; else $TFDS_DATA_DIR, else TFDS's default
    only: tuple[int, ...] = ()  # classes; none named: all
    fraction: float = 1.0
    train: str = "train"
    validation: str | None = None  # none: a tenth of `train`, by a hash, where something asks for it
    test: str = "test"
    size: int | None = None  # H and W that pictures are scaled to; None: a folder's own, or if they differ the smallest
    caption_length: int = 128  # bytes of a folder's captions
    workers: int = 0  # processes that decode what is read from disk; 0: threads of this one
    skip_bad: int = 0
    flip: bool = False  # mirror every other picture that is trained on
    crop: int = 0  # train on random parts of the pictures with so many black pixels around them
    binarise: bool = False
    given: bool = True  # whether classes, and a folder's captions, are given; else pictures are made of nothing
    places: ClassVar[tuple[str, ...]] = ("name", "data_dir")  # where the pictures lie
    bad: BadExamples = field(init=False, repr=False, compare=False)  # met in the reading so far
    holds_out: bool = field(init=False, repr=False, default=False)  # whether a tenth of `train` is set aside
    kept: tuple[int, int] | None = field(init=False, repr=False, default=None)  # H, W that a run has trained on

    def __post_init__(self):
        if self.batch_size < 1:
            raise UserError(f"batch_size is {self.batch_size}; give at least 1")
        if self.workers < 0:
            raise UserError(f"data.workers is {self.workers}; give a number of processes, 0 for threads")
        if not 0 < self.fraction <= 1:
            raise UserError(f"data.fraction is {self.fraction}; give a share of the training split above 0, up to 1")
        if self.size is not None and (self.size < 1 or self.name in _BUILTIN):
            raise UserError(f"data.size is {self.size}; give at least 1, and none for the builtin sets")
        if self.crop < 0:
            raise UserError(f"data.crop is {self.crop}; give a number of pixels, 0 for none")
        object.__setattr__(self, "bad", BadExamples(self.skip_bad))

    @functools.cached_property
    def _folder(self) -> PictureFolder | None:
        path = Path(self.name)
        if self.name in _BUILTIN or not path.is_dir() or prepared_folder(self.name, self.data_dir):
            return None
        return PictureFolder(path, self.size, self.caption_length, self.bad, self.kept)

    @functools.cached_property
    def _builder(self) -> Any:
        return picture_builder(self.name, self.data_dir, self.size, list(_BUILTIN))

    def spec(self) -> Spec:
        spec = two_levels(self._own_spec, self.name) if self.binarise else self._own_spec
        return spec if self.given else Spec(spec.made)

    def labelled(self) -> "Pictures":
        return replace(self, given=True)

    @property
    def _own_spec(self) -> Spec:
        """Of the set as it lies on disk."""
        if self.name in ("digits", "faded-digits"):
            return Spec(Image(8, 8, 1, 17), (("class", Label(10)),))
        if self.name == "emoji":
            return Spec(Image(32, 32, 3, 256))
        return self._folder.spec if self._folder else picture_spec(self._builder, self.size)

    def with_spec(self, spec: Spec) -> "Pictures":
        """These data with a folder's pictures of the size that a run has kept, where `size` asks for none."""
        return copy_with(self, "_folder", kept=spec.made.shape[:2])

    def understood(self) -> Iterator[str]:
        """How a folder was understood, and which of two things is meant where a name could be both."""
        if self._folder:
            yield from (f"{self.name}: {sentence}" for sentence in self._folder.told())
        elif Path(self.name).is_dir():
            kind = "jaxgen's own set" if self.name in _BUILTIN else "the set that TFDS has prepared"
            yield f"{self.name}: {kind}, and not the folder of that name here, which would be ./{self.name}"

    def check(self, known: Mapping[str, Any], work: Working, stopped: Callable[[], bool]) -> dict[str, Any]:
        """Decodes each picture of a folder's splits once; UserError names the bad ones where they are too many."""
        if not self._folder:
            return {}
        expressions = dict.fromkeys(self._expression(split) for split in self._splits)
        found = {one.file: None for expression in expressions for one in self._folder.pictures(expression, None)}
        told = "+".join((self.name, self._folder.stamp, *expressions))  # bad files are remembered by their paths
        digest = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
        return check_pictures(list(found), digest, self.bad, known, work, stopped)

    def class_names(self) -> dict[str, tuple[str, ...]]:
        if not self.given:
            return {}
        if self.name in _BUILTIN:
            return {name: tuple(map(str, range(label.classes))) for name, label in self.spec().given}
        if self._folder:
            return {"class": self._folder.classes} if self._folder.classes else {}
        return class_names(self._builder)

    def with_validation(self) -> "Pictures":
        """These data with a "validation" split: the one named, a folder's own, or a tenth of `train` by a hash."""
        return self if self._validation is not None else holding_out(self)

    @property
    def _validation(self) -> str | None:
        """The expression of the validation split, where there is one beside the training split."""
        if self.validation is None and self._folder and "validation" in self._folder.layout.splits:
            return "validation"
        return self.validation

    @property
    def _splits(self) -> tuple[str, ...]:
        return ("train", *(("validation",) if self.holds_out or self._validation else ()), "test")

    def _expression(self, split: str) -> str:
        if split == "validation" and self._validation is None:
            if not self.holds_out:
                raise UserError(f"{self.name} has no validation split; name one by data.validation")
            return self.train
        return {"train": self.train, "validation": self._validation, "test": self.test}.get(split, split)

    def _keep(self, split: str) -> Callable[[str | bytes], bool] | None:
        """Whether an example of the split's expression belongs to the split; None where all do."""
        if not self.holds_out or split not in ("train", "validation"):
            return None
        return lambda example: in_validation(example) == (split == "validation")

    def _refuse_empty(self, split: str, count: int) -> None:
        """UserError where a hash sets no example aside, or every one."""
        if not count:
            few = f"{self.train!r} of {self.name} has too few pictures to set some aside: {split} is empty"
            raise UserError(f"{few}; give more, or leave `best` and `stop` out")

    def examples(self, split: str) -> RandomAccess:
        """The pictures of a split on disk, decoded as they are asked for; binarised by the draw that is kept."""
        return self._examples(split, self.binarise)

    def _examples(self, split: str, drawn: bool) -> RandomAccess:
        examples = self._on_disk(split)
        examples = DrawnOnce(examples, self._brightest) if drawn else examples
        return examples if self.given else Ungiven(examples)

    @property
    def _brightest(self) -> int:
        return self._own_spec.made.levels - 1

    def _on_disk(self, split: str) -> RandomAccess:
        expression, keep = self._expression(split), self._keep(split)
        if self._folder:
            examples = self._folder.examples(expression, keep)
        else:
            examples = read_pictures(self._builder, expression, self.size, self.bad, keep)
        self._refuse_empty(split, len(examples))
        if split == "train" and self.fraction < 1:
            return Chosen(examples, range(max(1, round(self.fraction * len(examples)))))
        return examples

    def arrays(self, split: str) -> dict[str, Any]:
        """All examples of "train", "validation", "test" or a split expression, each array [N, ...].

        They are binarised by the draw that is kept.
        """
        return self._arrays(split, self.binarise)

    def _arrays(self, split: str, drawn: bool) -> dict[str, Any]:
        if self.name in _BUILTIN:
            arrays = self._builtin(split)
            arrays = all_drawn_once(arrays, self._brightest) if drawn else arrays
        else:
            arrays = _decoded(self, split, self._folder.stamp if self._folder else "", drawn)
        arrays = self._selected(arrays, self.name in _BUILTIN and split == "train")
        return arrays if self.given else ungiven(arrays)

    def _builtin(self, split: str) -> dict[str, Any]:
        arrays = part_of(_BUILTIN[self.name](), self._expression(split), self.name)
        if keep := self._keep(split):
            arrays = chosen_from(arrays, np.array([keep(one.tobytes()) for one in arrays["made"]["value"]]))
            self._refuse_empty(split, size_of(arrays))
        return arrays

    def first(self, split: str, count: int) -> dict[str, Any]:
        """The first of `arrays`, as many as there are up to `count`; of a set on disk no others are decoded."""
        if self.name in _BUILTIN or self.only:
            return chosen_from(self.arrays(split), slice(count))
        examples = self.examples(split)
        return decoded(Chosen(examples, range(min(count, len(examples)))))

    def spread(self, split: str, count: int) -> dict[str, Any]:
        """`count` pictures of a split, or all where there are no more: of a folder, whose files stand in the order of
        their classes, at even distances; else the first, for TFDS has shuffled its sets.
        """
        if self.name in _BUILTIN or self.only or self._folder is None:
            return self.first(split, count)
        examples = self.examples(split)
        size = min(count, len(examples))
        return decoded(Chosen(examples, [place * len(examples) // size for place in range(size)]))

    def _selected(self, arrays: dict[str, Any], limited: bool) -> dict[str, Any]:
        """Those of the classes asked for, and where they are `limited` the fraction of them."""
        if self.only:
            given = dict(self._own_spec.given)
            if "class" not in given or not set(self.only) <= set(range(given["class"].classes)):
                raise UserError(f"data.only is {self.only}: {self.name} has no such classes; leave them out")
            arrays = chosen_from(arrays, np.isin(arrays["given"]["class"]["value"], self.only))
        if limited and self.fraction < 1:
            arrays = chosen_from(arrays, slice(max(1, round(self.fraction * size_of(arrays)))))
        return arrays

    def augment(self, batch: Batch, key: Key) -> Batch:
        """The batch with its pictures cropped, flipped and binarised, as the fields of these names say.

        UserError when `crop` would leave nothing of them.

        Called inside the compiled step, so that all sources' batches are treated alike.
        """
        image, side = batch["made"]["value"], min(self.spec().made.shape[:2])
        if self.crop >= side:
            raise UserError(f"data.crop is {self.crop}, and the pictures of {self.name} are {side} wide; give less")
        if self.crop:
            image = cropped(image, jax.random.fold_in(key, 0), batch["row"], self.crop)
        if self.flip:
            image = flipped(image, jax.random.fold_in(key, 1), batch["row"])
        if self.binarise:
            image = binarised(image, jax.random.fold_in(key, 2), batch["row"], self._brightest)
        return {**batch, "made": {**batch["made"], "value": image}}

    def begin(self, key: Key, moving: Any) -> Key:
        """The source's state before the first batch, which can be had without the pictures."""
        return key

    def split_digests(self) -> dict[str, dict[str, Any]]:
        """How many examples each split has, and a digest of which: of builtin sets' pixels, of others' names."""
        return {split: self._digest(split) for split in self._splits}

    def content(self) -> str:
        """SHA-256 of builtin sets' pixels; of a folder's names and sizes; of a TFDS set's full name and splits."""
        told = dict(self.split_digests())
        if self._folder:
            told["files"] = self._folder.files_digest(times=False)
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()

    def _digest(self, split: str) -> dict[str, Any]:
        if self.name in _BUILTIN:
            arrays = self.arrays(split)
            digest = hashlib.sha256(arrays["made"]["value"].tobytes()).hexdigest()
            return {"examples": size_of(arrays), "sha256": digest}
        expression = self._expression(split)
        if self._folder:
            digest = self._folder.digest(expression, self._keep(split))
        else:
            digest = hashlib.sha256(f"{self._builder.info.full_name} {expression}".encode()).hexdigest()
        return {"examples": len(self.examples(split)), "sha256": digest}

    def source(self) -> ResidentExamples | HostExamples | StreamedExamples:
        """The training pictures by their intensities, which `augment` draws from."""
        residence = self._residence()
        if residence is Residence.DISK:
            return StreamedExamples(self._examples("train", False), self.spec(), self.batch_size, self.workers)
        kind = ResidentExamples if residence is Residence.DEVICE else HostExamples
        return kind(self._arrays("train", False), self.spec(), self.batch_size)

    def _residence(self) -> Residence:
        if self.name in _BUILTIN:
            if self.residence is Residence.DISK:
                raise UserError(f"data.residence=DISK: {self.name} lies on no disk; leave it out")
            return Residence.DEVICE if self.residence is Residence.AUTO else self.residence
        size = len(self.examples("train")) * int(np.prod(self.spec().made.shape))
        residence = self.residence.settled(size)
        if residence is Residence.DISK and self.only:
            raise UserError("data.only needs the set in memory; set data.residence=HOST, or leave data.only out")
        return residence

    def remarks(self, source: Any) -> Iterator[str]:
        """Where the training pictures are stored, and how many bad ones were met."""
        if isinstance(source, StreamedExamples):
            count, size = len(source.examples), ""
        elif type(source) not in _RESIDENCE:
            return  # a source of the user's own
        else:
            count = size_of(source.arrays)
            size = f", {sum(array.nbytes for array in jax.tree.leaves(source.arrays)) / 1e6:,.1f} MB"
        yield f"data: {self.name}, {count:,} pictures{size}, {_RESIDENCE[type(source)]}"
        if self.bad.count:
            yield self.bad.told()

    def evaluation(self, split: str) -> dict[str, Any]:
        """Every example of the split once, [n, B, ...]."""
        return padded_batches(self.arrays(split), self.batch_size)

    def evaluation_parts(self, split: str) -> Sequence[Batch]:
        """The same, decoded in parts where the split is larger than one; no parts of some classes only."""
        if self.name in _BUILTIN or self.only:
            return ()
        batch = self.batch_size * int(np.prod(self.spec().made.shape))  # bytes
        parts = PaddedParts(self.examples(split), self.batch_size, max(1, _PART // batch))
        return parts if len(parts) > 1 else ()


@functools.lru_cache(maxsize=4)
def _decoded(data: Pictures, split: str, stamp: str, drawn: bool) -> dict[str, Any]:
    """A split on disk, decoded once a process as long as its files are the same, which `stamp` tells."""
    examples = data._on_disk(split)
    return decoded(DrawnOnce(examples, data._brightest) if drawn else examples)


def spec_of(pictures: Pictures, field: str) -> Spec:
    """The spec of pictures that another field than data.name names; a UserError speaks of that field."""
    try:
        return pictures.spec()
    except UserError as error:
        raise UserError(str(error).replace("data.name", field)) from None
