"""Prompts: what samples are made for while a model is tuned, drawn from the examples of the data."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxgen.ops.permutation import epoch_positions
from jaxgen.types import Batch, Key, Spec

_ORDER = 2**31  # folded into the source's key: above all numbers of batches, below what a rollback folds in


@struct.dataclass
class Prompts:
    """Examples [N, ...]: their "given" is the prompt, their "made" the reference that a reward may look at.

    `each` rows side by side share a prompt; 0: as many as the tuning draws for one.
    """

    given: Mapping[str, Any]
    made: Mapping[str, Any]
    each: int = struct.field(pytree_node=False, default=0)

    @classmethod
    def of(cls, spec: Spec, examples: Batch, each: int = 0) -> "Prompts":
        """Those of `examples` [N, ...], of which the arrays that `spec` names are kept."""
        given = {name: _named(examples["given"][name], modality.arrays()) for name, modality in spec.given}
        return cls(given, _named(examples["made"], spec.made.arrays()), each)

    @classmethod
    def empty(cls, spec: Spec) -> "Prompts":
        """One prompt of zeros: where shapes alone are asked for, no data are read."""
        return cls.of(spec, jax.tree.map(lambda shape: np.zeros(shape.shape, shape.dtype), spec.batch(1)))

    def drawn(self, key: Key, number: jax.Array, rows: jax.Array, batch_size: int, group: int) -> Batch:
        """{"given", "reference"} of batch `number` at the rows `rows`: an epoch is every example once, in an own order.

        Rows 0 to each-1 share the first prompt, the next ones the second; `group` is `each` where that is not set.
        """
        each = self.each or group
        size = len(jax.tree.leaves(self.made)[0])
        place = epoch_positions(jax.random.fold_in(key, _ORDER), number, rows // each, batch_size // each, size)
        given, reference = jax.tree.map(lambda array: jnp.asarray(array)[place], (dict(self.given), dict(self.made)))
        return {"given": given, "reference": reference}


def _named(arrays: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    return {name: arrays[name] for name in names}
