"""A decoder over text in PyTorch that goes on token by token from a key-value cache, its weights copied from ours."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch_layers import Linear, RMSNorm, embedding

from jaxgen.families.transformer.network import Transformer


class Cached(nn.Module):
    """A block with room for `length` tokens of `rows`, into which each token is written in place.

    Compiled, it attends to all of the room through a mask, for a shape that grows would be compiled at every token;
    otherwise to the places that are filled.
    """

    def __init__(self, params: Any, heads: int, rows: int, length: int, compiled: bool):
        super().__init__()
        self.norm, self.mlp_norm = RMSNorm(params["attention_norm"]), RMSNorm(params["mlp_norm"])
        self.inside, self.out = (Linear(params["attention"][name]) for name in ("query_key_value", "out"))
        mlp = params["mlp"]
        self.mlp = nn.Sequential(Linear(mlp["in"]), nn.GELU("tanh"), Linear(mlp["out"]))
        self.heads, self.compiled = heads, compiled
        for name in ("key", "value"):
            self.register_buffer(name, torch.zeros(rows, heads, length, self.out.in_features // heads))

    def forward(self, x, place, turn):
        """[B, E] of `x` [B, E], which stands at `place`: a number, or a tensor [1] where it is compiled."""
        q, k, v = self.inside(self.norm(x)).view(len(x), 3 * self.heads, 1, -1).chunk(3, dim=1)
        q, k = turn(q), turn(k)
        if self.compiled:
            self.key.index_copy_(2, place, k)
            self.value.index_copy_(2, place, v)
            seen = torch.arange(self.key.shape[2]) <= place
            y = F.scaled_dot_product_attention(q, self.key, self.value, seen[None, None, None])
        else:
            self.key[:, :, place : place + 1], self.value[:, :, place : place + 1] = k, v
            y = F.scaled_dot_product_attention(q, self.key[:, :, : place + 1], self.value[:, :, : place + 1])
        x = x + self.out(y.flatten(1))
        return x + self.mlp(self.mlp_norm(x))


class Generator(nn.Module):
    """`Transformer` with rotary positions, one token at a time."""

    def __init__(self, network: Transformer, params: Any, rows: int, length: int, compiled: bool):
        super().__init__()
        self.token, self.norm = embedding(params["token"]), RMSNorm(params["final_norm"])
        self.head = Linear(params["head"])
        how = network.heads, rows, length, compiled
        self.blocks = nn.ModuleList(Cached(params[f"block_{number}"], *how) for number in range(network.blocks))
        half = network.width // network.heads // 2
        self.register_buffer("rates", 10_000.0 ** (-torch.arange(half) / half))

    def forward(self, token, place):
        """Logits [B, V] of what follows `token` [B]."""
        angle = place * self.rates
        cos, sin = angle.cos(), angle.sin()

        def turn(x):
            x1, x2 = x.chunk(2, dim=-1)
            return torch.cat([x1 * cos - x2 * sin, x2 * cos + x1 * sin], dim=-1)

        x = self.token(token)
        for block in self.blocks:
            x = block(x, place, turn)
        return self.head(self.norm(x))


def generate(step, first: torch.Tensor, length: int, compiled: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The likeliest token after each, [B, length], and its log-probability, nats."""
    token, tokens, log_probs = first, [], []
    for number in range(length):
        place = torch.tensor([number]) if compiled else number
        best, token = step(token, place).log_softmax(-1).max(-1)
        tokens.append(token)
        log_probs.append(best)
    return torch.stack(tokens, 1), torch.stack(log_probs, 1)
