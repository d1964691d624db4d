"""The host's order is the program's: two implementations, the same permutation."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgen.data.order import EpochOrder
from jaxgen.ops.permutation import epoch_positions

inside = jax.jit(epoch_positions, static_argnums=(3, 4))


@settings(max_examples=20)
@given(
    st.integers(0, 2**31 - 1),
    st.sampled_from([0, 1, 7, 1000, 2**22, 2**27]),
    st.sampled_from([(1, 1), (16, 5), (64, 1437), (32, 60_000)]),
)
def test_it_is_the_programs_own(seed, number, sizes):
    batch_size, size = sizes
    rows, key = np.arange(batch_size), jax.random.key(seed)
    host = EpochOrder.of(key, batch_size, size).positions(number, rows)
    assert host.tolist() == inside(key, jnp.uint32(number), rows, batch_size, size).tolist()
    some = rows[batch_size // 2 :]
    assert EpochOrder.of(key, batch_size, size).positions(number, some).tolist() == host[batch_size // 2 :].tolist()
