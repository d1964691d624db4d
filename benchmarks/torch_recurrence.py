"""PyTorch's side of benchmarks/recurrence.py: its LSTM, its packed GRU and a minGRU in log space, weights copied."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import torch
from pytorch import First, Step
from torch import nn
from torch.nn import functional
from torch_layers import tensor


def fill(layer: nn.LSTM | nn.GRU, params, suffix: str = "l0") -> None:
    """Our packed parameters in PyTorch's: its gates have our order; of its two biases the inner one is the GRU's."""
    width = layer.hidden_size
    for own, other in ((f"weight_ih_{suffix}", "kernel"), (f"weight_hh_{suffix}", "recurrent")):
        getattr(layer, own).data = tensor(params[other].T).contiguous()
    getattr(layer, f"bias_ih_{suffix}").data = tensor(params["bias"])
    inner = getattr(layer, f"bias_hh_{suffix}")
    inner.data.zero_()
    if "inner_bias" in params:
        inner.data[2 * width :] = tensor(params["inner_bias"])
    else:
        inner.requires_grad_(False)  # one too many


def lstm_layer(params, x, weight, compiled: bool) -> tuple[Step, First]:
    """The layer forward and backward, to its input too, of the sum of `weight` times the outputs."""
    layer = nn.LSTM(x.shape[-1], weight.shape[-1], batch_first=True)
    fill(layer, params)
    given, weighs = tensor(x).requires_grad_(), tensor(weight)
    run = torch.compile(layer) if compiled else layer

    def step():
        given.grad = None
        layer.zero_grad()
        loss = (run(given)[0] * weighs).sum()
        loss.backward()
        return loss

    def first():
        loss = step()
        return {
            "loss": float(loss.detach()),
            "gradient of the input": given.grad.numpy(),
            "gradient of the recurrent matrix": layer.weight_hh_l0.grad.numpy().T,
        }

    return step, first


class LanguageModel(nn.Module):
    """Embeddings, LSTM layers, and logits by the embeddings' own table."""

    def __init__(self, params, layers: int):
        super().__init__()
        table = tensor(params["table"]["embedding"])
        self.table = nn.Parameter(table)
        self.layers = nn.LSTM(table.shape[1], table.shape[1], num_layers=layers, batch_first=True)
        for number in range(layers):
            fill(self.layers, params[f"layer_{number}"], f"l{number}")

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        states, _ = self.layers(functional.embedding(tokens[:, :-1], self.table))
        logits = states.flatten(0, 1) @ self.table.T
        return functional.cross_entropy(logits, tokens[:, 1:].flatten())


def language_model(
    params, layers: int, tokens, rate: float, clip: float, later: int, compiled: bool
) -> tuple[Step, First]:
    """Training steps by clipped gradient descent."""
    network, shown = LanguageModel(params, layers), tensor(tokens).long()
    leaves = [leaf for leaf in network.parameters() if leaf.requires_grad]
    descent = torch.optim.SGD(leaves, rate)
    run = torch.compile(network) if compiled else network

    def step():
        descent.zero_grad()
        loss = run(shown)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(leaves, clip)
        descent.step()
        return loss.detach(), norm

    def first():
        (loss, norm), *others = (step() for _ in range(1 + later))
        return {"loss": float(loss), "norm": float(norm), "later": np.array([float(one) for one, _ in others])}

    return step, first


class Attentive(nn.Module):
    """A bidirectional GRU over packed rows, a GRU over the target, and attention from the one to the other."""

    def __init__(self, params, size: int, width: int):
        super().__init__()
        self.encoder = nn.GRU(size, width, batch_first=True, bidirectional=True)
        fill(self.encoder, params["encoder"]["forward"], "l0")
        fill(self.encoder, params["encoder"]["backward"], "l0_reverse")
        self.decoder = nn.GRU(size, 2 * width, batch_first=True)
        fill(self.decoder, params["decoder"])

    def forward(self, given, lengths, target, outside):
        packed = nn.utils.rnn.pack_padded_sequence(given, lengths, batch_first=True, enforce_sorted=False)
        encoded, _ = nn.utils.rnn.pad_packed_sequence(self.encoder(packed)[0], batch_first=True)
        encoded = functional.pad(encoded, (0, 0, 0, given.shape[1] - encoded.shape[1]))
        asked, _ = self.decoder(target)
        scores = (asked @ encoded.transpose(1, 2)) / asked.shape[-1] ** 0.5
        return torch.softmax(scores.masked_fill(outside, -torch.inf), dim=-1) @ encoded


def attentive(params, given, mask, target, weight, compiled: bool) -> tuple[Step, First]:
    """Forward and backward, the packing included."""
    network = Attentive(params, given.shape[-1], weight.shape[-1] // 2)
    shown, aimed, weighs = tensor(given).requires_grad_(), tensor(target).requires_grad_(), tensor(weight)
    lengths, outside = tensor(mask.sum(axis=1)).long(), ~tensor(mask)[:, None]
    run = torch.compile(network) if compiled else network

    def step():
        shown.grad = aimed.grad = None
        network.zero_grad()
        loss = (run(shown, lengths, aimed, outside) * weighs).sum()
        loss.backward()
        return loss

    def first():
        loss = float(step().detach())
        recurrent = network.encoder.weight_hh_l0_reverse.grad.numpy().T
        return {"loss": loss, "gradient of the given": shown.grad.numpy(), "gradient of a matrix": recurrent}

    return step, first


def min_gru(params, x, weight, compiled: bool) -> tuple[Step, First]:
    """The layer in log space, as its paper has it (arXiv 2410.01201, appendix B), from a state of zeros."""
    kernel, bias = tensor(params["kernel"]).requires_grad_(), tensor(params["bias"]).requires_grad_()
    given, weighs = tensor(x).requires_grad_(), tensor(weight)

    def layer(given):
        update, candidate = (given @ kernel + bias).chunk(2, dim=-1)
        log_g = torch.where(candidate >= 0, torch.log(torch.relu(candidate) + 0.5), -functional.softplus(-candidate))
        decays = torch.cumsum(-functional.softplus(update), dim=1)
        sums = torch.logcumsumexp(log_g - functional.softplus(-update) - decays, dim=1)
        return torch.exp(decays + sums)

    run = torch.compile(layer) if compiled else layer

    def step():
        given.grad = kernel.grad = bias.grad = None
        loss = (run(given) * weighs).sum()
        loss.backward()
        return loss

    def first():
        loss = float(step().detach())
        return {"loss": loss, "gradient of the input": given.grad.numpy(), "gradient of the kernel": kernel.grad}

    return step, first
