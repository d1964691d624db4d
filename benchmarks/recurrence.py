"""Recurrent layers forward and backward beside flax's and PyTorch's: an LSTM, a language model, ragged rows, a minGRU.

    python benchmarks/recurrence.py [--row lstm lm ragged min_gru forms] [--steps 3] [--blocks 20] [--cpu-time]

All contestants of a row start from the same numbers, and losses and gradients agree before anything is timed. PyTorch
runs as it is written on one core and on all, and, but for layers that it does not compile (its LSTM alone, packed
rows), compiled. float32.

lstm     a layer, width 650, 35 steps, 20 rows, with the gradient of its input
lm       a training step of two such layers over 10,000 words, tied, clipped gradient descent (arXiv 1409.2329, medium)
ragged   a bidirectional GRU over sentences of many lengths and a GRU that attends to it
min_gru  a minGRU, width 512, 16,384 places in all: rows of 512, 2,048 and 8,192
forms    the linear recurrence alone in each of its forms, from which `linear_recurrence` chooses
"""
# SPDX-License-Identifier: Apache-2.0

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from pytorch_ways import torch_contestants
from results import ended, parser, race, report, set_up

from jaxgen.families.rnn.encoder_decoder import BidirectionalLayer
from jaxgen.families.rnn.network import Cell, RecurrentLayer
from jaxgen.ops.linear_recurrence import Form, linear_recurrence, min_gru
from jaxgen.ops.sequences import token_log_prob
from jaxgen.timing.contest import Clock, Contestant, Row, Work

WIDTH, LENGTH, BATCH = 650, 35, 20  # of Zaremba et al. 2014, the medium model
VOCABULARY, LAYERS, RATE, CLIP, LATER = 10_000, 2, 1.0, 5.0, 3
SENTENCES, LONGEST, SIZE = 64, 40, 256  # rows, the places they are padded to, width
PLACES, MIN_WIDTH = 16_384, 512
GATES = "ifgo"
FLAX = "flax nn.RNN(OptimizedLSTMCell)"
Function = Callable[..., Any]


@dataclass(frozen=True)
class How:
    """Calls a block, blocks, and the clock: of the wall, or of the cores' time that all threads of the process took."""

    steps: int
    blocks: int
    cpu: bool

    @property
    def clock(self) -> Clock:
        return time.process_time if self.cpu else time.perf_counter

    @property
    def threads(self) -> int | None:
        """Of PyTorch: threads that wait for each other would count as work. None: one, and one a core."""
        return 1 if self.cpu else None


def timed(name: str, function: Function, arguments: tuple, steps: int, results: Callable[[Any], Mapping]) -> Contestant:
    """Blocks of `steps` calls of one compiled function; `results` picks what is compared out of what it gives."""

    def prepare(compiling) -> Work:
        with compiling():
            program = jax.jit(function).lower(*arguments).compile()
        block = lambda: [program(*arguments) for _ in range(steps)]  # noqa: E731
        return Work(block, steps, results(program(*arguments)), _quiet)

    return Contestant(name, prepare)


def _quiet() -> None:
    """The threads of the library that ran last may still spin for work, on our cores."""
    time.sleep(0.05)


def drawn(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.standard_normal(shape, np.float32) for shape in shapes]


def torch_side() -> Any:
    """PyTorch's side, imported where PyTorch is there."""
    import torch_recurrence

    return torch_recurrence


def flax_cell(params: Mapping) -> Mapping:
    """Our packed parameters in flax's OptimizedLSTMCell, which has eight kernels."""
    split = {name: jnp.split(params[name], 4, axis=-1) for name in ("kernel", "recurrent", "bias")}
    cell = {f"i{gate}": {"kernel": kernel} for gate, kernel in zip(GATES, split["kernel"], strict=True)}
    pairs = zip(GATES, split["recurrent"], split["bias"], strict=True)
    return cell | {f"h{gate}": {"kernel": kernel, "bias": bias} for gate, kernel, bias in pairs}


def lstm_row(how: How) -> Row:
    x, weight = drawn((BATCH, LENGTH, WIDTH), (BATCH, LENGTH, WIDTH))
    ours, flaxs = RecurrentLayer(Cell.LSTM, WIDTH), nn.RNN(nn.OptimizedLSTMCell(WIDTH))
    params = ours.init(jax.random.key(0), x, ours.state(BATCH))["params"]

    def weighed(layer: Function) -> Function:
        return jax.value_and_grad(lambda params, x: (layer({"params": params}, x) * weight).sum(), (0, 1))

    def results(recurrent: Callable[[Any], Any]):
        return lambda told: {
            "loss": told[0],
            "gradient of the input": told[1][1],
            "gradient of the recurrent matrix": recurrent(told[1][0]),
        }

    mine = weighed(lambda params, x: ours.apply(params, x, ours.state(BATCH))[0])
    packed = lambda grads: np.concatenate([grads["cell"][f"h{gate}"]["kernel"] for gate in GATES], axis=1)  # noqa: E731
    sides = [
        timed("jaxgen", mine, (params, x), how.steps, results(lambda grads: grads["recurrent"])),
        timed(FLAX, weighed(flaxs.apply), ({"cell": flax_cell(params)}, x), how.steps, results(packed)),
    ]
    made = lambda compiled: torch_side().lstm_layer(params, x, weight, compiled)  # noqa: E731
    sides += torch_contestants(made, how.steps, compiles=False, threads=how.threads)
    name = f"LSTM layer, width {WIDTH}, {LENGTH} steps, {BATCH} rows"
    return race(name, sides, how.blocks, 1e-4, clock=how.clock)


class LanguageModel(nn.Module):
    """Embeddings, LSTM layers by jaxgen or by flax, and logits by the embeddings' own table."""

    flax: bool

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        table = nn.Embed(VOCABULARY, WIDTH, name="table")
        x = table(tokens)
        for name in (f"layer_{number}" for number in range(LAYERS)):
            if self.flax:
                x = nn.RNN(nn.OptimizedLSTMCell(WIDTH, name=name))(x)
            else:
                layer = RecurrentLayer(Cell.LSTM, WIDTH, name=name)
                x, _ = layer(x, layer.state(len(x)))
        return table.attend(x)


def lm_step(model: nn.Module, loss: Function, params, tokens):
    """Parameters after a step of clipped gradient descent, its loss and the gradient's norm."""
    value, grads = jax.value_and_grad(lambda p: loss(model.apply({"params": p}, tokens[:, :-1]), tokens[:, 1:]))(params)
    norm = optax.global_norm(grads)
    scale = RATE * jnp.minimum(1.0, CLIP / norm)
    return jax.tree.map(lambda leaf, grad: leaf - scale * grad, params, grads), value, norm


def lm_side(name: str, model: nn.Module, loss: Function, params, tokens, steps: int) -> Contestant:
    """Blocks of `steps` training steps, the parameters donated."""

    def prepare(compiling) -> Work:
        state = jax.tree.map(jnp.array, params)
        with compiling():
            step = functools.partial(lm_step, model, loss)
            program = jax.jit(step, donate_argnums=0).lower(state, tokens).compile()

        def block():
            nonlocal state
            for _ in range(steps):
                state, *told = program(state, tokens)
            return state, told

        state, value, norm = program(state, tokens)
        later = []
        for _ in range(LATER):
            state, one, _ = program(state, tokens)
            later.append(float(one))
        return Work(block, steps, {"loss": value, "norm": norm, "later": np.array(later)}, _quiet)

    return Contestant(name, prepare)


def lm_row(how: How) -> Row:
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, (BATCH, LENGTH + 1), np.int32)
    ours, flaxs = LanguageModel(False), LanguageModel(True)
    params = jax.jit(ours.init)(jax.random.key(0), tokens)["params"]
    for_flax = {"table": params["table"]}
    for_flax |= {name: flax_cell(params[name]) for name in params if name != "table"}
    mine = lambda logits, tokens: -token_log_prob(logits, tokens).mean()  # noqa: E731
    theirs = lambda *told: optax.softmax_cross_entropy_with_integer_labels(*told).mean()  # noqa: E731
    sides = [
        lm_side("jaxgen", ours, mine, params, tokens, how.steps),
        lm_side(FLAX, flaxs, theirs, for_flax, tokens, how.steps),
    ]
    learning = LAYERS, tokens, RATE, CLIP, LATER
    made = lambda compiled: torch_side().language_model(params, *learning, compiled)  # noqa: E731
    sides += torch_contestants(made, how.steps, threads=how.threads)
    name = f"language model, {LAYERS} x {WIDTH}, {VOCABULARY:,} words tied, {LENGTH} steps, {BATCH} rows"
    return race(name, sides, how.blocks, 1e-4, clock=how.clock)


class Attentive(nn.Module):
    """A bidirectional GRU over the given rows, one over the targets, and attention from these to those."""

    early: bool  # the loops end with the longest row

    @nn.compact
    def __call__(self, given: jax.Array, mask: jax.Array, target: jax.Array) -> jax.Array:
        if self.early:
            encoded = EndedEarly(name="encoder")(given, mask)
        else:
            encoded, _ = BidirectionalLayer(Cell.GRU, SIZE, name="encoder")(given, mask)
        decoder = RecurrentLayer(Cell.GRU, 2 * SIZE, name="decoder")
        asked, _ = decoder(target, decoder.state(len(target)))
        scores = jnp.einsum("btd,bsd->bts", asked, encoded) / np.sqrt(asked.shape[-1])
        weights = jax.nn.softmax(jnp.where(mask[:, None], scores, -jnp.inf))
        return jnp.einsum("bts,bsd->btd", weights, encoded)


class EndedEarly(nn.Module):
    """`BidirectionalLayer` with loops that end at the batch's longest row."""

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        place, last = jnp.arange(x.shape[1]), mask.sum(axis=1, keepdims=True) - 1
        turned = jnp.where(place <= last, last - place, place)[..., None]
        forward, backward = (RecurrentLayer(Cell.GRU, SIZE, name=name) for name in ("forward", "backward"))
        state, longest = forward.state(len(x)), last.max() + 1
        onward, _ = forward(x, state, None, longest)
        back, _ = backward(jnp.take_along_axis(x, turned, axis=1), state, None, longest)
        return jnp.concatenate([onward, jnp.take_along_axis(back, turned, axis=1)], axis=-1)


def ragged_row(how: How) -> Row:
    """Lengths about as those of Multi30k's sentences are: a median of 13 words and a long tail."""
    lengths = np.exp(np.random.default_rng(1).normal(np.log(13), 0.3, SENTENCES)).round().clip(4, LONGEST).astype(int)
    mask = np.arange(LONGEST) < lengths[:, None]
    shape = (SENTENCES, LONGEST, SIZE)
    given, target, weight = drawn(shape, shape, (*shape[:2], 2 * SIZE))
    given *= mask[..., None]
    params = Attentive(False).init(jax.random.key(0), given, mask, target)["params"]

    def side(name: str, early: bool) -> Contestant:
        def loss(params, given, target):
            return (Attentive(early).apply({"params": params}, given, mask, target) * weight).sum()

        def results(told):
            value, (grads, d_given, _) = told
            matrix = grads["encoder"]["backward"]["recurrent"]
            return {"loss": value, "gradient of the given": d_given, "gradient of a matrix": matrix}

        return timed(name, jax.value_and_grad(loss, (0, 1, 2)), (params, given, target), how.steps, results)

    sides = [side("jaxgen, loops end with the longest row", True), side("jaxgen, all places", False)]
    made = lambda compiled: torch_side().attentive(params, given, mask, target, weight, compiled)  # noqa: E731
    sides += torch_contestants(made, how.steps, compiles=False, threads=how.threads)
    told = f"rows of {lengths.min()} to {lengths.max()} places, {lengths.mean():.1f} in the mean, padded to {LONGEST}"
    name = f"bidirectional GRU with attention, width {SIZE}, {SENTENCES} rows"
    return race(name, sides, how.blocks, 1e-4, notes=(told,), clock=how.clock)


def min_gru_row(length: int, how: How) -> Row:
    shape = (PLACES // length, length, MIN_WIDTH)
    x, weight = drawn(shape, shape)
    layer = RecurrentLayer(Cell.MIN_GRU, MIN_WIDTH)
    params = layer.init(jax.random.key(0), x, layer.state(len(x)))["params"]

    def scanned(params, x):
        inputs = x @ params["kernel"] + params["bias"]
        return min_gru(inputs, layer.state(len(x)), form=Form.ASSOCIATIVE)[0]

    def plain(params, x):
        """jax.lax.associative_scan as one would write it, differentiated by JAX."""
        update, candidate = jnp.split(x @ params["kernel"] + params["bias"], 2, axis=-1)
        z, positive = jax.nn.sigmoid(update), jnp.where(candidate >= 0, candidate + 0.5, jax.nn.sigmoid(candidate))
        join = lambda first, then: (first[0] * then[0], then[0] * first[1] + then[1])  # noqa: E731
        return jax.lax.associative_scan(join, (1 - z, z * positive), axis=1)[1]

    def side(name: str, function: Function) -> Contestant:
        def results(told):
            value, (grads, d_x) = told
            return {"loss": value, "gradient of the input": d_x, "gradient of the kernel": grads["kernel"]}

        loss = lambda params, x: (function(params, x) * weight).sum()  # noqa: E731
        return timed(name, jax.value_and_grad(loss, (0, 1)), (params, x), how.steps, results)

    sides = [
        side("jaxgen", lambda params, x: layer.apply({"params": params}, x, layer.state(len(x)))[0]),
        side("jaxgen, the associative form", scanned),
        side("jax.lax.associative_scan", plain),
    ]
    made = lambda compiled: torch_side().min_gru(params, x, weight, compiled)  # noqa: E731
    sides += torch_contestants(made, how.steps, threads=how.threads, small=False)
    notes = ("in log space float32 rounds sums of thousands of logarithms: losses and gradients agree to 5e-2 alone",)
    name = f"minGRU layer, width {MIN_WIDTH}, {length:,} steps, {shape[0]} rows"
    return race(name, sides, how.blocks, 5e-2, notes=notes, clock=how.clock)


def forms_row(length: int, how: How) -> Row:
    """The recurrence forward and backward, nothing else."""
    shape = (PLACES // length, length, MIN_WIDTH)
    decay, inputs, weight = drawn(shape, shape, shape)
    decay, carry = jax.nn.sigmoid(decay), jnp.zeros((len(decay), MIN_WIDTH))

    def side(form: Form) -> Contestant:
        loss = lambda *given: (linear_recurrence(*given, form=form)[0] * weight).sum()  # noqa: E731
        results = lambda told: {"loss": told[0], "gradient": told[1][0]}  # noqa: E731
        return timed(form.value, jax.value_and_grad(loss, (0, 1)), (decay, inputs, carry), how.steps, results)

    name = f"linear recurrence, {length:,} steps, {shape[0]} rows"
    return race(name, map(side, Form), how.blocks, 1e-4, clock=how.clock)


ROWS: Mapping[str, tuple[Function, ...]] = {
    "lstm": (lstm_row,),
    "lm": (lm_row,),
    "ragged": (ragged_row,),
    "min_gru": tuple(functools.partial(min_gru_row, length) for length in (512, 2048, 8192)),
    "forms": tuple(functools.partial(forms_row, length) for length in (64, 512, 2048, 8192)),
}


def main(arguments: list[str] | None = None) -> int:
    asked = parser(__doc__, 20, 3)
    asked.add_argument("--row", nargs="+", choices=ROWS, default=list(ROWS), help="which (all)")
    asked.add_argument("--cpu-time", action="store_true", help="the cores' time, not the wall's: for a busy machine")
    options = asked.parse_args(arguments)
    set_up()
    rows = [row for name in options.row for row in ROWS[name]]
    how = How(options.steps, options.blocks, options.cpu_time)
    return report([functools.partial(row, how) for row in rows], options)


if __name__ == "__main__":
    ended(main)
