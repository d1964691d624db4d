"""Texts that are given and pictures that are made for them: the same examples as pictures and their captions."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from jaxgen.data.captioned import CaptionedExamples, CaptionedPictures
from jaxgen.data.examples import BadExample, Tolerant
from jaxgen.data.picture_views import Ungiven
from jaxgen.ops.augmentation import shifted
from jaxgen.types import Batch, Framing, Key, Spec, Tokens


@dataclass(frozen=True)
class PromptedPictures(CaptionedPictures):
    """`CaptionedPictures` the other way round: the tokens of a caption are given, a "prompt", its picture is made.

    Sources, splits and held-out pairs are those of the captions. A prompt has neither start nor end.
    """

    given: bool = True  # whether prompts are; else pictures are made of nothing
    ended: ClassVar[bool] = False

    def spec(self) -> Spec:
        return self.whole_spec if self.given else Spec(self.image)

    @property
    def whole_spec(self) -> Spec:
        """Of the pictures with their prompts."""
        prompt = Tokens(self.longest, self.vocabulary.size, self.vocabulary.unit, Framing.SOURCE)
        return Spec(self.image, (("prompt", prompt),))

    def labelled(self) -> "PromptedPictures":
        return replace(self, given=True)

    def examples(self, split: str) -> Tolerant:
        """The prompts of a split and their pictures, decoded as they are asked for."""
        examples = _Examples(self.of(split), self.whole_spec, self.vocabulary)
        return Tolerant(examples if self.given else Ungiven(examples), self.bad)

    def augment(self, batch: Batch, key: Key) -> Batch:
        """The batch with each picture moved by up to `shift` pixels; called inside the compiled step."""
        if not self.shift:
            return batch
        moved = shifted(batch["made"]["value"], key, batch["row"], self.shift)
        return {**batch, "made": {**batch["made"], "value": moved}}

    def _for_measures(self, batches: Batch) -> Batch:
        return batches


class _Examples(CaptionedExamples):
    """The tokens of a caption, [S] with a mask [S], and its picture [H, W, 3]."""

    def __getitem__(self, place: int) -> dict[str, Any]:
        said, length = self.caption(place), self.spec.given[0][1].length
        if len(said) > length:  # of captions that came after the run was begun
            what = f"its caption is {len(said)} tokens, more than the {length} of all others"
            raise BadExample(self.listed.names[place], what)
        own = np.arange(length) < len(said)
        prompt = {"value": np.pad(said, (0, length - len(said))), "mask": own}
        return {"given": {"prompt": prompt}, "made": {"value": self.picture(place)}}
