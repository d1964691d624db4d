"""LSTM and GRU layers over a sequence, with the input product taken out of the loop and a backward pass by hand.

The input's share of the gates is one product over all T*B rows, made by the caller; the loop holds only the product
with one packed recurrent matrix. Plain autodiff of such a loop carries the matrix's gradient along and adds to it at
every step. The backward loop here emits only the gates' gradients; the matrix's gradient is one product over T*B rows
after it, and so, when the batch lies on several devices, one sum over them.

The products take their operands in the recurrent matrix's dtype and sum in float32; all else is in the inputs' dtype.
"""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

State = tuple[jax.Array, jax.Array]


def lstm(
    inputs: jax.Array,
    recurrent: jax.Array,
    carry: State,
    going: jax.Array | None = None,
    steps: jax.Array | None = None,
) -> tuple[jax.Array, State]:
    """A long short-term memory layer (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    `inputs` [T, B, 4H] is the input product plus the bias, time leading: a caller swaps its own input before the
    product, which is a smaller copy. The gates are in the order in, forget, candidate, out (that of cuDNN and PyTorch);
    `recurrent` [H, 4H]; `carry` (h, c), both [B, H]. Returns the outputs h_1 .. h_T [B, T, H] and the carry after them.
    Where `going` [B, T] is 0 a step starts from zeros, where it is 1 from the one before it.
    Of ragged rows the loop can end with the longest: after `steps` (a number from 0 to T, known when it runs) outputs
    are zeros, and the carry is that of step `steps`. Differentiable in reverse mode alone, and not in `going`.
    """
    outputs, carry = _lstm(inputs, recurrent, carry, _each_step(going), steps)
    return _swap(outputs), carry


def gru(
    inputs: jax.Array,
    recurrent: jax.Array,
    bias: jax.Array,
    carry: jax.Array,
    going: jax.Array | None = None,
    steps: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """A gated recurrent unit layer (arXiv 1406.1078) with the reset gate after the recurrent product, as in cuDNN.

    Resetting after the product, n = tanh(x + r (h W + b)), is what lets one packed matrix serve all three gates.
    `inputs` [T, B, 3H], gates in the order reset, update, candidate; `recurrent` [H, 3H]; `bias` [H] is the candidate's
    inner b; `carry` h [B, H]; `going` [B, T] and `steps` as for `lstm`. Returns the outputs [B, T, H] and the carry
    after them. Reverse mode alone.
    """
    outputs, carry = _gru(inputs, recurrent, bias, carry, _each_step(going), steps)
    return _swap(outputs), carry


def _product(x: jax.Array, matrix: jax.Array) -> jax.Array:
    return jnp.matmul(x.astype(matrix.dtype), matrix, preferred_element_type=jnp.float32)


def _matrix_gradient(before: jax.Array, d_products: jax.Array, matrix: jax.Array) -> jax.Array:
    """[H, G] of the states [T, B, H] that were multiplied and the gradients [T, B, G] of what came out."""
    before, d_products = before.astype(matrix.dtype), d_products.astype(matrix.dtype)
    return jnp.einsum("tbh,tbg->hg", before, d_products, preferred_element_type=jnp.float32).astype(matrix.dtype)


def _transposed(matrix: jax.Array) -> jax.Array:
    """Turned round once, before the loop: XLA would make one operation of it and each step's product, a slower one."""
    return jax.lax.optimization_barrier(matrix.T)


def _swap(array: jax.Array) -> jax.Array:
    return jnp.swapaxes(array, 0, 1)  # [B, T, ...] <-> [T, B, ...]


def _before(first: jax.Array, later: jax.Array) -> jax.Array:
    """[T, B, H]: what each step started from, given what the first started from and what all of them ended with."""
    return jnp.concatenate([first[None], later[:-1]])


def _each_step(going: jax.Array | None) -> jax.Array | None:
    """[T, B, 1] of [B, T]."""
    return None if going is None else _swap(going)[..., None]


def _kept(state: jax.Array, going: jax.Array | None) -> jax.Array:
    return state if going is None else state * going


def _scan(step: Callable, carry: Any, arrays: Any, steps: jax.Array | None, reverse: bool = False) -> tuple[Any, Any]:
    """`jax.lax.scan` over the first `steps` of `arrays` (None: over all); what the others would give is zeros."""
    if steps is None:
        return jax.lax.scan(step, carry, arrays, reverse=reverse)
    length = len(jax.tree.leaves(arrays)[0])
    cut = lambda place: jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, place, keepdims=False), arrays)  # noqa: E731
    _, one = jax.eval_shape(step, carry, jax.eval_shape(cut, 0))

    def body(number, state):
        place = steps - 1 - number if reverse else number
        carry, given = step(state[0], cut(place))
        put = lambda all_of_it, now: jax.lax.dynamic_update_index_in_dim(all_of_it, now, place, axis=0)  # noqa: E731
        return carry, jax.tree.map(put, state[1], given)

    empty = jax.tree.map(lambda leaf: jnp.zeros((length, *leaf.shape), leaf.dtype), one)
    return jax.lax.fori_loop(0, steps, body, (carry, empty))


@jax.custom_vjp
def _lstm(
    inputs: jax.Array, recurrent: jax.Array, carry: State, going: jax.Array | None, steps: jax.Array | None
) -> tuple[jax.Array, State]:
    return _lstm_forward(inputs, recurrent, carry, going, steps)[0]


def _lstm_forward(inputs, recurrent, carry, going, steps):
    def step(state, now):
        x, go = now
        h, c = (_kept(part, go) for part in state)
        i, f, g, o = jnp.split(x + _product(h, recurrent), 4, axis=-1)
        i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
        c = f * c + i * g
        h = o * jnp.tanh(c)
        return (h, c), (h, c, (i, f, g, o))

    last, (outputs, cells, gates) = _scan(step, carry, (inputs, going), steps)
    return (outputs, last), (recurrent, carry, going, steps, outputs, cells, gates)


def _lstm_backward(saved, cotangents):
    recurrent, (h_first, c_first), going, steps, outputs, cells, gates = saved
    d_outputs, d_last = cotangents
    transposed = _transposed(recurrent)

    def step(state, now):
        dh, dc = state
        d_output, c_before, c, (i, f, g, o), go = now
        dh = dh + d_output
        tanh_c = jnp.tanh(c)
        dc = dc + dh * o * (1 - tanh_c**2)
        parts = dc * g * i * (1 - i), dc * c_before * f * (1 - f), dc * i * (1 - g**2), dh * tanh_c * o * (1 - o)
        d_gates = jnp.concatenate(parts, axis=-1)
        return (_kept(_product(d_gates, transposed), go), _kept(dc * f, go)), d_gates

    arrays = d_outputs, _kept(_before(c_first, cells), going), cells, gates, going
    d_carry, d_inputs = _scan(step, d_last, arrays, steps, reverse=True)
    h_before = _kept(_before(h_first, outputs), going)
    return d_inputs, _matrix_gradient(h_before, d_inputs, recurrent), d_carry, None, None


_lstm.defvjp(_lstm_forward, _lstm_backward)


@jax.custom_vjp
def _gru(
    inputs: jax.Array,
    recurrent: jax.Array,
    bias: jax.Array,
    carry: jax.Array,
    going: jax.Array | None,
    steps: jax.Array | None,
) -> tuple[jax.Array, jax.Array]:
    return _gru_forward(inputs, recurrent, bias, carry, going, steps)[0]


def _gru_forward(inputs, recurrent, bias, carry, going, steps):
    def step(h, now):
        x, go = now
        h = _kept(h, go)
        (x_r, x_z, x_n), (p_r, p_z, p_n) = jnp.split(x, 3, axis=-1), jnp.split(_product(h, recurrent), 3, axis=-1)
        p_n = p_n + bias
        r, z = jax.nn.sigmoid(x_r + p_r), jax.nn.sigmoid(x_z + p_z)
        n = jnp.tanh(x_n + r * p_n)
        h = (1 - z) * n + z * h
        return h, (h, (r, z, n, p_n))

    last, (outputs, gates) = _scan(step, carry, (inputs, going), steps)
    return (outputs, last), (recurrent, carry, going, steps, outputs, gates)


def _gru_backward(saved, cotangents):
    recurrent, first, going, steps, outputs, gates = saved
    d_outputs, d_last = cotangents
    before, transposed = _kept(_before(first, outputs), going), _transposed(recurrent)

    def step(dh, now):
        d_output, h_before, (r, z, n, p_n), go = now
        dh = dh + d_output
        dn = dh * (1 - z) * (1 - n**2)
        dr, dz = dn * p_n * r * (1 - r), dh * (h_before - n) * z * (1 - z)
        products = jnp.concatenate([dr, dz, dn * r], axis=-1)
        return _kept(dh * z + _product(products, transposed), go), jnp.concatenate([dr, dz, dn], axis=-1)

    d_carry, d_inputs = _scan(step, d_last, (d_outputs, before, gates, going), steps, reverse=True)
    dr, dz, dn = jnp.split(d_inputs, 3, axis=-1)
    d_inner = dn * gates[0]  # the reset gate stands between p_n and n
    d_products = jnp.concatenate([dr, dz, d_inner], axis=-1)
    return d_inputs, _matrix_gradient(before, d_products, recurrent), d_inner.sum((0, 1)), d_carry, None, None


_gru.defvjp(_gru_forward, _gru_backward)
