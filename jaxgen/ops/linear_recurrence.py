"""The elementwise linear recurrence h_t = a_t h_{t-1} + b_t in three forms, with a backward pass by hand.

    h_t  = a_t h_{t-1} + b_t                       t = 1 .. T, h_0 the carry
    dh_t = g_t + a_{t+1} dh_{t+1}                  g_t the cotangent of h_t: the same recurrence, from the end
    da_t = dh_t h_{t-1},  db_t = dh_t,  dh_0 = a_1 dh_1

Autodiff of a loop would stack every step's operands and of an associative scan every level's; here the outputs alone
are kept. The forms differ in rounding, by less than 1e-5 where |a| <= 1:

SEQUENTIAL   T steps of B*D numbers each, which read and write every array once.
BLOCKED      a loop over blocks of 64 steps, each of which is an associative scan.
ASSOCIATIVE  one associative scan (Blelloch 1990) of depth 2 log2 T, with about twice the work.
"""
# SPDX-License-Identifier: Apache-2.0

import enum
import functools

import jax
import jax.numpy as jnp

_BLOCK = 64
_RG_LRU_C = 8.0
_SMALLEST = 1e-6  # of 1 - a^2, whose root has no derivative at 0


class Form(enum.Enum):
    """How the recurrence is computed."""

    SEQUENTIAL = "sequential"
    BLOCKED = "blocked"
    ASSOCIATIVE = "associative"


def linear_recurrence(
    decay: jax.Array,
    inputs: jax.Array,
    carry: jax.Array,
    going: jax.Array | None = None,
    form: Form | None = None,
) -> tuple[jax.Array, jax.Array]:
    """The outputs h_1 .. h_T [B, T, D] and h_T [B, D] of `decay` a and `inputs` b, both [B, T, D], and `carry` [B, D].

    Where `going` [B, T] is 0 a step starts from zeros, where it is 1 from the one before it. `form` None: SEQUENTIAL on
    a CPU, where it was the fastest at every length from 64 to 8,192 (benchmarks/README.md), and for a single step;
    ASSOCIATIVE elsewhere, whose depth is what counts there (not measured). Reverse mode alone.
    """
    decay = decay if going is None else decay * going[..., None]
    if form is None and decay.shape[1] == 1:
        form = Form.SEQUENTIAL
    outputs = _recurrence(form, decay, inputs, carry)
    return outputs, outputs[:, -1]


def min_gru(
    inputs: jax.Array, carry: jax.Array, going: jax.Array | None = None, form: Form | None = None
) -> tuple[jax.Array, jax.Array]:
    """A minimal gated recurrent unit (arXiv 2410.01201): h_t = (1 - z_t) h_{t-1} + z_t g(c_t), z_t = sigmoid(u_t).

    `inputs` [B, T, 2D] are the update gates u and the candidates c, `carry` [B, D]; the rest is `linear_recurrence`'s.
    g(c) = c + 1/2 where c >= 0 and sigmoid(c) elsewhere is the positive function of the paper's log-space form
    (appendix B); the recurrence itself is computed in real space, where no logarithms of sums lose digits.
    """
    update, candidate = jnp.split(inputs, 2, axis=-1)
    positive = jnp.where(candidate >= 0, candidate + 0.5, jax.nn.sigmoid(candidate))
    return linear_recurrence(jax.nn.sigmoid(-update), jax.nn.sigmoid(update) * positive, carry, going, form)


def rg_lru(
    inputs: jax.Array, decay: jax.Array, carry: jax.Array, going: jax.Array | None = None, form: Form | None = None
) -> tuple[jax.Array, jax.Array]:
    """A real-gated linear recurrent unit (RG-LRU, arXiv 2402.19427, eq. 1 to 4).

    r_t, i_t = sigmoid(gates),  a_t = exp(-c softplus(decay) r_t),  h_t = a_t h_{t-1} + sqrt(1 - a_t^2) i_t x_t,  c = 8

    `inputs` [B, T, 3D]: the recurrence gates, the input gates and x, in this order; `decay` [D] is any number, `carry`
    [B, D]; the rest is `linear_recurrence`'s.
    """
    recurrence, entrance, x = jnp.split(inputs, 3, axis=-1)
    log_a = -_RG_LRU_C * jax.nn.softplus(decay) * jax.nn.sigmoid(recurrence)
    scale = jnp.sqrt(jnp.maximum(-jnp.expm1(2 * log_a), _SMALLEST))
    return linear_recurrence(jnp.exp(log_a), scale * jax.nn.sigmoid(entrance) * x, carry, going, form)


def rg_lru_decay(key: jax.Array, width: int) -> jax.Array:
    """`decay` [width] with which a_t, its gate open, is uniform between 0.9 and 0.999 (section 2.4 of the paper)."""
    a = jax.random.uniform(key, (width,), jnp.float32, 0.9, 0.999)
    return jnp.log(jnp.expm1(-jnp.log(a) / _RG_LRU_C))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _recurrence(form: Form | None, decay: jax.Array, inputs: jax.Array, carry: jax.Array) -> jax.Array:
    return _solved(form, False, decay, inputs, carry)


def _forward(form, decay, inputs, carry):
    outputs = _solved(form, False, decay, inputs, carry)
    return outputs, (decay, carry, outputs)


def _backward(form, saved, cotangent):
    decay, carry, outputs = saved
    d_inputs = _solved(form, True, decay, cotangent, jnp.zeros_like(carry))
    before = jnp.concatenate([carry[:, None], outputs[:, :-1]], axis=1)
    return d_inputs * before, d_inputs, decay[:, 0] * d_inputs[:, 0]


_recurrence.defvjp(_forward, _backward)


def _solved(form: Form | None, reverse: bool, decay: jax.Array, inputs: jax.Array, carry: jax.Array) -> jax.Array:
    """[B, T, D]: h_t, or with `reverse` dh_t, whose carry is a_{T+1} dh_{T+1}."""
    if form is not None:
        return _FORMS[form](reverse, decay, inputs, carry)
    ways = {"cpu": Form.SEQUENTIAL, "default": Form.ASSOCIATIVE}
    branches = {platform: functools.partial(_FORMS[way], reverse) for platform, way in ways.items()}
    return jax.lax.platform_dependent(decay, inputs, carry, **branches)


def _sequential(reverse: bool, decay: jax.Array, inputs: jax.Array, carry: jax.Array) -> jax.Array:
    """A loop that cuts each step out of the batch-major arrays: a scan would first turn them round, in copies."""
    length = inputs.shape[1]

    def step(number, state):
        moving, outputs = state
        place = length - 1 - number if reverse else number
        a, b = (jax.lax.dynamic_index_in_dim(array, place, axis=1, keepdims=False) for array in (decay, inputs))
        h = b + moving if reverse else a * moving + b
        outputs = jax.lax.dynamic_update_index_in_dim(outputs, h, place, axis=1)
        return (a * h if reverse else h), outputs

    return jax.lax.fori_loop(0, length, step, (carry, jnp.zeros_like(inputs)))[1]


def _associative(reverse: bool, decay: jax.Array, inputs: jax.Array, carry: jax.Array) -> jax.Array:
    if reverse:  # the decay of a step's own output is that of the step after it
        decay = jnp.concatenate([decay[:, 1:], jnp.ones_like(decay[:, :1])], axis=1)
    products, sums = jax.lax.associative_scan(_joined, (decay, inputs), reverse=reverse, axis=1)
    return sums + products * carry[:, None]


def _joined(first: tuple[jax.Array, jax.Array], then: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Two runs of steps as one: h -> a h + b after h -> a' h + b' is h -> a a' h + (a b' + b)."""
    return first[0] * then[0], then[0] * first[1] + then[1]


def _blocked(reverse: bool, decay: jax.Array, inputs: jax.Array, carry: jax.Array) -> jax.Array:
    batch, length, width = inputs.shape
    size = min(_BLOCK, length)
    more = -length % size  # steps that leave the state as it is
    blocks = [
        jnp.pad(array, ((0, 0), (0, more), (0, 0)), constant_values=value)
        .reshape(batch, -1, size, width)
        .swapaxes(0, 1)
        for array, value in ((decay, 1.0), (inputs, 0.0))
    ]

    def step(moving, block):
        outputs = _associative(reverse, *block, moving)
        return (block[0][:, 0] * outputs[:, 0] if reverse else outputs[:, -1]), outputs

    _, outputs = jax.lax.scan(step, carry, tuple(blocks), reverse=reverse)  # [T/size, B, size, D]
    return outputs.swapaxes(0, 1).reshape(batch, -1, width)[:, :length]


_FORMS = {Form.SEQUENTIAL: _sequential, Form.BLOCKED: _blocked, Form.ASSOCIATIVE: _associative}
