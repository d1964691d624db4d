"""A token is drawn without copies of what is kept of the tokens before it."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.families.transformer.network import Transformer
from jaxgen.nn.key_value_cache import block_cache, with_block_cache

B, L, H, ROOM, D = 3, 4, 2, 6, 5


@pytest.mark.parametrize("scan", [False, True])
def test_a_step_copies_no_cache_or_one_blocks_where_blocks_are_a_loop(scan):
    network = Transformer(width=32, blocks=4, heads=2, hidden=32, scan=scan).sized(5, 0, 256)
    token, carry = jnp.zeros(8, jnp.int32), network.carry(8, 256)
    params = network.init(jax.random.key(0), token[:, None], None, None)

    def step(carry, token):
        return network.apply(params, token, carry, None, method="step")

    compiled = jax.jit(step, donate_argnums=0).lower(carry, token).compile()
    kept = sum(leaf.nbytes for leaf in jax.tree.leaves(carry["blocks"]))
    copied = compiled.memory_analysis().temp_size_in_bytes
    assert copied < (0.35 if scan else 0.1) * kept


def test_a_blocks_new_places_alone_are_written():
    draw = np.random.default_rng(0).standard_normal
    caches = {name: jnp.asarray(draw((B, L, H, ROOM, D)), jnp.float32) for name in ("key", "value")}
    cache = {name: jnp.asarray(draw((B, H, ROOM, D)), jnp.float32) for name in ("key", "value")}
    position, number, count = jnp.array([0, 3, 4]), jnp.int32(2), 2
    after = with_block_cache(caches, number, cache, position, count)
    for name, leaf in after.items():
        wanted = np.array(caches[name])
        for row, start in enumerate([0, 3, 4]):
            wanted[row, 2, :, start : start + count] = cache[name][row, :, start : start + count]
        assert np.array_equal(leaf, wanted)
        assert np.array_equal(block_cache(after, number)[name], wanted[:, 2])
