"""Surgeries of a recurrent network: wider and deeper ones that begin by computing what the start did."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.core.growth import HasNetwork, copied_units, deepened, part_of, parts_of, refuse_narrower
from jaxgen.errors import UserError
from jaxgen.families.rnn.network import RecurrentNetwork
from jaxgen.ops.linear_recurrence import rg_lru_decay
from jaxgen.types import Key, Params

_LAYER = "layer"  # layer_0, layer_1 ...
_CANDIDATE = 2  # its place among the gates of an LSTM, a GRU and an RG-LRU
_A_UNITS = ("inner_bias", "decay")  # one number a unit


@dataclass(frozen=True)
class Widen:
    """`width` units in every layer, copies of the old ones; set task.network.width to it.

    The logits stay the same but for rounding: a unit's copies have its gates and its state, and whatever reads them
    (their own recurrent matrix, the next layer, the head) gives each a share.
    """

    width: int

    def __call__(self, params: Params, key: Key) -> Params:
        names = parts_of(params, _LAYER)
        old = _width(params[names[0]])
        refuse_narrower("width", old, self.width)
        unit, share = copied_units(key, old, self.width)  # one choice for all layers: a residual network adds them up

        def read(kernel: jax.Array) -> jax.Array:
            """What reads units in its first rows."""
            return jnp.concatenate([kernel[:old][unit] * share[:, None], kernel[old:]])

        wider = {}
        for name in names:
            layer = params[name]
            incoming = {"kernel": layer["kernel"] if name == names[0] else read(layer["kernel"]), "bias": layer["bias"]}
            if "recurrent" in layer:
                incoming["recurrent"] = read(layer["recurrent"])
            wider[name] = {part: _each_gate(leaf, old, unit) for part, leaf in incoming.items()}
            wider[name] |= {part: layer[part][unit] for part in _A_UNITS if part in layer}
        last = "hidden" if "hidden" in params else "head"
        return params | wider | {last: params[last] | {"kernel": read(part_of(params, last)["kernel"])}}


@dataclass(frozen=True)
class Deepen:
    """So many more `layers` on top, fresh but for their candidates, which are zero: each gives zeros yet.

    The logits stay the same where every layer but the first adds what it read (task.network.residual=true), and that
    is required: no other gated layer gives on just what it reads, for its output is a product of squashed values. A
    start must have been trained so too, or have a single layer, for which it makes no difference. Set
    task.network.layers to the number of all.
    """

    layers: int = 1

    def check(self, task: Any, before: Mapping[str, Any]) -> None:
        if isinstance(task, HasNetwork) and isinstance(task.network, RecurrentNetwork) and not task.network.residual:
            raise UserError(
                "start.surgery: Deepen adds layers that give zeros at first, and without task.network.residual=true "
                "nothing would pass them; set it, for a start of one layer or one that was trained with it"
            )

    def __call__(self, params: Params, key: Key) -> Params:
        return deepened(params, _LAYER, self.layers, _idle, key)


def _each_gate(leaf: jax.Array, width: int, unit: jax.Array) -> jax.Array:
    """[..., gates * width] with the units of every gate chosen."""
    gates = leaf.reshape(*leaf.shape[:-1], -1, width)
    return gates[..., unit].reshape(*leaf.shape[:-1], -1)


def _width(layer: Params) -> int:
    """Of a layer: an RG-LRU has a decay for each unit, a minGRU two gates and nothing more."""
    if "recurrent" in layer:
        return layer["recurrent"].shape[0]
    return len(layer["decay"]) if "decay" in layer else len(layer["bias"]) // 2


def _idle(like: Params, key: Key) -> Params:
    """A fresh layer over `width` features, whose candidates are zero."""
    if "recurrent" not in like and "decay" not in like:
        raise UserError(
            "start.surgery: Deepen cannot add layers of task.network.cell=MIN_GRU, whose candidates are positive, so "
            "that none gives zeros at first; start with all layers, or take another cell"
        )
    width = _width(like)
    gates = len(like["bias"]) // width
    matrix, orthogonal = jax.nn.initializers.lecun_normal(), jax.nn.initializers.orthogonal()
    keys = jax.random.split(key, gates + 1)
    matrices = {"kernel": matrix(keys[0], (width, gates * width), jnp.float32).reshape(width, gates, width)}
    if "recurrent" in like:
        each = [orthogonal(one, (width, width), jnp.float32) for one in keys[1:]]
        matrices["recurrent"] = jnp.stack(each, axis=1)
    idle = {name: leaf.at[:, _CANDIDATE].set(0.0).reshape(width, -1) for name, leaf in matrices.items()}
    bias = jnp.zeros((gates, width), jnp.float32)
    idle["bias"] = (bias.at[1].set(1.0) if gates == 4 else bias).reshape(-1)  # an LSTM's forget gate, as in a fresh one
    if "inner_bias" in like:
        idle["inner_bias"] = jnp.zeros(width, jnp.float32)
    return idle | ({"decay": rg_lru_decay(keys[-1], width)} if "decay" in like else {})
