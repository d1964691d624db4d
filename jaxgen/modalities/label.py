"""Classes: given by name or number, shown by name."""
# SPDX-License-Identifier: Apache-2.0

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jaxgen.errors import UserError, nearest
from jaxgen.modalities.inputs import text_of
from jaxgen.modalities.presents import Arrays, Meaning
from jaxgen.reporting.artefacts import Artefact
from jaxgen.types import Label


@dataclass(frozen=True)
class LabelPresents:
    """Classes of one data set. A name counts before a number: classes may be named by numbers in another order."""

    label: Label
    meaning: Meaning
    shown = 1

    @property
    def names(self) -> tuple[str, ...]:
        return self.meaning.class_names or tuple(map(str, range(self.label.classes)))

    def read(self, words: Sequence[str]) -> dict[str, np.ndarray]:
        return {"value": np.asarray([self._number(word) for word in words], np.int32)}

    def every(self) -> dict[str, np.ndarray]:
        return {"value": np.arange(self.label.classes, dtype=np.int32)}

    def captions(self, arrays: Arrays) -> list[str]:
        return [self.names[number] for number in arrays["value"]]

    def words(self, arrays: Arrays) -> list[str]:
        return self.captions(arrays)

    def show(self, arrays: Arrays, captions: Sequence[str] | None) -> Artefact:
        lines = zip(captions or [""] * len(arrays["value"]), self.captions(arrays), strict=True)
        return Artefact("txt", "\n".join(f"{caption}: {name}" if caption else name for caption, name in lines).encode())

    def _number(self, word: str) -> int:
        known = Counter(self.names)
        for text in (word, text_of(word).strip()):
            if known[text] == 1:
                return self.names.index(text)
            if text.isdecimal() and int(text) < self.label.classes:
                return int(text)
        raise UserError(f"there is no class {text!r}{nearest(text, self.names)}")
