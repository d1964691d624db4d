"""Surgeries of a Transformer: wider and deeper networks that begin by computing what the start did."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.core.growth import HasNetwork, copied_units, deepened, parts_of, refuse_narrower
from jaxgen.core.masks import path_of, paths
from jaxgen.core.surgery import BLOCK, numbered
from jaxgen.errors import UserError
from jaxgen.families.transformer.encoder_decoder import TransformerEncoderDecoder
from jaxgen.families.transformer.network import Transformer
from jaxgen.nn.decoder_parts import DecoderParts
from jaxgen.types import LOW_RANK, Key, Params


@dataclass(frozen=True)
class Widen:
    """`hidden` units in each block's MLP, copies of the old ones; and `times` the width, in `times` as many heads.

    The logits stay the same but for rounding. The model's width can only be multiplied: a norm divides by the mean of
    all squares, which stays only if every feature has as many copies as every other, and heads keep their size, for
    what rotary embeddings turn depends on it. Set task.network's `hidden`, or `width` and `heads`, in the same way.
    """

    hidden: int | None = None
    times: int = 1

    def __post_init__(self):
        if self.times < 1:
            raise UserError(f"start.surgery: times is {self.times}; give a whole number from 1 on")

    def check(self, task: Any, before: Mapping[str, Any]) -> None:
        if not (isinstance(task, HasNetwork) and isinstance(task.network, Transformer | TransformerEncoderDecoder)):
            return
        if isinstance(task.network, Transformer) and task.network.parts != DecoderParts():
            raise UserError("start.surgery: Widen knows a decoder's default parts alone; leave task.network.parts out")
        match before:
            case {"fields": {"network": {"fields": {"heads": int(heads)}}}} if task.network.heads != self.times * heads:
                raise UserError(
                    f"start.surgery: Widen(times={self.times}) leaves heads their size, and the start has {heads} of "
                    f"them; set task.network.heads={self.times * heads}, not {task.network.heads}"
                )

    def __call__(self, params: Params, key: Key) -> Params:
        if any(f"{LOW_RANK}/" in path for path in paths(params)):
            raise UserError(
                "start.surgery: Widen cannot widen additions of low rank; put MergeLowRank before Widen"
            )
        hiding, widening = jax.random.split(key)
        if self.hidden is not None:
            for number, name in enumerate(parts_of(params, BLOCK)):
                mlp = self._more_hidden(params[name]["mlp"], jax.random.fold_in(hiding, number))
                params = params | {name: params[name] | {"mlp": mlp}}
        return params if self.times == 1 else _Multiplied(self.times, widening).params(params)

    def _more_hidden(self, mlp: Params, key: Key) -> Params:
        inner, outer = mlp["in"], mlp["out"]
        old = inner["kernel"].shape[1]
        refuse_narrower("hidden", old, self.hidden)
        unit, share = copied_units(key, old, self.hidden)
        wider = {"kernel": inner["kernel"][:, unit], "bias": inner["bias"][unit]}
        return {"in": wider, "out": outer | {"kernel": outer["kernel"][unit] * share[:, None]}}


@dataclass(frozen=True)
class Deepen:
    """So many more `blocks` behind the others, fresh but for their last layers, which are zero: each adds nothing yet.

    The logits stay the same. Set task.network.blocks to the number of all.
    """

    blocks: int = 1

    def __call__(self, params: Params, key: Key) -> Params:
        return deepened(params, BLOCK, self.blocks, _idle, key)


class _Multiplied:
    """Every feature, and every head, `times` over; whatever reads features gives each copy a share, drawn anew."""

    def __init__(self, times: int, key: Key):
        self._times, self._key, self._reads = times, key, 0

    def params(self, params: Params) -> Params:
        blocks = numbered(params, BLOCK)
        return {name: self._block(part) if name in blocks else self._part(name, part) for name, part in params.items()}

    def _part(self, name: str, part: Params) -> Params:
        if name == "head":
            return part | {"kernel": self._read(part["kernel"])}
        if name == "condition":  # a scale and a shift of every feature
            return {"kernel": jnp.concatenate([self._copied(half) for half in jnp.split(part["kernel"], 2, 1)], 1)}
        return jax.tree.map(self._copied, part)  # embeddings [N, D], norms [D]

    def _block(self, block: Params) -> Params:
        attention, mlp = block["attention"], block["mlp"]
        qkv, out = attention["query_key_value"], attention["out"]
        read = {"kernel": self._read(qkv["kernel"]), "bias": qkv["bias"]}
        qkv = {name: jnp.concatenate([self._copied(third) for third in jnp.split(leaf, 3, -1)], -1)
               for name, leaf in read.items()}  # fmt: skip
        inner = mlp["in"] | {"kernel": self._read(mlp["in"]["kernel"])}
        return {
            "attention": {
                "query_key_value": qkv,
                "out": {"kernel": self._copied(self._read(out["kernel"])), "bias": self._copied(out["bias"])},
            },
            "mlp": {"in": inner, "out": jax.tree.map(self._copied, mlp["out"])},
            "attention_norm": jax.tree.map(self._copied, block["attention_norm"]),
            "mlp_norm": jax.tree.map(self._copied, block["mlp_norm"]),
        }

    def _copied(self, leaf: jax.Array) -> jax.Array:
        """What makes features [..., D], as [..., times * D]: all of them once more, behind."""
        return jnp.concatenate([jnp.asarray(leaf)] * self._times, axis=-1)

    def _read(self, kernel: jax.Array) -> jax.Array:
        """What reads features [D, E], as [times * D, E]."""
        self._reads += 1
        key = jax.random.fold_in(self._key, self._reads)
        weight = jax.random.uniform(key, (self._times, kernel.shape[0], 1), jnp.float32, minval=0.5, maxval=1.5)
        return (weight / weight.sum(axis=0) * kernel).reshape(-1, kernel.shape[1])


def _idle(like: Params, key: Key) -> Params:
    """A fresh block of the shapes of another, whose attention and MLP give zeros."""
    fresh = jax.nn.initializers.lecun_normal()

    def first(keys: tuple, leaf: jax.Array) -> jax.Array:
        path = path_of(keys)
        if path.endswith("scale"):
            return jnp.ones(leaf.shape, leaf.dtype)
        if path.endswith("kernel") and "/out/" not in path:
            return fresh(jax.random.fold_in(key, names.index(path)), leaf.shape, leaf.dtype)
        return jnp.zeros(leaf.shape, leaf.dtype)

    names = paths(like)
    return jax.tree_util.tree_map_with_path(first, like)
