"""Truths of the U-Net: what its sizes mean, what a pixel depends on, what its norms do."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import lively

from jaxgen.errors import UserError
from jaxgen.families.diffusion.unet import Norm, UNet
from jaxgen.types import Extra, Variables

LOCAL = UNet(width=4, widths=(1, 2), blocks=1, norm=Norm.PIXEL)
# of blocks on the finer grid and on the coarser one, two 3x3 convolutions each, and the first and last convolution
REACH = (2 + 4 * 2) * 1 + 6 * 2 * 2 + 4


def _pictures(*shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(1), shape)


def _applied(net: UNet, x: jax.Array, params=None):
    σ = jnp.full(len(x), 0.1)
    if params is None:
        params = lively(Variables(jax.jit(net.init)(jax.random.key(0), x[:1, :8, :8], σ[:1], None), Extra())).params
    return jax.jit(net.apply)(params, x, σ, None), params


def test_a_local_net_sees_the_same_in_a_part_as_in_the_whole():
    x = _pictures(1, 88, 88, 1)
    whole, params = _applied(LOCAL, x)
    assert LOCAL.multiple == 2
    part, _ = _applied(LOCAL, x[:, 4:84, 4:84], params)
    inside = slice(REACH, -REACH)
    assert np.abs(part[:, inside, inside]).max() > 0.01
    np.testing.assert_allclose(whole[:, 4:84, 4:84][:, inside, inside], part[:, inside, inside], atol=2e-5)


def test_norms_over_groups_depend_on_the_whole_picture():
    net, x = LOCAL.clone(norm=Norm.GROUP), _pictures(1, 88, 88, 1)
    whole, params = _applied(net, x)
    changed, _ = _applied(net, x.at[:, :4, :4].set(30.0), params)
    assert net.multiple is None
    assert np.abs(whole - changed)[:, REACH + 4 :, REACH + 4 :].max() > 1e-4


def test_it_predicts_nothing_before_it_is_trained():
    net, x = UNet(width=4, widths=(1, 1), attention=(1,)), _pictures(2, 8, 4, 3)
    out, _ = jax.jit(net.init_with_output)(jax.random.key(0), x, jnp.ones(2), None)
    assert out.shape == (2, 8, 4, 3, 1)
    assert not out.any()


def test_features_are_dropped_row_by_row():
    net, x = LOCAL.clone(dropout=0.5), _pictures(3, 8, 8, 1)
    _, params = _applied(net, x)
    keys = jax.random.split(jax.random.key(2), 3)
    drop = jax.jit(net.apply)
    dropped = drop(params, x, jnp.full(3, 0.1), None, keys)
    alone = drop(params, x[1:2], jnp.full(1, 0.1), None, keys[1:2])
    np.testing.assert_allclose(dropped[1:2], alone, atol=1e-5)
    assert not np.allclose(dropped, _applied(net, x, params)[0])


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(UserError, match="multiples of 2, and these are 31x32"):
        LOCAL.check((31, 32, 1))
    with pytest.raises(UserError, match=r"attention is \(2,\); give levels from 0 to 1"):
        LOCAL.clone(attention=(2,))
    with pytest.raises(UserError, match="does not divide the width of level 0"):
        LOCAL.clone(attention=(0,), heads=3).check((32, 32, 1))
