"""The layers are those of flax, and their gradients those of autodiff through a plain loop."""
# SPDX-License-Identifier: Apache-2.0

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxgen.ops.recurrence import gru, lstm

B, T, H = 3, 5, 4


def naive_lstm(inputs, recurrent, carry):
    (h, c), outputs = carry, []
    for t in range(inputs.shape[1]):
        i, f, g, o = jnp.split(inputs[:, t] + h @ recurrent, 4, axis=-1)
        c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
        h = nn.sigmoid(o) * jnp.tanh(c)
        outputs.append(h)
    return jnp.stack(outputs, axis=1), (h, c)


def naive_gru(inputs, recurrent, bias, h):
    outputs = []
    for t in range(inputs.shape[1]):
        (x_r, x_z, x_n), (p_r, p_z, p_n) = jnp.split(inputs[:, t], 3, axis=-1), jnp.split(h @ recurrent, 3, axis=-1)
        z = nn.sigmoid(x_z + p_z)
        h = (1 - z) * jnp.tanh(x_n + nn.sigmoid(x_r + p_r) * (p_n + bias)) + z * h
        outputs.append(h)
    return jnp.stack(outputs, axis=1), h


def numbers(*shapes):
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return [jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)]


def lstm_arguments():
    inputs, recurrent, h, c = numbers((B, T, 4 * H), (H, 4 * H), (B, H), (B, H))
    return inputs, recurrent, (h, c)


def gru_arguments():
    return tuple(numbers((B, T, 3 * H), (H, 3 * H), (H,), (B, H)))


def rows_leading(layer):
    """The layer with inputs [B, T, G]."""
    return lambda inputs, *others: layer(jnp.swapaxes(inputs, 0, 1), *others)


PAIRS = [(rows_leading(lstm), naive_lstm, lstm_arguments), (rows_leading(gru), naive_gru, gru_arguments)]


def close(left, right, tolerance=1e-5):
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(("ours", "naive", "arguments"), PAIRS)
def test_values_and_gradients_are_those_of_a_plain_loop(ours, naive, arguments):
    arguments = arguments()
    close(jax.jit(ours)(*arguments), jax.jit(naive)(*arguments))

    def scalar(layer):  # every output and the carry weigh in, each differently
        weigh = lambda x: jnp.sum(jnp.sin(jnp.arange(x.size)).reshape(x.shape) * x**2)  # noqa: E731
        return lambda *args: sum(weigh(leaf) for leaf in jax.tree.leaves(layer(*args)))

    places = tuple(range(len(arguments)))
    close(*(jax.jit(jax.grad(scalar(layer), places))(*arguments) for layer in (ours, naive)))


@pytest.mark.parametrize(("ours", "naive", "arguments"), PAIRS)
def test_gradients_are_those_of_differences(ours, naive, arguments):
    check_grads(ours, arguments(), order=1, modes=["rev"], atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize(("ours", "naive", "arguments"), PAIRS)
def test_two_halves_are_the_whole(ours, naive, arguments):
    inputs, *weights, carry = arguments()
    whole = ours(inputs, *weights, carry)
    first, between = ours(inputs[:, :2], *weights, carry)
    second, after = ours(inputs[:, 2:], *weights, between)
    close((jnp.concatenate([first, second], axis=1), after), whole, 1e-6)


@pytest.mark.parametrize(("ours", "naive", "arguments"), PAIRS)
def test_where_it_does_not_go_on_it_starts_from_zeros(ours, naive, arguments):
    """Values and gradients are those of two sequences a row, which falls apart at a place of its own."""
    inputs, *weights, carry = arguments()
    cuts = [1, 2, 4]
    going = (jnp.arange(T) != jnp.array(cuts)[:, None]).astype(jnp.float32)

    def whole(inputs, weights, carry):
        return ours(inputs, *weights, carry, going)[0]

    def apart(inputs, weights, carry):
        rows = []
        for row, cut in enumerate(cuts):
            one, first = inputs[row : row + 1], jax.tree.map(lambda leaf, row=row: leaf[row : row + 1], carry)
            rows.append(naive(one[:, :cut], *weights, first)[0])
            rows.append(naive(one[:, cut:], *weights, jax.tree.map(jnp.zeros_like, first))[0])
        return jnp.concatenate(rows, axis=1).reshape(B, T, H)

    weigh = jnp.sin(jnp.arange(B * T * H)).reshape(B, T, H)
    told = [jax.jit(jax.value_and_grad(lambda *a, f=f: jnp.sum(weigh * f(*a) ** 2), (0, 1, 2))) for f in (whole, apart)]
    close(*(f(inputs, weights, carry) for f in told))


@pytest.mark.parametrize("steps", [0, 3, T])
@pytest.mark.parametrize(("ours", "naive", "arguments"), PAIRS)
def test_ended_early_it_is_the_layer_over_fewer_steps(ours, naive, arguments, steps):
    """Values and gradients; how many steps is known only when it runs."""
    inputs, *weights, carry = arguments()
    weigh = jnp.sin(jnp.arange(B * T * H)).reshape(B, T, H)

    def scalar(outputs, last):
        return jnp.sum(weigh[:, : outputs.shape[1]] * outputs**2) + sum(jnp.sum(jnp.sin(leaf)) for leaf in last)

    def ended(inputs, weights, carry, steps):
        return scalar(*ours(inputs, *weights, carry, None, steps))

    def fewer(inputs, weights, carry):
        if steps == 0:
            return sum(jnp.sum(jnp.sin(leaf)) for leaf in carry)
        return scalar(*naive(inputs[:, :steps], *weights, carry))

    early = jax.jit(jax.value_and_grad(ended, (0, 1, 2)))(inputs, weights, carry, jnp.int32(steps))
    close(early, jax.jit(jax.value_and_grad(fewer, (0, 1, 2)))(inputs, weights, carry))
    outputs, _ = jax.jit(ours)(inputs, *weights, carry, None, jnp.int32(steps))
    assert (outputs[:, steps:] == 0).all()


def test_the_lstm_is_flaxs():
    x, h, c = numbers((B, T, 6), (B, H), (B, H))
    cell = nn.OptimizedLSTMCell(H)
    params = cell.init(jax.random.key(1), (c, h), x[:, 0])
    kernels = params["params"]
    inputs = x @ jnp.concatenate([kernels[f"i{gate}"]["kernel"] for gate in "ifgo"], axis=1)
    inputs += jnp.concatenate([kernels[f"h{gate}"]["bias"] for gate in "ifgo"])
    recurrent = jnp.concatenate([kernels[f"h{gate}"]["kernel"] for gate in "ifgo"], axis=1)
    (c_last, h_last), outputs = nn.RNN(cell, return_carry=True).apply(
        {"params": {"cell": kernels}}, x, initial_carry=(c, h)
    )
    close(rows_leading(lstm)(inputs, recurrent, (h, c)), (outputs, (h_last, c_last)))


def test_the_gru_is_flaxs():
    x, h, inner = numbers((B, T, 6), (B, H), (H,))
    cell = nn.GRUCell(H)
    kernels = cell.init(jax.random.key(1), h, x[:, 0])["params"]
    kernels["hn"]["bias"] = inner  # flax starts it at zero, where it could be left out unseen
    inputs = x @ jnp.concatenate([kernels[f"i{gate}"]["kernel"] for gate in "rzn"], axis=1)
    inputs += jnp.concatenate([kernels[f"i{gate}"]["bias"] for gate in "rzn"])
    recurrent = jnp.concatenate([kernels[f"h{gate}"]["kernel"] for gate in "rzn"], axis=1)
    last, outputs = nn.RNN(cell, return_carry=True).apply({"params": {"cell": kernels}}, x, initial_carry=h)
    close(rows_leading(gru)(inputs, recurrent, inner, h), (outputs, last))
