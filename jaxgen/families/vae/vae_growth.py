"""A surgery of a VAE: encoder, decoder and prior are given a class, or a prompt, and begin by overlooking it."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxgen.core.condition_growth import TABLE, has_condition, refuse_condition
from jaxgen.errors import UserError
from jaxgen.families.vae.task import Vae
from jaxgen.nn.conditions import one_of_classes
from jaxgen.types import Key, Params

_AFFINE = "affine/"  # the prior's last map


@dataclass(frozen=True)
class NewCondition:
    """A start that is given nothing is given a class, a prompt, or both; posterior, prior and likelihood stay the same.

    What layers add of the condition is zero at first, the prior's last shift and stretch are the same for each class.
    Of a prompt the text encoders come from init, and learn from the second step on.
    """

    def fit(self, params: Params, task: Any, first: Params, key: Key) -> Params:
        if not isinstance(task, Vae):
            raise UserError("start.surgery: this NewCondition is for a Vae; take that of the task's own family")
        ones = one_of_classes(task.spec)
        leaves, fresh, grown = flatten_dict(params, sep="/"), flatten_dict(first, sep="/"), {}
        for path, leaf in fresh.items():
            if path.endswith(_AFFINE + TABLE) and (bias := path.removesuffix(TABLE) + "bias") in leaves:
                grown[path] = _of_each_class(ones, leaves.pop(bias))
            elif path.endswith(TABLE) or "/text_vector/" in path:
                grown[path] = jnp.zeros_like(leaf)
            elif "/text/" in path:
                grown[path] = leaf
            elif path in leaves and ones is not None and _behind(leaves[path], leaf, len(ones)):
                more = jnp.zeros((len(ones), leaf.shape[1]), leaf.dtype)
                grown[path] = jnp.concatenate([leaves[path], more])
        refuse_condition(task.spec.given, has_condition(params) or not grown)
        return unflatten_dict(leaves | grown, sep="/")


def _of_each_class(ones: jax.Array | None, bias: jax.Array) -> jax.Array:
    """[D, 2 Z]: a table whose every row is what the bias [2 Z] was."""
    if ones is None:
        raise UserError(
            "start.surgery: NewCondition gives a prompt alone to a VAE whose learned prior does not see it, and its "
            "last shift and stretch would be lost; give a class beside it, or start from a run with task.prior=none"
        )
    return ones[:, None] * jnp.asarray(bias)


def _behind(kernel: jax.Array, wider: jax.Array, more: int) -> bool:
    """Whether a kernel [N, F] is to read the condition's `more` numbers behind its own (dense.py)."""
    return wider.ndim == 2 and wider.shape == (len(kernel) + more, *kernel.shape[1:])
