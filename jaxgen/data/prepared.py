"""Sets that TFDS has prepared, through its random-access reader, which needs no TensorFlow: pictures and texts."""
# SPDX-License-Identifier: Apache-2.0

import io
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.data.bad import BadExamples
from jaxgen.data.decoder import read_picture
from jaxgen.data.examples import BadExample, Chosen, RandomAccess, Tolerant
from jaxgen.data.splits import no_such_split, rows_of
from jaxgen.errors import UserError, nearest
from jaxgen.types import Image as ImageSize
from jaxgen.types import Label, Spec

_NAME = re.compile(r"[A-Za-z]\w*(/|:|$)")  # a set's name, then perhaps its config and version; a file's is mostly none


def opened(name: str, data_dir: str | None, known: Sequence[str], neither: str) -> Any:
    """The builder of the set `name`; UserError, with the nearest of TFDS's names and `known`, where there is none."""
    import tensorflow_datasets as tfds

    try:
        if not _NAME.match(name):
            raise tfds.core.registered.DatasetNotFoundError
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError:
        if os.sep in name:  # a path: no set's name is near it
            raise UserError(f"data.name is {name!r}{neither}") from None
        names = [*known, *tfds.list_builders(with_community_datasets=False)]
        raise UserError(f"data.name is {name!r}{neither}{nearest(name, names)}") from None
    except (ValueError, AssertionError, ImportError, KeyError) as error:
        raise UserError(f"TFDS cannot open data.name={name!r} ({str(error).strip().split(chr(10))[0]})") from None


def refuse_unprepared(builder: Any) -> None:
    """UserError that says how a set is prepared."""
    if not builder.data_path.exists():
        name = builder.info.name
        raise UserError(
            f"{name} is not prepared in {builder.data_path.parent}: set TFDS_DATA_DIR to the folder that holds it, "
            f"or install jaxgen[tensorflow] and run `tfds build {name} --file_format=array_record`"
        )


def prepared_folder(name: str, data_dir: str | None) -> bool:
    """Whether TFDS has prepared a set of this plain name; asked of the disk alone, in no time."""
    root = data_dir or os.environ.get("TFDS_DATA_DIR") or os.path.expanduser("~/tensorflow_datasets")
    known = ("*/dataset_info.json", "*/*/dataset_info.json")  # of its versions, or of its configs' versions
    return bool(_NAME.fullmatch(name)) and any(any(Path(root, name).glob(pattern)) for pattern in known)


def split_of(builder: Any, expression: str, undecoded: Sequence[str] = ()) -> Any:
    """The examples of a split expression, by their places; read without TensorFlow, some features `undecoded`."""
    import tensorflow_datasets as tfds

    name = builder.info.name
    try:
        decoders = {feature: tfds.decode.SkipDecoding() for feature in undecoded} or None
        examples = builder.as_data_source(split=expression, decoders=decoders)
    except NotImplementedError:
        raise UserError(
            f"{name} is prepared in a format without random access; run `tfds build {name} --file_format=array_record`"
        ) from None
    except (ValueError, KeyError, AssertionError) as error:
        raise no_such_split(name, expression, list(builder.info.splits), error) from None
    if not len(examples):
        raise UserError(f"the split {expression!r} of {name} is empty; name another")
    return examples


def text_builder(name: str, data_dir: str | None, others: Sequence[str]) -> Any:
    """The builder of a prepared set that has a text; `others` are the names that the user could mean beside TFDS's."""
    builder = opened(name, data_dir, others, ": neither a builtin text nor a file nor a TFDS set")
    if _text_feature(builder) is None:
        raise UserError(f"{name} is a set of {', '.join(builder.info.features)}, and none or several of them are texts")
    refuse_unprepared(builder)
    return builder


def _text_feature(builder: Any) -> str | None:
    """`text`, or the only feature that is a text."""
    import tensorflow_datasets as tfds

    texts = [name for name, kind in builder.info.features.items() if isinstance(kind, tfds.features.Text)]
    return "text" if "text" in texts else texts[0] if len(texts) == 1 else None


def read_texts(builder: Any, split: str, bad: BadExamples) -> list[str]:
    """The texts of a split expression such as `train[:90%]` or `validation+test`, in their order."""
    name, feature = builder.info.name, _text_feature(builder)
    examples = split_of(builder, split)
    texts = []
    for number in range(len(examples)):
        try:
            texts.append(examples[number][feature].decode("utf-8"))
        except UnicodeDecodeError as error:
            bad.refuse(f"{name} {split}, example {number}", f"byte {error.start + 1} of its {feature} is no UTF-8")
    return texts


def picture_builder(name: str, data_dir: str | None, size: int | None, others: Sequence[str]) -> Any:
    """The builder of a prepared set of pictures; `size` scales pictures that are not all of one."""
    import tensorflow_datasets as tfds

    builder = opened(name, data_dir, others, ", which is no folder and which neither jaxgen nor TFDS knows")
    features = builder.info.features
    if "image" not in features or not isinstance(features["image"], tfds.features.Image):
        raise UserError(f"{name} is a set of {', '.join(features)}; this task needs image")
    if "label" in features and not isinstance(features["label"], tfds.features.ClassLabel):
        raise UserError(f"{name} has labels that are no classes; choose another set")
    if None in features["image"].shape and size is None:
        raise UserError(f"{name} has pictures of no fixed size; say to which they are scaled by data.size")
    if features["image"].np_dtype not in (np.uint8, np.uint16):
        what = f"pictures of {np.dtype(features['image'].np_dtype)}, whose range is not known"
        raise UserError(f"{name} has {what}; write them as PNG files of 8 or 16 bits into a folder, and name that")
    refuse_unprepared(builder)
    return builder


def picture_spec(builder: Any, size: int | None) -> Spec:
    features = builder.info.features
    height, width, channels = features["image"].shape
    side = (height, width) if size is None else (size, size)
    channels = 1 if channels == 1 else 3  # what is transparent lies over white
    classes = features["label"].num_classes if "label" in features else 0
    return Spec(ImageSize(*side, channels, 256), (("class", Label(classes)),) if classes else ())


def class_names(builder: Any) -> dict[str, tuple[str, ...]]:
    """The names of a prepared set's classes; empty where it has none."""
    features = builder.info.features
    return {"class": tuple(features["label"].names)} if "label" in features else {}


def read_pictures(
    builder: Any, expression: str, size: int | None, bad: BadExamples, keep: Callable[[str], bool] | None
) -> Tolerant:
    """The pictures of a split expression that are to be kept, each named by its split and place there; None: all."""
    name = builder.info.name
    examples: RandomAccess = _Pictures(
        split_of(builder, expression, ["image"]), f"{name} {expression}", picture_spec(builder, size)
    )
    if keep is not None:
        sizes = {split: info.num_examples for split, info in builder.info.splits.items()}
        parts = rows_of(expression, sizes, name)
        names = (f"{split} {place}" for split, first, end in parts for place in range(first, end))
        examples = Chosen(examples, [place for place, one in enumerate(names) if keep(one)])
    return Tolerant(examples, bad)


@dataclass(frozen=True)
class _Pictures:
    """A set's pictures [H, W, C] uint8, given their classes where it has some."""

    examples: Any
    title: str
    spec: Spec

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, place: int) -> dict[str, Any]:
        spot = f"{self.title}, example {place}"
        try:
            example = self.examples[place]
        except (OSError, ValueError, SyntaxError, RuntimeError) as error:
            raise BadExample(spot, f"it cannot be decoded ({str(error).strip().split(chr(10))[0]})") from None
        image = read_picture(io.BytesIO(example["image"]), self.spec.made.shape, spot)
        if not self.spec.given:
            return {"given": {}, "made": {"value": image}}
        classes = dict(self.spec.given)["class"].classes
        if not 0 <= example["label"] < classes:
            raise BadExample(spot, f"its label is {example['label']}, and there are {classes} classes")
        return {"given": {"class": {"value": np.int32(example["label"])}}, "made": {"value": image}}
