"""Sets of pictures as an experiment names them: builtin ones, TFDS's and the user's folders, and their batches."""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgen.data import builtin
from jaxgen.data.bad import BadExamples
from jaxgen.data.emoji import emoji
from jaxgen.data.examples import Chosen, RandomAccess, decoded
from jaxgen.data.folders import PictureFolder
from jaxgen.data.parts import PaddedParts
from jaxgen.data.prepared import picture_builder, picture_spec, read_pictures
from jaxgen.data.residence import Residence
from jaxgen.data.sources import HostExamples, ResidentExamples, padded_batches
from jaxgen.data.splits import cut
from jaxgen.data.streams import StreamedExamples
from jaxgen.errors import UserError
from jaxgen.ops.augmentation import cropped, flipped
from jaxgen.types import Batch, Key, Spec

_BUILTIN = {"digits": builtin.digits, "faded-digits": builtin.faded_digits, "emoji": emoji}
_PART = 2**28  # bytes of pictures that are evaluated at once; fixed, so that a resumed run adds in the same order
_LIVES = {
    ResidentExamples: "in the device's memory",
    HostExamples: "in the host's memory, streamed to the device",
    StreamedExamples: "read by Grain as they come",
}


@dataclass(frozen=True)
class Pictures:
    """Pictures by name: the builtin `digits`, `faded-digits` and `emoji`, a set that TFDS has prepared, or a folder.

    `train` and `test` are split expressions (`train[:90%]`, `validation+test`). All of the pictures, or those of the
    classes `only`, and of the training part the first `fraction`. Up to `skip_bad` bad examples are stood in for.
    """

    name: str = "digits"
    batch_size: int = 64
    residence: Residence = Residence.AUTO
    data_dir: str | None = None  # TFDS's folder; else $TFDS_DATA_DIR, else TFDS's default
    only: tuple[int, ...] = ()  # classes; none named: all
    fraction: float = 1.0
    train: str = "train"
    test: str = "test"
    size: int | None = None  # H and W that pictures are scaled to
    caption_length: int = 128  # bytes of a folder's captions
    workers: int = 0  # processes that decode what is read from disk; 0: threads of this one
    skip_bad: int = 0
    flip: bool = False  # mirror every other picture that is trained on
    crop: int = 0  # train on random parts of the pictures with so many black pixels around them
    bad: BadExamples = field(init=False, repr=False, compare=False)  # met in the reading so far

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
        return PictureFolder(path, self.size, self.caption_length) if path.is_dir() else None

    @functools.cached_property
    def _builder(self) -> Any:
        return picture_builder(self.name, self.data_dir, self.size, list(_BUILTIN))

    def spec(self) -> Spec:
        if self.name in ("digits", "faded-digits"):
            return Spec(image=(8, 8, 1), levels=17, classes=10)
        if self.name == "emoji":
            return Spec(image=(32, 32, 3), levels=256)
        return self._folder.spec() if self._folder else picture_spec(self._builder, self.size)

    def _expression(self, split: str) -> str:
        return {"train": self.train, "test": self.test}.get(split, split)

    def examples(self, split: str) -> RandomAccess:
        """The pictures of a split on disk, decoded as they are asked for."""
        expression = self._expression(split)
        if self._folder:
            examples = self._folder.examples(expression, self.bad)
        else:
            examples = read_pictures(self._builder, expression, self.size, self.bad)
        if split == "train" and self.fraction < 1:
            return Chosen(examples, range(max(1, round(self.fraction * len(examples)))))
        return examples

    def arrays(self, split: str) -> dict[str, np.ndarray]:
        """`image` [N, H, W, C] uint8 of a split, and `label` [N] int32 where the set has labels.

        `split` is "train", "test" or an expression.
        """
        if self.name not in _BUILTIN:
            return self._chosen(_decoded(self, split), False)
        arrays = cut(_BUILTIN[self.name](), self._expression(split), self.name)
        return self._chosen(arrays, split == "train")

    def first(self, split: str, count: int) -> dict[str, np.ndarray]:
        """The first of `arrays`, as many as there are up to `count`; of a set on disk no others are decoded."""
        if self.name in _BUILTIN or self.only:
            return {name: array[:count] for name, array in self.arrays(split).items()}
        examples = self.examples(split)
        return decoded(Chosen(examples, range(min(count, len(examples)))))

    def _chosen(self, arrays: dict[str, np.ndarray], share: bool) -> dict[str, np.ndarray]:
        """Those of the classes asked for, and the share of them."""
        if self.only:
            if "label" not in arrays or not set(self.only) <= set(range(self.spec().classes)):
                raise UserError(f"data.only is {self.only}: {self.name} has no such classes; leave them out")
            chosen = np.isin(arrays["label"], self.only)
            arrays = {name: array[chosen] for name, array in arrays.items()}
        if share and self.fraction < 1:
            size = max(1, round(self.fraction * len(arrays["image"])))
            arrays = {name: array[:size] for name, array in arrays.items()}
        return arrays

    def augment(self, batch: Batch, key: Key) -> Batch:
        """The batch with its pictures cropped and flipped, as `crop` and `flip` say; UserError when none would be left.

        Called inside the compiled step, so that all sources' batches are treated alike.
        """
        image, side = batch["image"], min(self.spec().image[:2])
        if self.crop >= side:
            raise UserError(f"data.crop is {self.crop}, and the pictures of {self.name} are {side} wide; give less")
        if self.crop:
            image = cropped(image, jax.random.fold_in(key, 0), batch["row"], self.crop)
        if self.flip:
            image = flipped(image, jax.random.fold_in(key, 1), batch["row"])
        return {**batch, "image": image}

    def source(self) -> ResidentExamples | HostExamples | StreamedExamples:
        lives = self._residence()
        if lives is Residence.DISK:
            return StreamedExamples(self.examples("train"), self.spec(), self.batch_size, self.workers)
        kind = ResidentExamples if lives is Residence.DEVICE else HostExamples
        return kind(self.arrays("train"), self.spec(), self.batch_size)

    def _residence(self) -> Residence:
        if self.name in _BUILTIN:
            if self.residence is Residence.DISK:
                raise UserError(f"data.residence=DISK: {self.name} lies on no disk; leave it out")
            return Residence.DEVICE if self.residence is Residence.AUTO else self.residence
        size = len(self.examples("train")) * int(np.prod(self.spec().image))
        lives = self.residence.settled(size)
        if lives is Residence.DISK and self.only:
            raise UserError("data.only needs the set in memory; set data.residence=HOST, or leave data.only out")
        return lives

    def remarks(self, source: Any) -> Iterator[str]:
        """Where the training pictures live, and how many bad ones were met."""
        if isinstance(source, StreamedExamples):
            count, size = len(source.examples), ""
        elif type(source) not in _LIVES:
            return  # a source of the user's own
        else:
            count = len(source.arrays["image"])
            size = f", {sum(array.nbytes for array in source.arrays.values()) / 1e6:,.1f} MB"
        yield f"data: {self.name}, {count:,} pictures{size}, {_LIVES[type(source)]}"
        if self.bad.count:
            yield self.bad.told()

    def evaluation(self, split: str) -> dict[str, Any]:
        """Every example of the split once, [n, B, ...]."""
        return padded_batches(self.arrays(split), self.batch_size)

    def evaluation_parts(self, split: str) -> Sequence[Mapping[str, np.ndarray]]:
        """The same, decoded in parts where the split is larger than one; no parts of some classes only."""
        if self.name in _BUILTIN or self.only:
            return ()
        batch = self.batch_size * int(np.prod(self.spec().image))  # bytes
        parts = PaddedParts(self.examples(split), self.batch_size, max(1, _PART // batch))
        return parts if len(parts) > 1 else ()


@functools.lru_cache(maxsize=4)
def _decoded(data: Pictures, split: str) -> dict[str, np.ndarray]:
    """A split on disk, decoded once a process."""
    return decoded(data.examples(split))
