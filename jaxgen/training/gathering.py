"""Parameters that lie in parts over a mesh and are gathered where a module reads them, in a loop block by block."""
# SPDX-License-Identifier: Apache-2.0

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import struct
from jax.sharding import NamedSharding, PartitionSpec

from jaxgen.types import Params


class GatheredOnRead(struct.PyTreeNode, nn.meta.AxisMetadata[jax.Array]):
    """A parameter in Flax's box, which `Module.param` opens: there its parts over `fsdp` are brought together.

    Within a scanned and rematerialised block that is one block's parameter, once more in the backward pass, and its
    gradient is cut at once (fully sharded data parallelism, arXiv 2304.11277, section 3). A leaf's slice of a stack,
    which `nn.scan` takes, lies as the leaf without its first dimension.
    """

    value: Any
    lies: NamedSharding = struct.field(pytree_node=False)

    def unbox(self) -> jax.Array:
        return _gathered(self.lies, self.value)

    def replace_boxed(self, val: Any) -> "GatheredOnRead":
        return self.replace(value=val)

    def add_axis(self, index: int, params: dict[Any, Any]) -> "GatheredOnRead":
        return self._with_spec((*self.lies.spec[:index], None, *self.lies.spec[index:]))

    def remove_axis(self, index: int, params: dict[Any, Any]) -> "GatheredOnRead":
        return self._with_spec((*self.lies.spec[:index], *self.lies.spec[index + 1 :]))

    def _with_spec(self, axes: tuple[str | None, ...]) -> "GatheredOnRead":
        return self.replace(lies=NamedSharding(self.lies.mesh, PartitionSpec(*axes)))


def gathered_on_read(params: Params, shardings: Params) -> Params:
    """The parameters, each cut over fsdp in a box; `shardings` has how each lies, an entry for every dimension."""
    return jax.tree.map(
        lambda leaf, lies: GatheredOnRead(leaf, lies) if "fsdp" in lies.spec else leaf, params, shardings
    )


def as_they_lie(params: Params) -> Params:
    """Undo `gathered_on_read`, and gather nothing."""
    return jax.tree.map(
        lambda leaf: leaf.value if nn.meta.is_axis_metadata(leaf) else leaf, params, is_leaf=nn.meta.is_axis_metadata
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _gathered(lies: NamedSharding, leaf: jax.Array) -> jax.Array:
    """The leaf cut over `tensor` alone. Its gradient lies as the leaf does: XLA sums it over fsdp in parts.

    The parts are gathered along a first axis of their own. Along any other XLA would have the leaf itself in another
    order in memory, and copy a whole stack of blocks into that order before its loop.
    """
    place, parts = lies.spec.index("fsdp"), lies.mesh.shape["fsdp"]
    shape, others = leaf.shape, [axis for axis in lies.spec if axis != "fsdp"]
    leaf = jax.lax.with_sharding_constraint(leaf, lies)
    leaf = leaf.reshape(*shape[:place], parts, shape[place] // parts, *shape[place + 1 :])
    leaf = jnp.moveaxis(leaf, place, 0)
    leaf = jax.lax.with_sharding_constraint(leaf, _on(lies, "fsdp", *others[:place], None, *others[place:]))
    leaf = jax.lax.with_sharding_constraint(leaf, _on(lies, None, *others[:place], None, *others[place:]))
    return jnp.moveaxis(leaf, 0, place).reshape(shape)


def _on(lies: NamedSharding, *axes: str | None) -> NamedSharding:
    return NamedSharding(lies.mesh, PartitionSpec(*axes))


def _forward(lies: NamedSharding, leaf: jax.Array) -> tuple[jax.Array, None]:
    return _gathered(lies, leaf), None


def _backward(lies: NamedSharding, _: None, cotangent: jax.Array) -> tuple[jax.Array]:
    return (jax.lax.with_sharding_constraint(cotangent, lies),)


_gathered.defvjp(_forward, _backward)
