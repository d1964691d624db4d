"""A data set of one's own: bars that lie across or stand upright, drawn by numpy, learned by the digits' LSTM.

    jaxgen train --config docs/examples/own_data.py --workdir runs/own_data
    jaxgen sample --workdir runs/own_data --config docs/examples/own_data.py --given upright --out bars.png
"""
# SPDX-License-Identifier: Apache-2.0

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jaxgen.config.reading import load_experiment
from jaxgen.data.sources import ResidentExamples, padded_batches
from jaxgen.errors import UserError
from jaxgen.experiment import Every, Experiment
from jaxgen.types import Batch, Image, Label, Spec

_SPLITS = {"train": (0, 1000), "test": (1, 200)}  # the seed and the number of examples


@dataclass(frozen=True)
class Bars:
    """Pictures of 8x8 pixels and 4 levels of grey, given the class of their bar."""

    batch_size: int = 64
    name = "bars"

    def spec(self) -> Spec:
        return Spec(made=Image(8, 8, 1, levels=4), given=(("class", Label(2)),))

    def class_names(self) -> Mapping[str, tuple[str, ...]]:
        return {"class": ("across", "upright")}

    def first(self, split: str, count: int) -> Batch:
        """The first examples of a split: with it, samples are measured against held-out ones."""
        if split not in _SPLITS:
            raise UserError(f"bars have the splits {', '.join(_SPLITS)}, and no {split}")
        seed, size = _SPLITS[split]
        random, classes = np.random.default_rng(seed), np.arange(size, dtype=np.int32) % 2
        pictures = np.zeros((size, 8, 8, 1), np.uint8)
        for picture, upright in zip(pictures, classes, strict=True):
            picture[random.integers(8)] = random.integers(1, 4)
            picture[:] = np.swapaxes(picture, 0, 1) if upright else picture
        return {"given": {"class": {"value": classes[:count]}}, "made": {"value": pictures[:count]}}

    def source(self) -> ResidentExamples:
        return ResidentExamples(self.first("train", 1000), self.spec(), self.batch_size)

    def evaluation(self, split: str) -> Batch:
        return padded_batches(self.first(split, 1000), self.batch_size)


def experiment() -> Experiment:
    every = Every(log=50, evaluate=200, sample=200, checkpoint=200)
    return dataclasses.replace(load_experiment("rnn/digits", Experiment), data=Bars(), steps=200, every=every)
