"""Surgeries that no family owns: a larger vocabulary, a new head; and how a layer is widened by copies of its units."""
# SPDX-License-Identifier: Apache-2.0

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.core.masks import Matching
from jaxgen.core.surgery import numbered
from jaxgen.errors import UserError, nearest
from jaxgen.types import Key, Params

_TABLE = re.compile(r"token(_\d+)?")  # the tables that tokens are looked up in, with one more row for "start"


def copied_units(key: Key, old: int, new: int) -> tuple[jax.Array, jax.Array]:
    """(unit [new], share [new]) of a layer widened from `old` units (Net2WiderNet, eq. 3 and 5, arXiv 1511.05641).

    Unit j copies what comes into `unit[j]`, and `share[j]` of what goes out of it: the shares of one unit's copies sum
    to one, so that nothing changes. They are drawn, not equal as in the paper: equal copies would be given the same
    gradient for ever.
    """
    choosing, sharing = jax.random.split(key)
    unit = jnp.concatenate(
        [jnp.arange(old, dtype=jnp.int32), jax.random.randint(choosing, (new - old,), 0, old, jnp.int32)]
    )
    weight = jax.random.uniform(sharing, (new,), jnp.float32, minval=0.5, maxval=1.5)
    return unit, weight / jnp.zeros(old, jnp.float32).at[unit].add(weight)[unit]


def refuse_narrower(field: str, old: int, new: int) -> None:
    """UserError where a surgery would make less of what there is."""
    if new < old:
        raise UserError(f"start.surgery: {field} is {new}, and the start has {old}; give at least as many")


@runtime_checkable
class HasNetwork(Protocol):
    """A task with a network of its own."""

    network: Any


def part_of(params: Params, name: str) -> Params:
    """The part of the parameters of that name; UserError where there is none."""
    if not isinstance(params, dict) or name not in params:
        known = list(params) if isinstance(params, dict) else []
        raise UserError(
            f"start.surgery: the start has no {name!r}{nearest(name, known)}; leave the surgery out, or start from a "
            "run of the network that it is made for"
        )
    return params[name]


def parts_of(params: Params, prefix: str) -> list[str]:
    """The names of the parts `prefix`_0, `prefix`_1 ... in their order; UserError where there is none."""
    part_of(params, f"{prefix}_0")
    return numbered(params, prefix)


def deepened(params: Params, prefix: str, more: int, idle: Callable[[Params, Key], Params], key: Key) -> Params:
    """So many `more` parts behind `prefix`_0 ..., each made by `idle` of the last one's shapes."""
    names = parts_of(params, prefix)
    added = {
        f"{prefix}_{len(names) + number}": idle(params[names[-1]], jax.random.fold_in(key, number))
        for number in range(more)
    }
    return params | added


@dataclass(frozen=True)
class NewHead:
    """The leaves that match `pattern` come from the new task's init, whatever shape they had: a head for a new task."""

    pattern: str = "^head/"

    def __call__(self, params: Params, key: Key) -> Params:
        matching = Matching(self.pattern)
        matching(params)  # it must match something

        def kept(tree: Params, place: str) -> Params:
            inner = {name: kept(part, f"{place}{name}/") for name, part in tree.items() if isinstance(part, dict)}
            leaves = {name: leaf for name, leaf in tree.items() if not isinstance(leaf, dict)}
            leaves = {name: leaf for name, leaf in leaves.items() if not matching.matches(f"{place}{name}")}
            return {name: part for name, part in inner.items() if part} | leaves

        return kept(params, "")


@dataclass(frozen=True)
class GrowVocabulary:
    """More tokens for a network whose tables are `token`, `token_1` ... [V+1, D] and whose last layer is `head` [D, V].

    On data with a vocabulary of characters or words it is left as it is: the run then knows the start's tokens and
    those that only its own text has. Elsewhere `tokens` says how many are new, and `places` where each old one stands
    among all of them (none named: where they stood, the new ones behind). The row of "start" stays the last, and with
    `end` the last token, "end", stays the last token.

    The logits of old tokens do not change. A new one has the mean of their rows and columns: its logit is the mean of
    theirs, so that n new tokens together are at first no more likely than n of the V old ones are on average.
    """

    tokens: int = 0
    places: tuple[int, ...] = ()
    end: bool = False

    def __post_init__(self):
        if self.tokens < 0:
            raise UserError(f"start.surgery: tokens is {self.tokens}; give how many are new")

    def __call__(self, params: Params, key: Key) -> Params:
        head = part_of(params, "head")
        old = head["kernel"].shape[1]
        places, new = self._places(old), old + self.tokens
        grown = {
            name: {"embedding": self._rows(table["embedding"], places, new)}
            for name, table in params.items()
            if _TABLE.fullmatch(name)
        }
        return params | grown | {"head": {name: self._columns(leaf, places, new) for name, leaf in head.items()}}

    def _places(self, old: int) -> np.ndarray:
        """[V] where each old token stands."""
        own, new = old - self.end, old + self.tokens
        places = np.array(self.places or range(own))
        if not len(places) == len(set(places.tolist())) == own or places.min() < 0 or places.max() >= new - self.end:
            raise UserError(
                f"start.surgery: places must name another place below {new - self.end} for each of the {own} old tokens"
            )
        return np.append(places, new - 1) if self.end else places

    def _rows(self, table: jax.Array, places: np.ndarray, new: int) -> jax.Array:
        """[V+1, D] as [new+1, D]."""
        table = jnp.asarray(table)
        grown = jnp.tile(table[:-1].mean(axis=0), (new + 1, 1))
        return grown.at[places].set(table[:-1]).at[new].set(table[-1])

    def _columns(self, leaf: jax.Array, places: np.ndarray, new: int) -> jax.Array:
        """[..., V] as [..., new]."""
        leaf = jnp.asarray(leaf)
        grown = jnp.repeat(leaf.mean(axis=-1, keepdims=True), new, axis=-1)
        return grown.at[..., places].set(leaf)
