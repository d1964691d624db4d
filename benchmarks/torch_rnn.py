"""The RNN written plainly in PyTorch, its weights copied from ours."""
# SPDX-License-Identifier: Apache-2.0

import torch
from torch import nn
from torch_layers import Linear, embedding, tensor
from torch_training import Steps
from training import begun

from jaxgen.running.assembly import Assembly


class Network(nn.Module):
    """`RecurrentNetwork` with an LSTM layer, a hidden layer before the logits and no dropout; its weights copied."""

    def __init__(self, network, params):
        super().__init__()
        self.token_shifts, self.start = network.token_shifts, network.vocabulary
        tables = [params[f"token_{back}"] for back in network.token_shifts]
        self.tokens = nn.ModuleList([embedding(table) for table in tables])
        self.label = embedding({"embedding": params["condition"]["kernel"]})  # a class's row of the one-hot product
        self.position = embedding(params["position"])
        layer = params["layer_0"]
        self.lstm = nn.LSTM(network.embedding, network.width, batch_first=True)
        copies = (("weight_ih_l0", "kernel"), ("weight_hh_l0", "recurrent"), ("bias_ih_l0", "bias"))
        for own, other in copies:
            getattr(self.lstm, own).data = tensor(layer[other].T)
        self.lstm.bias_hh_l0.data.zero_()
        self.lstm.bias_hh_l0.requires_grad_(False)  # PyTorch has two biases, one of them too many
        self.hidden, self.head = Linear(params["hidden"]), Linear(params["head"])

    def forward(self, tokens, label):
        """The sum of -log p, nats, of `tokens` [B, T] under `label` [B], and how many tokens these are."""
        length, furthest = tokens.shape[1], max(self.token_shifts)
        past = nn.functional.pad(tokens, (furthest, 0), value=self.start)
        shown = self.label(label)[:, None] + self.position.weight
        for back, table in zip(self.token_shifts, self.tokens, strict=True):
            shown = shown + table(past[:, furthest - back : furthest - back + length])
        states, _ = self.lstm(shown)
        hidden = torch.relu(self.hidden(torch.cat([states, shown], dim=-1)))
        logits = self.head(hidden).flatten(0, 1).float()
        return nn.functional.cross_entropy(logits, tokens.flatten(), reduction="sum"), tokens.numel()


def steps(assembly: Assembly, compiled: bool, precision: str) -> Steps:
    """Of the pictures' levels as tokens, and their classes."""
    arrays = assembly.source.arrays
    levels, classes = (tensor(array).long() for array in (arrays["made"]["value"], arrays["given"]["class"]["value"]))
    network = Network(assembly.task.network, begun(assembly).params)
    return Steps(assembly, network, (levels.flatten(1), classes), compiled, precision)
