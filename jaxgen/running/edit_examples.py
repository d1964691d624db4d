"""The examples that an edit is of, or is learned from: the user's pictures, held-out ones, or those of a word."""
# SPDX-License-Identifier: Apache-2.0

import os
import re
from collections.abc import Sequence

import jax
import numpy as np

from jaxgen.core.data import Data, Finite, Labelled, first_or_spread
from jaxgen.core.task import Hiding
from jaxgen.errors import UserError
from jaxgen.modalities.presentation import Presentation
from jaxgen.modalities.presents import request_for
from jaxgen.running.data_info import DataInfo
from jaxgen.running.trained import Trained
from jaxgen.types import Batch

_HELD_OUT = 200  # that are edited where no picture is named
_SEARCHED = 5_000  # training examples among which a word's are looked for
_NAMED = 12  # classes, or captions, that a sentence tells
_MOST = 1_000  # of them that a direction is learned from, with and without


def pictures_of(trained: Trained, pictures: Sequence[str], given: Sequence[str]) -> Batch:
    """The request for pictures that the user names, or for the first held-out examples of the run's data."""
    if pictures:
        return _named(trained, pictures, given)
    return _request(first_or_spread(_finite(trained.assembly.data), "test", _HELD_OUT))


def samples_or_pictures(trained: Trained, pictures: Sequence[str], given: Sequence[str], count: int | None) -> Batch:
    """The request for pictures that the user names, else for `count` samples."""
    if pictures:
        return _named(trained, pictures, given)
    return trained.assembly.presentation.request(given, count if given else count or 4)


def _named(trained: Trained, pictures: Sequence[str], given: Sequence[str]) -> Batch:
    """The request for pictures, under what is given for all of them or for each."""
    assembly = trained.assembly
    request = assembly.presentation.request([], None, pictures)
    if not given:
        if assembly.spec.given and not (isinstance(assembly.task, Hiding) and assembly.task.condition_dropout):
            names = " and ".join(name for name, _ in assembly.spec.given)
            raise UserError(f"this run sees pictures under their {names}; give it with --given, for all or for each")
        return request
    asked = assembly.presentation.request(given, None)
    kinds, count = len(asked["row"]), len(pictures)
    if kinds not in (1, count):
        raise UserError(f"there are {count} pictures and {kinds} given; give one for all, or one for each")
    rows = np.zeros(count, int) if kinds == 1 else np.arange(count)
    return request | {"given": jax.tree.map(lambda array: array[rows], asked["given"])}


def attribute_of(
    trained: Trained, having: Sequence[str], lacking: Sequence[str], given: Sequence[str]
) -> tuple[Batch, Batch]:
    """Two sets of examples: the pictures named, or the training examples whose class or caption has a word of these.

    Without `lacking`: those that have none of the words.
    """
    if not having:
        raise UserError("an attribute is learned from examples; name classes, words of captions or pictures by --with")
    files = [os.path.isfile(word) for word in (*having, *lacking)]
    if all(files):
        if not lacking:
            raise UserError("--with names pictures; name others that lack the attribute by --without")
        return tuple(_named(trained, words, given) for words in (having, lacking))
    if any(files):
        raise UserError("--with and --without name pictures and words; give one kind")
    return _by_words(trained, having, lacking)


def _by_words(trained: Trained, having: Sequence[str], lacking: Sequence[str]) -> tuple[Batch, Batch]:
    data = _finite(trained.assembly.data)
    told = data.labelled() if isinstance(data, Labelled) else data
    info = DataInfo.of(told)
    examples, labelled = (one.first("train", _SEARCHED) for one in (data, told))
    captions = Presentation.of(told.spec(), info.meanings(told)).captions(labelled)
    has = np.array([named_by(caption, having) for caption in captions])
    lacks = np.array([named_by(caption, lacking) for caption in captions]) if lacking else ~has
    for option, words, found in (("--with", having, has), ("--without", lacking, lacks)):
        if not found.any():
            known = sorted(set(captions))
            more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
            told = ", ".join(known[:_NAMED])
            raise UserError(f"{option} {' '.join(words)}: no training example is called so; they are {told}{more}")
    return tuple(_request(examples, np.flatnonzero(found)[:_MOST]) for found in (has, lacks))


def named_by(caption: str, words: Sequence[str]) -> bool:
    """Whether a class is one of the words, or a caption has one of them in it, whole: no "dark" is in "medium-dark"."""
    said = caption.casefold()
    return any(
        word == caption
        or (" " in caption and re.search(rf"(?<![\w-]){re.escape(word.casefold())}(?![\w-])", said) is not None)
        for word in words
    )


def _finite(data: Data) -> Finite:
    if not isinstance(data, Finite):
        raise UserError("this run's data have no set of examples to look at; name pictures")
    return data


def _request(examples: Batch, rows: np.ndarray | None = None) -> Batch:
    """The request for all of the examples, or for those at `rows`, with their pictures."""
    own = {part: examples[part] for part in ("given", "made")}
    own = own if rows is None else jax.tree.map(lambda array: np.asarray(array)[rows], own)
    return {**request_for(own), "made": own["made"]}
