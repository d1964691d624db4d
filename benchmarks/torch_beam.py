"""Beam search in PyTorch over the decoders of our translators, their weights copied: a key-value cache, an LSTM."""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import torch
from torch import nn
from torch.nn import functional as F
from torch_layers import Linear, RMSNorm, embedding, tensor

Carry = Any  # tensors with the N = B * W rows leading
Step = Callable[[torch.Tensor, Carry, int], tuple[torch.Tensor, Carry]]


class Found(NamedTuple):
    tokens: torch.Tensor  # [B, N, length]
    log_prob: torch.Tensor  # [B, N] nats
    score: torch.Tensor  # [B, N]


def beam_search(step: Step, carry: Carry, rows: int, width: int, start: int, end: int, length: int) -> Found:
    """The search of `jaxgen.ops.decoding.beam_search` with a length penalty of 1, its steps one for one."""
    token = torch.full((rows, width), start)
    alive = torch.full((rows, width), -math.inf)
    alive[:, 0] = 0.0
    tokens = torch.full((rows, width, length), end)
    never = torch.full((rows, width), -math.inf)
    done = Found(tokens, never, never)
    closed = torch.zeros(rows, dtype=torch.bool)
    first = width * torch.arange(rows)[:, None]
    for place in range(length):
        logits, carry = step(token.flatten(), carry, place)
        if place == length - 1:
            only = torch.full_like(logits, -math.inf)
            only[:, end] = 0.0
            logits = logits + only
        total = alive[..., None] + logits.log_softmax(-1).view(rows, width, -1)
        value, at = total.flatten(1).topk(2 * width)
        parent, token = at // total.shape[-1], at % total.shape[-1]
        grown = tokens.gather(1, parent[..., None].expand(-1, -1, length))
        grown[:, :, place] = token
        ends = token == end
        ended = ends & (torch.arange(2 * width) < width) & ~closed[:, None]
        done = _merged(done, Found(grown, value, (value / (place + 1)).masked_fill(~ended, -math.inf)), width)
        alive, kept = value.masked_fill(ends, -math.inf).topk(width)
        closed |= done.score.isfinite().all(dim=1) & (alive[:, 0] / (place + 1) <= done.score.amin(dim=1))
        if bool(closed.all()):
            break
        parent, token = parent.gather(1, kept), token.gather(1, kept)
        tokens = grown.gather(1, kept[..., None].expand(-1, -1, length))
        source = (parent + first).flatten()
        carry = jax.tree.map(lambda leaf, source=source: leaf.index_select(0, source), carry)
    return done


def _merged(done: Found, more: Found, width: int) -> Found:
    tokens, log_prob, score = (torch.cat(pair, dim=1) for pair in zip(done, more, strict=True))
    score, kept = score.topk(width)
    log_prob = log_prob.gather(1, kept).masked_fill(~score.isfinite(), -math.inf)
    return Found(tokens.gather(1, kept[..., None].expand(-1, -1, tokens.shape[-1])), log_prob, score)


class Cross(nn.Module):
    """Attention to what was encoded: keys and values [B, H, S, D] were made before."""

    def __init__(self, params, attended, heads: int):
        super().__init__()
        self.query, self.out, self.heads = Linear(params["query"]), Linear(params["out"]), heads
        arrays = attended.key, attended.value
        self.key, self.value = (tensor(array).transpose(1, 2).contiguous() for array in arrays)
        self.mask = tensor(attended.mask)[:, None, None]

    def forward(self, x):
        """[N, width] of `x` [N, E]; the W rows of each of B ask side by side."""
        rows = len(self.key)
        q = self.query(x).view(rows, len(x) // rows, self.heads, -1).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, self.key, self.value, self.mask)
        return self.out(y.transpose(1, 2).reshape(len(x), -1))


class DecoderBlock(nn.Module):
    def __init__(self, params, attended, heads: int):
        super().__init__()
        self.norms = nn.ModuleList(RMSNorm(params[f"{name}_norm"]) for name in ("attention", "cross", "mlp"))
        self.query_key_value, self.out = (Linear(params["attention"][name]) for name in ("query_key_value", "out"))
        self.cross = Cross(params["cross"], attended, heads)
        self.into, self.outof = Linear(params["mlp"]["in"]), Linear(params["mlp"]["out"])
        self.heads = heads

    def forward(self, x, cache, turn):
        """[N, width], and the cache (keys and values [N, H, T, D]) one token longer."""
        q, k, v = self.query_key_value(self.norms[0](x)).view(len(x), 3 * self.heads, 1, -1).chunk(3, dim=1)
        q, k = turn(q), turn(k)
        cache = torch.cat([cache[0], k], dim=2), torch.cat([cache[1], v], dim=2)
        x = x + self.out(F.scaled_dot_product_attention(q, *cache).flatten(1))
        x = x + self.cross(self.norms[1](x))
        return x + self.outof(F.gelu(self.into(self.norms[2](x)), approximate="tanh")), cache


class TransformerDecoder(nn.Module):
    """The decoder of `TransformerEncoderDecoder`, token by token."""

    def __init__(self, network, params, memory):
        super().__init__()
        blocks = [DecoderBlock(params[f"block_{i}"], attended, network.heads) for i, attended in enumerate(memory)]
        self.blocks, self.token = nn.ModuleList(blocks), embedding(params["token"])
        self.final_norm, self.head = RMSNorm(params["final_norm"]), Linear(params["head"])
        self.heads, self.features = network.heads, network.width // network.heads
        half = self.features // 2
        self.rates = 10_000.0 ** (-torch.arange(half) / half)

    def carry(self, count: int) -> Carry:
        empty = torch.zeros(count, self.heads, 0, self.features)
        return tuple((empty, empty) for _ in self.blocks)

    def forward(self, token, carry, place):
        angle = place * self.rates
        cos, sin = angle.cos(), angle.sin()

        def turn(x):
            x1, x2 = x.chunk(2, dim=-1)
            return torch.cat([x1 * cos - x2 * sin, x2 * cos + x1 * sin], dim=-1)

        x, after = self.token(token), []
        for block, cache in zip(self.blocks, carry, strict=True):
            x, cache = block(x, cache, turn)
            after.append(cache)
        return self.head(self.final_norm(x)), tuple(after)


class RecurrentDecoder(nn.Module):
    """The decoder of `RecurrentEncoderDecoder` with LSTM layers, token by token."""

    def __init__(self, network, params, memory):
        super().__init__()
        self.cells = nn.ModuleList(lstm_cell(params[f"layer_{i}"]) for i in range(network.layers))
        self.cross = Cross(params["cross"], memory.attended, network.heads)
        self.token = embedding(params["token"])
        self.hidden, self.head = Linear(params["hidden"]), Linear(params["head"])
        self.states = [tuple(tensor(leaf) for leaf in state) for state in memory.states]

    def carry(self, count: int) -> Carry:
        return jax.tree.map(lambda leaf: leaf.repeat_interleave(count // len(leaf), dim=0), self.states)

    def forward(self, token, carry, place):
        x, after, context = self.token(token), [], None
        for cell, state in zip(self.cells, carry, strict=True):
            x, c = cell(x, state)
            after.append((x, c))
            context = self.cross(x) if context is None else context
            x = torch.cat([x, context], dim=-1)
        return self.head(torch.tanh(self.hidden(x))), after


def lstm_cell(params) -> nn.LSTMCell:
    (inputs, _), width = params["kernel"].shape, params["recurrent"].shape[0]
    cell = nn.LSTMCell(inputs, width)
    cell.weight_ih.data, cell.weight_hh.data = tensor(params["kernel"].T), tensor(params["recurrent"].T)
    cell.bias_ih.data, cell.bias_hh.data = tensor(params["bias"]), torch.zeros(4 * width)
    return cell
