"""The dense VAE in PyTorch, its weights copied from ours, and its training steps on pictures that it binarises."""
# SPDX-License-Identifier: Apache-2.0

import math
from typing import Any

import numpy as np
import torch
from pytorch import First, Step
from torch import nn
from torch.nn import functional as F
from torch_layers import Linear, tensor

from jaxgen.families.vae.dense import Activation, DenseEncoder
from jaxgen.nn.precision import Precision


class DenseVae(nn.Module):
    """One stochastic layer and Bernoulli pixels; pictures [B, N] and noise [B, K, Z] to the negative bound [B], nats.

    Of one sample the evidence bound with the divergence in closed form; of more the importance-weighted one (arXiv
    1509.00519, eq. 8). Layers of a `network` in bfloat16 run under autocast.
    """

    def __init__(self, params: Any, network: DenseEncoder):
        super().__init__()
        encoder, decoder = params["encoder"], params["decoder"]
        self.encoder, self.decoder = (_hidden(side["hidden_0"], network.activation) for side in (encoder, decoder))
        self.half = network.precision is Precision.BFLOAT16
        self.posterior, self.likelihood = Linear(encoder["posterior_0"]), Linear(decoder["likelihood"])

    def forward(self, ink: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        with self.cast():
            posterior = self.posterior(self.encoder(ink)).float()
        mean, log_std = posterior[:, None].chunk(2, dim=-1)
        z = mean + log_std.exp() * noise
        with self.cast():
            logits = self.likelihood(self.decoder(z)).float()
        each = F.binary_cross_entropy_with_logits(logits, ink[:, None].expand_as(logits), reduction="none")
        nats, samples = each.sum(dim=-1), noise.shape[1]  # [B, K]
        if samples == 1:
            kl = 0.5 * (mean**2 + (2 * log_std).exp() - 1) - log_std
            return (kl.sum(dim=-1) + nats)[:, 0]
        log_p, log_q = -0.5 * z**2, -0.5 * noise**2 - log_std  # but for the same constant
        return math.log(samples) - torch.logsumexp((log_p - log_q).sum(dim=-1) - nats, dim=1)

    def cast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.half)


def _hidden(params: Any, activation: Activation) -> nn.Sequential:
    kind = nn.Tanh if activation is Activation.TANH else nn.ReLU
    layers = (Linear(params[f"dense_{number}"]) for number in range(len(params)))
    return nn.Sequential(*(part for layer in layers for part in (layer, kind())))


def training(model: DenseVae, pictures: np.ndarray, fixed: Any, compiled: bool) -> tuple[Step, First]:
    """A step on pictures drawn at random, and its beginning, which compares loss and gradient."""
    grey = tensor(pictures.reshape(len(pictures), -1))
    if compiled:
        model.compile()
    leaves = list(model.parameters())
    optimiser = torch.optim.Adam(leaves, lr=1e-3, fused=True)

    def step() -> None:
        ink = torch.bernoulli(grey[torch.randint(len(grey), (fixed.batch,))].float() / 255)
        model(ink, torch.randn(fixed.noise.shape)).mean().backward()
        optimiser.step()
        optimiser.zero_grad()

    def first() -> dict:
        loss = model(tensor(fixed.value.reshape(fixed.batch, -1)).float(), tensor(fixed.noise)).mean()
        loss.backward()
        norm = torch.nn.utils.get_total_norm([leaf.grad for leaf in leaves])
        model.zero_grad()
        step()
        return {"loss": float(loss.detach()), "gradient norm": float(norm)}

    return step, first
