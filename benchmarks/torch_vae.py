"""The dense VAE in PyTorch, its weights copied from ours, and its training steps on pictures that it binarises."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import numpy as np
import torch
from pytorch import First, Step
from torch import nn
from torch.nn import functional as F
from torch_layers import Linear, tensor


class DenseVae(nn.Module):
    """784-500-20 with ReLU and Bernoulli pixels; pictures and noise to the bound [B]."""

    def __init__(self, params: Any):
        super().__init__()
        encoder, decoder = params["encoder"], params["decoder"]
        self.encoder = Linear(encoder["hidden_0"]["dense_0"])
        self.posterior = Linear(encoder["posterior_0"])
        self.decoder = Linear(decoder["hidden_0"]["dense_0"])
        self.likelihood = Linear(decoder["likelihood"])

    def forward(self, ink: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        mean, log_std = self.posterior(F.relu(self.encoder(ink))).chunk(2, dim=-1)
        z = mean + log_std.exp() * noise
        logits = self.likelihood(F.relu(self.decoder(z)))
        kl = 0.5 * (mean**2 + (2 * log_std).exp() - 1) - log_std
        return kl.sum(dim=-1) + F.binary_cross_entropy_with_logits(logits, ink, reduction="none").sum(dim=-1)


def training(params: Any, pictures: np.ndarray, fixed: Any, batch: int, compiled: bool) -> tuple[Step, First]:
    """A step on pictures drawn at random, and its beginning, which compares loss and gradient."""
    model, grey = DenseVae(params), tensor(pictures.reshape(len(pictures), -1))
    if compiled:
        model.compile()
    leaves = list(model.parameters())
    optimiser = torch.optim.Adam(leaves, lr=1e-3, fused=True)

    def step() -> None:
        ink = torch.bernoulli(grey[torch.randint(len(grey), (batch,))].float() / 255)
        model(ink, torch.randn(batch, fixed.noise.shape[1])).mean().backward()
        optimiser.step()
        optimiser.zero_grad()

    def first() -> dict:
        loss = model(tensor(fixed.value.reshape(batch, -1)).float(), tensor(fixed.noise)).mean()
        loss.backward()
        norm = torch.nn.utils.get_total_norm([leaf.grad for leaf in leaves])
        model.zero_grad()
        step()
        return {"loss": float(loss.detach()), "gradient norm": float(norm)}

    return step, first
