"""Compiled decoders beside the same in PyTorch: CTC by the best path and a prefix beam, beams, a GPT, the CTC loss.

    python benchmarks/decoders.py [--rows 16] [--frames 100] [--beam 8] [--steps 3] [--blocks 8]
        [--only ctc beam generation loss]

What they find is compared first, tokens and log-probabilities. PyTorch runs as it is written, and compiled where it
compiles, on one core and on all; the fastest of them is its best. The CTC decoders look at the same frames of a peaky
model; the beam searches are over decoders of the sizes of our translators (`configs/*/multi30k.py`), a key-value cache
or an LSTM, with random weights that end no sentence before the last place, what was encoded being there already. The
GPT has the sizes of nanoGPT's recipe for CPUs and random weights, and always takes the likeliest token.
"""
# SPDX-License-Identifier: Apache-2.0

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ctc_dictionaries import with_dictionaries
from pytorch_ways import torch_contestants
from results import ended, parser, race, report, set_up

from jaxgen.families.rnn.encoder_decoder import RecurrentEncoderDecoder
from jaxgen.families.transformer.encoder_decoder import TransformerEncoderDecoder
from jaxgen.families.transformer.network import Transformer
from jaxgen.nn.conditions import Sequence
from jaxgen.ops import ctc
from jaxgen.ops.decoding import beam_search
from jaxgen.ops.sequences import generate, token_log_prob
from jaxgen.timing.contest import Absent, Contestant, Row, Work

WHAT = ("ctc", "beam", "generation", "loss")
PAD, TOKENS = -1, 64  # of CTC's strings, at most
NETWORKS = {
    "Transformer": TransformerEncoderDecoder(
        width=128, encoder_blocks=1, blocks=4, hidden=256, source_vocabulary=4000, vocabulary=4000
    ),
    "LSTM": RecurrentEncoderDecoder(width=256, embedding=256, layers=2, source_vocabulary=4000, vocabulary=4000),
}
SENTENCES, WIDTH, LENGTH, SOURCE = 32, 5, 48, 20  # of the beam searches
GPT = Transformer(width=128, blocks=4, heads=4, hidden=512)
CHARACTERS, DRAWN = 65, 256  # its vocabulary, and how many tokens it draws


def ours(name: str, program: Callable, arguments: tuple, steps: int, told: Callable[[Any], dict]) -> Contestant:
    """`program`, compiled; `told` names what is compared of what it gives."""

    def prepare(compiling) -> Work:
        with compiling():
            compiled = jax.jit(program).lower(*arguments).compile()

        def block():
            for _ in range(steps):  # each is waited for, as an utterance's words are
                result = jax.block_until_ready(compiled(*arguments))
            return result

        return Work(block, steps, told(compiled(*arguments)))

    return Contestant(name, prepare)


def torchs(
    make: Callable[[bool], Callable[[], dict]], steps: int, compiles: bool = True
) -> Iterable[Contestant | Absent]:
    """PyTorch's ways; `make(compiled)` gives a function that decodes once and returns what is compared."""
    return torch_contestants(lambda compiled: (make(compiled),) * 2, steps, compiles)


def frames(rows: int, count: int, size: int) -> np.ndarray:
    """[B, S, V] nats of a model that is sure of most frames: a token for one or two, blanks for one to three."""
    random = np.random.default_rng(0)
    path = np.full((rows, count), size - 1)
    for row in path:
        place = 0
        while place < count:
            lasts = random.integers(1, 3)
            row[place : place + lasts] = random.integers(0, size - 1)
            place += lasts + random.integers(1, 4)
    logits = random.normal(size=(rows, count, size)).astype(np.float32)
    np.put_along_axis(logits, path[..., None], np.take_along_axis(logits, path[..., None], -1) + 4.0, -1)
    return np.array(jax.nn.log_softmax(jnp.asarray(logits)))


def greedy_row(rows: int, count: int, size: int, steps: int, blocks: int) -> Row:
    log_probs, blank = frames(rows, count, size), size - 1

    def program(log_probs, mask):
        return ctc.greedy(log_probs, mask, blank, TOKENS, PAD)

    def make(compiled: bool):
        import torch
        import torch_ctc

        decode = torch.compile(torch_ctc.greedy) if compiled else torch_ctc.greedy
        given = torch.from_numpy(log_probs)

        def once():
            with torch.inference_mode():
                return _named(*decode(given, blank, TOKENS, PAD))

        return once

    steps *= 20
    arguments = jnp.asarray(log_probs), jnp.ones((rows, count), bool)
    contestants = [ours("jaxgen", program, arguments, steps, lambda found: _named(*found))]
    contestants += torchs(make, steps)
    return race(f"CTC, best path, {rows} x {count} frames, V {size}", contestants, blocks)


def prefix_row(rows: int, count: int, size: int, width: int, steps: int, blocks: int) -> Row:
    log_probs, blank = frames(rows, count, size), size - 1

    def program(log_probs, mask):
        return ctc.prefix_beam_search(log_probs, mask, width, blank, TOKENS, PAD)[:2]

    def make(compiled: bool):
        import torch
        import torch_ctc

        advance = torch.compile(torch_ctc.advance) if compiled else torch_ctc.advance
        given = torch.from_numpy(log_probs)

        def once():
            with torch.inference_mode():
                return _named(*torch_ctc.prefix_beam_search(given, width, blank, TOKENS, PAD, advance))

        return once

    arguments = jnp.asarray(log_probs), jnp.ones((rows, count), bool)
    contestants = [ours("jaxgen", program, arguments, steps, lambda found: _named(*found))]
    contestants += torchs(make, steps)
    if size <= 32:  # it takes seconds already
        contestants.append(dictionaries(log_probs, width, blank))
    return race(f"CTC, prefix beam of {width}, {rows} x {count} frames, V {size}", contestants, blocks)


def dictionaries(log_probs: np.ndarray, width: int, blank: int) -> Contestant:
    """The search in plain Python, a row after another."""

    def prepare(compiling) -> Work:
        given = log_probs.tolist()

        def block():
            return [with_dictionaries(row, width, blank) for row in given]

        tokens = np.full((len(given), width, TOKENS), PAD)
        nats = np.zeros((len(given), width))
        for row, strings in enumerate(block()):
            for place, (string, total) in enumerate(strings):
                tokens[row, place, : len(string)], nats[row, place] = string, total
        return Work(lambda: block() and None, 1, _named(tokens, nats))

    return Contestant("plain Python, dictionaries", prepare)


def beam_row(name: str, steps: int, blocks: int) -> Row:
    network = NETWORKS[name]
    random = np.random.default_rng(0)
    given = Sequence(jnp.asarray(random.integers(0, 4000, (SENTENCES, SOURCE))), jnp.ones((SENTENCES, SOURCE), bool))
    params = network.init(jax.random.key(0), given, jnp.zeros((SENTENCES, 1), jnp.int32))["params"]
    kernel = jax.random.normal(jax.random.key(1), params["head"]["kernel"].shape) * 0.1
    bias = jnp.zeros(4000).at[-1].set(-10.0)  # the end is never likely
    params = {**params, "head": {"kernel": kernel, "bias": bias}}
    start, end = 4000, 3999
    memory = network.apply({"params": params}, given, method="encode")

    def program(params, memory):
        def step(token, carry):
            return network.apply({"params": params}, memory, token, carry, method="step")

        def with_room(carry, room):
            return network.carry(memory, WIDTH, room) if carry is None else network.grown(carry, room)

        return beam_search(step, with_room, SENTENCES, WIDTH, start, end, LENGTH)

    def make(compiled: bool):
        import torch
        import torch_beam

        decoder = {"Transformer": torch_beam.TransformerDecoder, "LSTM": torch_beam.RecurrentDecoder}[name]
        decoder = decoder(network, params, memory).eval()
        step = torch.compile(decoder) if compiled else decoder
        first = torch.zeros((), dtype=torch.long)

        def once():
            with torch.inference_mode():
                carry = decoder.carry(SENTENCES * WIDTH)
                with_place = lambda token, carry, place: step(token, carry, first + place)  # noqa: E731
                return _named(*torch_beam.beam_search(with_place, carry, SENTENCES, WIDTH, start, end, LENGTH))

        return once

    contestants = [ours("jaxgen", program, (params, memory), steps, lambda found: _named(*found))]
    # a cache that grows has a new shape at every token: minutes of compiling
    contestants += torchs(make, steps, compiles=name == "LSTM")
    return race(f"beam search of {WIDTH}, {name}, {SENTENCES} sentences of {LENGTH}", contestants, blocks)


def generation_row(texts: int, steps: int, blocks: int) -> Row:
    network = GPT.sized(CHARACTERS, 0, DRAWN)
    first = jnp.zeros(texts, jnp.int32)
    params = network.init(jax.random.key(0), first[:, None], None, None)["params"]
    kernel = jax.random.normal(jax.random.key(1), params["head"]["kernel"].shape)
    params = {**params, "head": {**params["head"], "kernel": kernel}}

    def program(params, first):
        def step(token, carry):
            return network.apply({"params": params}, token, carry, None, method="step")

        keys = jax.random.split(jax.random.key(2), texts)
        return generate(step, network.carry(texts, DRAWN), first, DRAWN, keys, temperature=0.0)

    def likelihoods(params, first, tokens):
        """Of what was drawn: at temperature 0 each token's probability under the sampler is 1."""
        logits, _ = network.apply({"params": params}, jnp.concatenate([first[:, None], tokens[:, :-1]], 1), None, None)
        return token_log_prob(logits, tokens)

    def make(compiled: bool):
        import torch
        import torch_generation

        decoder = torch_generation.Generator(network, params, texts, DRAWN, compiled).eval()
        step = torch.compile(decoder) if compiled else decoder
        begin = torch.zeros(texts, dtype=torch.long)

        def once():
            with torch.inference_mode():
                return _named(*torch_generation.generate(step, begin, DRAWN, compiled))

        return once

    told = lambda found: _named(found[0], likelihoods(params, first, found[0]))  # noqa: E731
    contestants = [ours("jaxgen", program, (params, first), steps, told)]
    contestants += torchs(make, steps)
    return race(f"GPT, the likeliest {DRAWN} characters of {texts}", contestants, blocks, tolerance=1e-4)


def loss_row(rows: int, count: int, size: int, steps: int, blocks: int) -> Row:
    random = np.random.default_rng(0)
    logits = random.normal(size=(rows, count, size)).astype(np.float32)
    targets, length = random.integers(0, size - 1, (rows, count // 4)), random.integers(1, count // 4 + 1, rows)
    blank = size - 1

    def program(logits):
        padded = (jnp.arange(targets.shape[1]) >= length[:, None]).astype(jnp.float32)
        return jax.value_and_grad(
            lambda logits: optax.ctc_loss(logits, jnp.zeros((rows, count)), targets, padded, blank_id=blank).mean()
        )(logits)

    def make(compiled: bool):
        import torch

        given = torch.from_numpy(logits)
        frames, own = torch.full((rows,), count), torch.from_numpy(length)
        wanted = torch.from_numpy(targets)

        def once():
            leaf = given.requires_grad_()
            nats = torch.nn.functional.ctc_loss(
                leaf.log_softmax(-1).transpose(0, 1), wanted, frames, own, blank, reduction="none"
            ).mean()
            (gradient,) = torch.autograd.grad(nats, leaf)
            return {"loss": nats.detach(), "gradient": gradient}

        return once

    told = lambda found: {"loss": found[0], "gradient": found[1]}  # noqa: E731
    contestants = [ours("optax", program, (jnp.asarray(logits),), steps, told)]
    contestants += torchs(make, steps, compiles=False)
    return race(f"CTC loss and gradient, {rows} x {count} frames, V {size}", contestants, blocks, tolerance=1e-3)


def _named(tokens, log_prob, score=None) -> dict:
    found = {"tokens": tokens, "log_prob": log_prob}
    return found if score is None else found | {"score": score}


def main(arguments: list[str] | None = None) -> int:
    asked = parser(__doc__, 8, 3)
    asked.add_argument("--rows", type=int, default=16, help="utterances decoded together (%(default)s)")
    asked.add_argument("--frames", type=int, default=100, help="of each (%(default)s)")
    asked.add_argument("--beam", type=int, default=8, help="strings that CTC's beam holds (%(default)s)")
    asked.add_argument("--only", nargs="+", choices=WHAT, default=WHAT)
    options = asked.parse_args(arguments)
    set_up()
    sizes, how = (options.rows, options.frames), (options.steps, options.blocks)
    rows = []
    if "ctc" in options.only:
        rows += [functools.partial(greedy_row, *sizes, 32, *how)]
        rows += [functools.partial(prefix_row, *sizes, size, options.beam, *how) for size in (32, 512)]
    if "beam" in options.only:
        rows += [functools.partial(beam_row, name, *how) for name in NETWORKS]
    if "generation" in options.only:
        rows += [functools.partial(generation_row, texts, *how) for texts in (1, 16)]
    if "loss" in options.only:
        rows += [functools.partial(loss_row, *sizes, 32, *how)]
    return report(rows, options)


if __name__ == "__main__":
    ended(main)
