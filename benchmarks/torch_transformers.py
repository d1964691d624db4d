"""The decoder over text and the encoder with a decoder in PyTorch, their weights copied from ours."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch_layers import Linear, RMSNorm, embedding, tensor
from torch_training import Steps
from training import begun

from jaxgen.families.transformer.encoder_decoder import TransformerEncoderDecoder
from jaxgen.families.transformer.network import Transformer
from jaxgen.running.assembly import Assembly


class Rotary(nn.Module):
    """Queries or keys [B, H, T, D] turned by their places (arXiv 2104.09864): feature i is paired with i + D/2."""

    def __init__(self, features: int, length: int):
        super().__init__()
        half = features // 2
        angle = torch.arange(length)[:, None] * 10_000.0 ** (-torch.arange(half) / half)
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, x):
        (x1, x2), length = x.chunk(2, dim=-1), x.shape[2]
        cos, sin = self.cos[:length].to(x.dtype), self.sin[:length].to(x.dtype)
        return torch.cat([x1 * cos - x2 * sin, x2 * cos + x1 * sin], dim=-1)


class SelfAttention(nn.Module):
    """Over [B, T, E], causal, or to the places of a mask."""

    def __init__(self, params: Any, heads: int, turn: Rotary):
        super().__init__()
        self.heads, self.turn = heads, turn
        self.inside, self.out = Linear(params["query_key_value"]), Linear(params["out"])

    def forward(self, x, mask=None):
        """`mask` [B, 1, 1, T] is true for the places that may be seen; None: those up to one's own."""
        q, k, v = self.inside(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(self.turn(q), self.turn(k), v, mask, is_causal=mask is None)
        return self.out(y.transpose(1, 2).flatten(2))


class CrossAttention(nn.Module):
    """Of [B, T, E] to the encoder's places [B, S, E]."""

    def __init__(self, params: Any, heads: int):
        super().__init__()
        self.heads, self.query, self.out = heads, Linear(params["query"]), Linear(params["out"])
        self.key_value = Linear(params["key_value"])

    def forward(self, x, memory, mask):
        q = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = self.key_value(memory).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Self-attention, in a decoder of an encoder's places attention to these, and an MLP, each behind a norm."""

    def __init__(self, params: Any, heads: int, turn: Rotary):
        super().__init__()
        self.norm, self.attention = RMSNorm(params["attention_norm"]), SelfAttention(params["attention"], heads, turn)
        self.crosses = "cross" in params
        if self.crosses:
            self.cross_norm, self.cross = RMSNorm(params["cross_norm"]), CrossAttention(params["cross"], heads)
        self.mlp_norm, mlp = RMSNorm(params["mlp_norm"]), params["mlp"]
        self.mlp = nn.Sequential(Linear(mlp["in"]), nn.GELU("tanh"), Linear(mlp["out"]))

    def forward(self, x, mask=None, memory=None, of_memory=None):
        x = x + self.attention(self.norm(x), mask)
        if self.crosses:
            x = x + self.cross(self.cross_norm(x), memory, of_memory)
        return x + self.mlp(self.mlp_norm(x))


def _blocks(params: Any, name: str, heads: int, turn: Rotary) -> nn.ModuleList:
    count = sum(one.startswith(f"{name}_") and one.removeprefix(f"{name}_").isdecimal() for one in params)
    return nn.ModuleList(Block(params[f"{name}_{number}"], heads, turn) for number in range(count))


class Decoder(nn.Module):
    """`Transformer` over rows of a text."""

    def __init__(self, network: Transformer, params: Any, length: int):
        super().__init__()
        turn = Rotary(network.width // network.heads, length)
        self.token, self.blocks = embedding(params["token"]), _blocks(params, "block", network.heads, turn)
        self.norm, self.head = RMSNorm(params["final_norm"]), Linear(params["head"])

    def forward(self, tokens):
        """The nats of `tokens` [B, T+1] after their first, and how many tokens these are."""
        x = self.token(tokens[:, :-1])
        for block in self.blocks:
            x = block(x)
        targets = tokens[:, 1:].flatten()
        logits = self.head(self.norm(x)).flatten(0, 1).float()
        return F.cross_entropy(logits, targets, reduction="sum"), targets.numel()


class EncoderDecoder(nn.Module):
    """`TransformerEncoderDecoder` without dropout, and the smoothed loss."""

    def __init__(self, network: TransformerEncoderDecoder, params: Any, length: int, smoothing: float):
        super().__init__()
        turn, self.smoothing = Rotary(network.width // network.heads, length), smoothing
        self.source_token, self.token = embedding(params["source_token"]), embedding(params["token"])
        self.encoder = _blocks(params, "encoder_block", network.heads, turn)
        self.decoder = _blocks(params, "block", network.heads, turn)
        self.encoder_norm, self.norm = RMSNorm(params["encoder_norm"]), RMSNorm(params["final_norm"])
        self.head = Linear(params["head"])

    def forward(self, source, own, tokens, counts):
        """The nats of `tokens` [B, T+1] that `counts` [B, T] under `source` [B, S], `own` [B, S] of it; and their
        number."""
        own, memory, x = own[:, None, None], self.source_token(source), self.token(tokens[:, :-1])
        for block in self.encoder:
            memory = block(memory, own)
        memory = self.encoder_norm(memory)
        for block in self.decoder:
            x = block(x, None, memory, own)
        logits, targets = self.head(self.norm(x)).flatten(0, 1).float(), tokens[:, 1:].flatten()
        nats = F.cross_entropy(logits, targets, reduction="none", label_smoothing=self.smoothing)
        return (nats * counts.flatten()).sum(), counts.sum()


def steps(assembly: Assembly, compiled: bool, precision: str) -> Steps:
    """The training steps of a decoder over rows of a text, or of an encoder with a decoder over padded pairs."""
    task, arrays, params = assembly.task, assembly.source.arrays, begun(assembly).params
    made = arrays["made"]
    tokens = tensor(made["value"]).long()
    if isinstance(task.network, Transformer):
        network, examples = Decoder(task.network, params, task.length), (tokens,)
    else:
        (source,) = arrays["given"].values()
        network = EncoderDecoder(task.network, params, task.length, task.label_smoothing)
        examples = tensor(source["value"]).long(), tensor(source["mask"]), tokens, tensor(made["mask"])
    return Steps(assembly, network, examples, compiled, precision)
