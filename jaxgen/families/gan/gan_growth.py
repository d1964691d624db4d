"""A surgery of a GAN: both players are given a class, or a prompt, and begin by computing what they did without."""
# SPDX-License-Identifier: Apache-2.0

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxgen.core.condition_growth import TABLE, has_condition, refuse_condition
from jaxgen.errors import UserError
from jaxgen.families.gan.task import Gan
from jaxgen.nn.conditions import one_of_classes
from jaxgen.types import Key, Params

_LATENT, _FEATURES, _OUTPUT = "from_latent/kernel", "to_features/kernel", "to_output/kernel"


@dataclass(frozen=True)
class NewCondition:
    """A start that is given nothing is given a class, a prompt, or both; every output stays the same.

    The generator's first layer reads the embedding by rows that are zero, so that the embedding itself learns from the
    second step on. In the discriminator the output was x w, and becomes the product of features and embedding,

        x (w 1ᵀ / √F) e / √F = x w mean(e)        x [D], w [D, 1], 1 and e [F]                                       (1)

    whose embeddings e come from init, shifted so that the mean of each is 1: of a class's row, or where no class is
    given of what the text encoder makes.
    """

    def fit(self, params: Params, task: Any, first: Params, key: Key) -> Params:
        if not isinstance(task, Gan):
            raise UserError("start.surgery: this NewCondition is for a Gan; take that of the task's own family")
        refuse_condition(task.spec.given, has_condition(params))
        ones = one_of_classes(task.spec)
        leaves, fresh = flatten_dict(params, sep="/"), flatten_dict(first, sep="/")
        for path, leaf in fresh.items():
            if path.endswith(_LATENT) and path in leaves:
                leaves[path] = _with_zero_rows(leaves[path], leaf)
            elif path.endswith(TABLE) or "/text/" in path or "/text_vector/" in path:
                leaves[path] = leaf
        for path in [path for path in fresh if path.endswith(_FEATURES)]:
            place, features = path.removesuffix(_FEATURES), fresh[path].shape[1]
            if (output := leaves.pop(place + _OUTPUT, None)) is not None:
                leaves[path] = jnp.tile(jnp.asarray(output) / jnp.sqrt(jnp.float32(features)), (1, features))
                leaves |= _of_mean_one(place, leaves, ones)
        return unflatten_dict(leaves, sep="/")


def _with_zero_rows(kernel: jax.Array, wider: jax.Array) -> jax.Array:
    """[Z, D] with rows behind, as many as `wider` has."""
    more = len(wider) - len(kernel)
    return jnp.concatenate([kernel, jnp.zeros((more, kernel.shape[1]), kernel.dtype)]) if more > 0 else kernel


def _of_mean_one(place: str, leaves: dict[str, Any], ones: jax.Array | None) -> dict[str, Any]:
    """The layers of a discriminator's embeddings e, so that each has a mean of 1."""
    table, text = place + TABLE, place + "text_vector/kernel"
    kernels = {path: leaves[path] for path in (table, text) if path in leaves}
    centred = {path: kernel - kernel.mean(axis=1, keepdims=True) for path, kernel in kernels.items()}
    if ones is not None:
        centred[table] += ones[:, None]
    if (bias := place + "text_vector/bias") in leaves:
        centred[bias] = jnp.full_like(leaves[bias], ones is None)
    return centred
