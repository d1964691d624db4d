"""A voice stretched: there and back the same frequencies, and a tone is heard where the stretched tone would be."""
# SPDX-License-Identifier: Apache-2.0

import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from jaxgen.nn.sound import LogMel
from jaxgen.ops.vocal_tract import stretched

TOP = 4000.0


@given(st.floats(0.7, 1.4), st.lists(st.floats(1, TOP, width=32), min_size=12, max_size=12))
def test_stretched_by_a_factor_and_by_its_inverse_all_frequencies_are_back(factor, frequencies):
    hertz = jnp.sort(jnp.asarray(frequencies, jnp.float32))
    (there,) = stretched(hertz, jnp.asarray([factor], jnp.float32), TOP)
    (back,) = stretched(there, jnp.asarray([1 / factor], jnp.float32), TOP)
    np.testing.assert_allclose(back, hertz, atol=0.02)
    assert (np.diff(there) >= -1e-3).all() and there[0] >= 0 and there[-1] <= TOP + 1e-2
    low = np.asarray(hertz) < 0.8 * TOP * min(1, 1 / factor)
    np.testing.assert_allclose(there[low], hertz[low] * factor, rtol=1e-5)  # the first line of the paper's map


def test_a_tone_is_heard_where_the_stretched_tone_is():
    log_mel = LogMel(rate=8000, mels=40)
    time = np.arange(4000) / 8000
    factors = np.array([0.85, 1.0, 1.1, 1.2], np.float32)
    tone = np.sin(2 * np.pi * 1200 * time).astype(np.float32)
    others = np.sin(2 * np.pi * (1200 / factors)[:, None] * time).astype(np.float32)
    length = jnp.full(4, 4000)
    heard = log_mel(jnp.asarray(np.tile(tone, (4, 1))), length)
    moved = log_mel.of_other_voices(heard, jnp.asarray(factors)).features
    wanted = log_mel(jnp.asarray(others), length).features
    assert np.array_equal(moved[1], heard.features[1])
    assert (np.abs(moved.argmax(axis=-1) - wanted.argmax(axis=-1)) <= 1).all()
    peak, real = moved.max(axis=-1), wanted.max(axis=-1)
    assert (np.abs(peak - real) < 1.0).all()  # nats
