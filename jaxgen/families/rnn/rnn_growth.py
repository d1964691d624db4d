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
from jaxgen.types import Key, Params

_LAYER = "layer"  # layer_0, layer_1 ...
_CANDIDATE = 2  # its place among the gates, of an LSTM and of a GRU


@dataclass(frozen=True)
class Widen:
    """`width` units in every layer, copies of the old ones; set task.network.width to it.

    The logits stay the same but for rounding: a unit's copies have its gates and its state, and whatever reads them
    (their own recurrent matrix, the next layer, the head) gives each a share.
    """

    width: int

    def __call__(self, params: Params, key: Key) -> Params:
        names = parts_of(params, _LAYER)
        old = params[names[0]]["recurrent"].shape[0]
        refuse_narrower("width", old, self.width)
        unit, share = copied_units(key, old, self.width)  # one choice for all layers: a residual network adds them up

        def read(kernel: jax.Array) -> jax.Array:
            """What reads units in its first rows."""
            return jnp.concatenate([kernel[:old][unit] * share[:, None], kernel[old:]])

        wider = {}
        for name in names:
            layer = params[name]
            incoming = {"kernel": layer["kernel"] if name == names[0] else read(layer["kernel"]), "bias": layer["bias"]}
            incoming["recurrent"] = read(layer["recurrent"])
            wider[name] = {part: _each_gate(leaf, old, unit) for part, leaf in incoming.items()}
            if "inner_bias" in layer:
                wider[name]["inner_bias"] = layer["inner_bias"][unit]
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


def _idle(like: Params, key: Key) -> Params:
    """A fresh layer over `width` features, whose candidates are zero."""
    width = like["recurrent"].shape[0]
    gates = like["recurrent"].shape[1] // width
    matrix, orthogonal = jax.nn.initializers.lecun_normal(), jax.nn.initializers.orthogonal()
    keys = jax.random.split(key, gates + 1)
    kernel = matrix(keys[0], (width, gates * width), jnp.float32).reshape(width, gates, width)
    recurrent = jnp.stack([orthogonal(one, (width, width), jnp.float32) for one in keys[1:]], axis=1)
    idle = {
        name: leaf.at[:, _CANDIDATE].set(0.0).reshape(width, -1)
        for name, leaf in {"kernel": kernel, "recurrent": recurrent}.items()
    }
    bias = jnp.zeros((gates, width), jnp.float32)
    idle["bias"] = (bias.at[1].set(1.0) if gates == 4 else bias).reshape(-1)  # an LSTM's forget gate, as in a fresh one
    return idle | ({"inner_bias": jnp.zeros(width, jnp.float32)} if "inner_bias" in like else {})
