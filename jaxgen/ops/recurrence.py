"""LSTM and GRU layers over a sequence, with the input product taken out of the loop and a backward pass by hand.

The input's share of the gates is one product over all B*T rows, made by the caller; the loop holds only the product
with one packed recurrent matrix. Plain autodiff of such a loop carries the matrix's gradient along and adds to it at
every step. The backward loop here emits only the gates' gradients; the matrix's gradient is one product over T*B rows
after it, and so, when the batch lies on several devices, one sum over them.
"""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp

State = tuple[jax.Array, jax.Array]


def lstm(inputs: jax.Array, recurrent: jax.Array, carry: State) -> tuple[jax.Array, State]:
    """A long short-term memory layer (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000).

    `inputs` [B, T, 4H] is the input product plus the bias, its gates in the order in, forget, candidate, out (that of
    cuDNN and PyTorch); `recurrent` [H, 4H]; `carry` (h, c), both [B, H]. Returns the outputs h_1 .. h_T [B, T, H] and
    the carry after them. Differentiable in reverse mode alone.
    """
    outputs, carry = _lstm(_swap(inputs), recurrent, carry)
    return _swap(outputs), carry


def gru(inputs: jax.Array, recurrent: jax.Array, bias: jax.Array, carry: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A gated recurrent unit layer (arXiv 1406.1078) with the reset gate after the recurrent product, as in cuDNN.

    Resetting after the product, n = tanh(x + r (h W + b)), is what lets one packed matrix serve all three gates.
    `inputs` [B, T, 3H], gates in the order reset, update, candidate; `recurrent` [H, 3H]; `bias` [H] is the candidate's
    inner b; `carry` h [B, H]. Returns the outputs [B, T, H] and the carry after them. Reverse mode alone.
    """
    outputs, carry = _gru(_swap(inputs), recurrent, bias, carry)
    return _swap(outputs), carry


def _swap(array: jax.Array) -> jax.Array:
    return jnp.swapaxes(array, 0, 1)  # [B, T, ...] <-> [T, B, ...]


def _before(first: jax.Array, later: jax.Array) -> jax.Array:
    """[T, B, H]: what each step started from, given what the first started from and what all of them ended with."""
    return jnp.concatenate([first[None], later[:-1]])


@jax.custom_vjp
def _lstm(inputs: jax.Array, recurrent: jax.Array, carry: State) -> tuple[jax.Array, State]:
    return _lstm_forward(inputs, recurrent, carry)[0]


def _lstm_forward(inputs, recurrent, carry):
    def step(state, x):
        h, c = state
        i, f, g, o = jnp.split(x + h @ recurrent, 4, axis=-1)
        i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
        c = f * c + i * g
        h = o * jnp.tanh(c)
        return (h, c), (h, c, (i, f, g, o))

    last, (outputs, cells, gates) = jax.lax.scan(step, carry, inputs)
    return (outputs, last), (recurrent, carry, outputs, cells, gates)


def _lstm_backward(saved, cotangents):
    recurrent, (h_first, c_first), outputs, cells, gates = saved
    d_outputs, d_last = cotangents

    def step(state, now):
        dh, dc = state
        d_output, c_before, c, (i, f, g, o) = now
        dh = dh + d_output
        tanh_c = jnp.tanh(c)
        dc = dc + dh * o * (1 - tanh_c**2)
        parts = dc * g * i * (1 - i), dc * c_before * f * (1 - f), dc * i * (1 - g**2), dh * tanh_c * o * (1 - o)
        d_gates = jnp.concatenate(parts, axis=-1)
        return (d_gates @ recurrent.T, dc * f), d_gates

    steps = d_outputs, _before(c_first, cells), cells, gates
    d_carry, d_inputs = jax.lax.scan(step, d_last, steps, reverse=True)
    return d_inputs, jnp.einsum("tbh,tbg->hg", _before(h_first, outputs), d_inputs), d_carry


_lstm.defvjp(_lstm_forward, _lstm_backward)


@jax.custom_vjp
def _gru(inputs: jax.Array, recurrent: jax.Array, bias: jax.Array, carry: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _gru_forward(inputs, recurrent, bias, carry)[0]


def _gru_forward(inputs, recurrent, bias, carry):
    def step(h, x):
        (x_r, x_z, x_n), (p_r, p_z, p_n) = jnp.split(x, 3, axis=-1), jnp.split(h @ recurrent, 3, axis=-1)
        p_n = p_n + bias
        r, z = jax.nn.sigmoid(x_r + p_r), jax.nn.sigmoid(x_z + p_z)
        n = jnp.tanh(x_n + r * p_n)
        h = (1 - z) * n + z * h
        return h, (h, (r, z, n, p_n))

    last, (outputs, gates) = jax.lax.scan(step, carry, inputs)
    return (outputs, last), (recurrent, carry, outputs, gates)


def _gru_backward(saved, cotangents):
    recurrent, first, outputs, gates = saved
    d_outputs, d_last = cotangents
    before = _before(first, outputs)

    def step(dh, now):
        d_output, h_before, (r, z, n, p_n) = now
        dh = dh + d_output
        dn = dh * (1 - z) * (1 - n**2)
        dr, dz = dn * p_n * r * (1 - r), dh * (h_before - n) * z * (1 - z)
        products = jnp.concatenate([dr, dz, dn * r], axis=-1)
        return dh * z + products @ recurrent.T, jnp.concatenate([dr, dz, dn], axis=-1)

    d_carry, d_inputs = jax.lax.scan(step, d_last, (d_outputs, before, gates), reverse=True)
    dr, dz, dn = jnp.split(d_inputs, 3, axis=-1)
    d_inner = dn * gates[0]  # the reset gate stands between p_n and n
    d_products = jnp.concatenate([dr, dz, d_inner], axis=-1)
    return d_inputs, jnp.einsum("tbh,tbg->hg", before, d_products), d_inner.sum((0, 1)), d_carry


_gru.defvjp(_gru_forward, _gru_backward)
