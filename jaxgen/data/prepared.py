"""Sets of texts that TFDS has prepared, through its random-access reader, which needs no TensorFlow."""
# SPDX-License-Identifier: Apache-2.0

import re
from collections.abc import Sequence
from typing import Any

from jaxgen.data.bad import BadExamples
from jaxgen.errors import UserError, nearest

_NAME = re.compile(r"[A-Za-z]\w*(/|:|$)")  # a set's name, then perhaps its config and version; a file's is mostly none


def text_builder(name: str, data_dir: str | None, others: Sequence[str]) -> Any:
    """The builder of a prepared set that has a text; `others` are the names that the user could mean beside TFDS's."""
    import tensorflow_datasets as tfds

    try:
        if not _NAME.match(name):
            raise tfds.core.registered.DatasetNotFoundError
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError:
        names = [*others, *tfds.list_builders(with_community_datasets=False)]
        raise UserError(
            f"data.name is {name!r}: neither a builtin text nor a file nor a TFDS set{nearest(name, names)}"
        ) from None
    except (ValueError, AssertionError, ImportError, KeyError) as error:
        raise UserError(f"TFDS cannot open data.name={name!r} ({str(error).strip().split(chr(10))[0]})") from None
    if _text_feature(builder) is None:
        raise UserError(f"{name} is a set of {', '.join(builder.info.features)}, and none or several of them are texts")
    if not builder.data_path.exists():
        raise UserError(
            f"{name} is not prepared in {builder.data_path.parent}: set TFDS_DATA_DIR to the folder that holds it, "
            f"or install jaxgen[tensorflow] and run `tfds build {name} --file_format=array_record`"
        )
    return builder


def _text_feature(builder: Any) -> str | None:
    """`text`, or the only feature that is a text."""
    import tensorflow_datasets as tfds

    texts = [name for name, kind in builder.info.features.items() if isinstance(kind, tfds.features.Text)]
    return "text" if "text" in texts else texts[0] if len(texts) == 1 else None


def read_texts(builder: Any, split: str, bad: BadExamples) -> list[str]:
    """The texts of a split expression such as `train[:90%]` or `validation+test`, in their order."""
    name, feature = builder.info.name, _text_feature(builder)
    try:
        examples = builder.as_data_source(split=split)
    except NotImplementedError:
        raise UserError(
            f"{name} is prepared in a format without random access; run `tfds build {name} --file_format=array_record`"
        ) from None
    except (ValueError, KeyError) as error:
        known = ", ".join(builder.info.splits)
        line = str(error).strip().split(chr(10))[0]
        raise UserError(f"{name} has no split {split!r}, only {known} and parts of them ({line})") from None
    texts = []
    for number in range(len(examples)):
        try:
            texts.append(examples[number][feature].decode("utf-8"))
        except UnicodeDecodeError as error:
            bad.refuse(f"{name} {split}, example {number}", f"byte {error.start + 1} of its {feature} is no UTF-8")
    return texts
