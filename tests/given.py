"""Labelled pictures in few words: their specs, and the batches, requests and conditions of some classes."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.nn.conditions import Condition
from jaxgen.types import Image, Label, Spec


def pictures(image: tuple[int, int, int], levels: int, classes: int = 0) -> Spec:
    """Pictures [H, W, C] given one of `classes` classes; 0: given nothing."""
    return Spec(Image(*image, levels), (("class", Label(classes)),) if classes else ())


def asked(label: Any, row: Any = None) -> dict[str, Any]:
    """The request for one picture of each of `label` [B]; the rows are numbered from 0 where none are told."""
    label = jnp.asarray(label)
    return {"row": jnp.arange(len(label)) if row is None else row, "given": {"class": {"value": label}}}


def seen(label: Any, classes: int) -> Condition:
    """What a network sees of `label` [B]; `classes` itself stands for "of any class"."""
    return Condition(jax.nn.one_hot(jnp.asarray(label), classes + 1))


def cut(batch: dict[str, Any], part: Any) -> dict[str, Any]:
    """The rows `part` of a batch."""
    return jax.tree.map(lambda array: array[part], batch)


def labels_of(batch: dict[str, Any]) -> np.ndarray:
    return batch["given"]["class"]["value"]


def values_of(example: dict[str, Any]) -> jax.Array:
    return example["made"]["value"]
