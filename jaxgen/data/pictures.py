"""Sets of pictures as an experiment names them: builtin ones and TFDS's, their batches, and where they live."""
# SPDX-License-Identifier: Apache-2.0

import enum
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxgen.data import builtin
from jaxgen.data.emoji import emoji
from jaxgen.data.sources import HostExamples, ResidentExamples, padded_batches
from jaxgen.errors import UserError, nearest
from jaxgen.types import Spec


class Residence(enum.Enum):
    """Where the examples of a set live while a run reads them."""

    DEVICE = "device"
    HOST = "host"


@dataclass(frozen=True)
class Pictures:
    """Pictures: the builtin `digits`, `faded-digits` and `emoji` (no labels), or a labelled set that TFDS has prepared.

    All of them, or those of the classes `only`, and of the training split the first `share`.
    """

    name: str = "digits"
    batch_size: int = 64
    residence: Residence = Residence.DEVICE
    data_dir: str | None = None  # TFDS's folder; else $TFDS_DATA_DIR, else TFDS's default
    only: tuple[int, ...] = ()  # classes; none named: all
    share: float = 1.0

    def __post_init__(self):
        if self.batch_size < 1:
            raise UserError(f"batch_size is {self.batch_size}; give at least 1")
        if not 0 < self.share <= 1:
            raise UserError(f"data.share is {self.share}; give a share of the training split above 0, up to 1")

    def arrays(self, split: str) -> dict[str, np.ndarray]:
        """`image` [N, H, W, C] uint8 of the split, and `label` [N] int32 where the set has labels."""
        arrays = self._whole(split)
        if self.only:
            if "label" not in arrays or not set(self.only) <= set(range(self.spec().classes)):
                raise UserError(f"data.only is {self.only}: {self.name} has no such classes; leave them out")
            chosen = np.isin(arrays["label"], self.only)
            arrays = {name: array[chosen] for name, array in arrays.items()}
        if split == "train" and self.share < 1:
            size = max(1, round(self.share * len(arrays["image"])))
            arrays = {name: array[:size] for name, array in arrays.items()}
        return arrays

    def _whole(self, split: str) -> dict[str, np.ndarray]:
        if split == "validation" and self.name in ("digits", "faded-digits", "emoji"):
            raise UserError(f"{self.name} has no validation split, only train and test; choose one of them")
        if self.name == "digits":
            return dict(builtin.digits()[split])
        if self.name == "faded-digits":
            return dict(builtin.faded_digits()[split])
        if self.name == "emoji":
            return dict(emoji()[split])
        return _tfds_pictures(self.name, split, self.data_dir)

    def spec(self) -> Spec:
        if self.name in ("digits", "faded-digits"):
            return Spec(image=(8, 8, 1), levels=17, classes=10)
        if self.name == "emoji":
            return Spec(image=(32, 32, 3), levels=256)
        features = _tfds_builder(self.name, self.data_dir).info.features
        return Spec(image=features["image"].shape, levels=256, classes=features["label"].num_classes)

    def source(self) -> ResidentExamples | HostExamples:
        arrays = self.arrays("train")
        if self.residence is Residence.HOST:
            return HostExamples(arrays, self.spec(), self.batch_size)
        return ResidentExamples(arrays, self.spec(), self.batch_size)

    def evaluation(self, split: str) -> dict[str, Any]:
        """Every example of the split once, [n, B, ...]."""
        return padded_batches(self.arrays(split), self.batch_size)


def _tfds_builder(name: str, data_dir: str | None) -> Any:
    """The builder of a prepared set of labelled pictures."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError:
        names = ["digits", "faded-digits", "emoji", *tfds.list_builders(with_community_datasets=False)]
        raise UserError(f"data.name is {name!r}, which neither jaxgen nor TFDS knows{nearest(name, names)}") from None
    except (ValueError, AssertionError, ImportError, KeyError) as error:
        raise UserError(f"TFDS cannot open data.name={name!r} ({str(error).strip().split(chr(10))[0]})") from None
    features = builder.info.features
    if not {"image", "label"} <= set(features):
        raise UserError(f"{name} is a set of {', '.join(features)}; this task needs image and label")
    if None in features["image"].shape or not isinstance(features["label"], tfds.features.ClassLabel):
        raise UserError(f"{name} has pictures of no fixed size or labels that are no classes; choose another set")
    if not builder.data_path.exists():
        raise UserError(
            f"{name} is not prepared in {builder.data_path.parent}: set TFDS_DATA_DIR to the folder that holds it, "
            f"or install jaxgen[tensorflow] and run `tfds build {name} --file_format=array_record`"
        )
    return builder


@functools.cache
def _tfds_pictures(name: str, split: str, data_dir: str | None) -> dict[str, np.ndarray]:
    """A prepared TFDS set through its random-access reader, which needs no TensorFlow."""
    builder = _tfds_builder(name, data_dir)
    if split not in builder.info.splits:
        raise UserError(f"{name} has no {split} split, only {', '.join(builder.info.splits)}; choose another set")
    try:
        examples = list(builder.as_data_source(split=split))
    except NotImplementedError:
        raise UserError(
            f"{name} is prepared in a format without random access; run `tfds build {name} --file_format=array_record`"
        ) from None
    return {
        "image": np.stack([example["image"] for example in examples]),
        "label": np.asarray([example["label"] for example in examples], np.int32),
    }
