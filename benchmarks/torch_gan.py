"""The GAN's two players in PyTorch, their weights copied from ours, and full steps of the game with both penalties."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch_denoisers import Conv, one_hot
from torch_layers import Linear, tensor

from jaxgen.families.gan.task import Gan

_SLOPE = 0.2


def activated(x):
    return F.leaky_relu(x, _SLOPE)


class Pointwise(nn.Conv2d):
    """A dense layer over the channels of [B, C, H, W], copied."""

    def __init__(self, params: Any):
        kernel = params["kernel"]
        super().__init__(*kernel.shape, 1, bias="bias" in params)
        self.weight.data = tensor(kernel.T[:, :, None, None]).contiguous(memory_format=torch.channels_last)
        if "bias" in params:
            self.bias.data = tensor(params["bias"])


class Block(nn.Module):
    """A residual block of a trunk or of a stage."""

    def __init__(self, params: Any):
        super().__init__()
        self.stage = "Conv_0" in params
        layer = Pointwise if self.stage else Linear
        self.first, self.last = layer(params["Dense_0"]), layer(params["Dense_1"])
        if self.stage:
            self.conv = Conv(params["Conv_0"])

    def forward(self, x):
        hidden = activated(self.first(x))
        return x + self.last(activated(self.conv(hidden)) if self.stage else hidden)


def _blocks(params: Any) -> nn.ModuleList:
    count = sum(name.startswith("Block_") for name in params)
    return nn.ModuleList(Block(params[f"Block_{number}"]) for number in range(count))


class Generator(nn.Module):
    """Latent [B, Z] and one-hot classes to pictures [B, C, H, W]; a trunk of one block, then a block a stage."""

    def __init__(self, params: Any, stages: int):
        super().__init__()
        self.condition = nn.Parameter(tensor(params["condition"]["kernel"]))
        self.within, self.to_first = Linear(params["from_latent"]), Linear(params["to_stage_0"])
        self.ways = nn.ModuleList(Pointwise(params[f"to_stage_{stage}"]) for stage in range(1, stages))
        self.blocks, self.out = _blocks(params), Pointwise(params["to_picture"])

    def forward(self, z, given):
        trunk, first, *others = self.blocks
        x = self.to_first(trunk(self.within(torch.cat([z, given @ self.condition], dim=1))))
        x = x.view(len(x), 4, 4, -1).permute(0, 3, 1, 2)  # channels last in memory
        x = first(x)
        for way, block in zip(self.ways, others, strict=True):
            x = block(F.interpolate(way(x), scale_factor=2, mode="bilinear"))
        return self.out(x)


class Discriminator(nn.Module):
    """Pictures [B, C, H, W] and one-hot classes to outputs [B]."""

    def __init__(self, params: Any, stages: int):
        super().__init__()
        self.condition = nn.Parameter(tensor(params["condition"]["kernel"]))
        self.ways = nn.ModuleList(Pointwise(params[f"Dense_{stage}"]) for stage in range(stages))
        self.blocks, self.within = _blocks(params), Linear(params["from_picture"])
        self.features = Linear(params["to_features"])

    def forward(self, x, given):
        *stages, trunk = self.blocks
        for number, (way, block) in enumerate(zip(self.ways, stages, strict=True)):
            if number:
                x = F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True)
            x = block(way(x))
        features = self.features(trunk(self.within(x.permute(0, 2, 3, 1).flatten(1))))
        return (features * (given @ self.condition)).sum(dim=1) / features.shape[1] ** 0.5


def rounded(x):
    """Levels of 256 in [-1, 1], with the gradient of a clip."""
    clipped = x.clamp(-1 - 1 / 255, 1 + 1 / 255)
    levels = ((x.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1
    return clipped + (levels - clipped).detach()


def noisy(x):
    return x + (torch.rand_like(x) - 0.5) * (2 / 255)


class Players:
    """Both players, their optimisers and the average of all weights."""

    def __init__(self, task: Gan, params: Any, arrays: Any, batch: int):
        self._gamma, self._batch, self._latent = task.gamma, batch, task.generator.latent
        stages = len(task.generator.channels)
        self._generator = Generator(params["generator"], stages).to(memory_format=torch.channels_last)
        self._discriminator = Discriminator(params["discriminator"], stages).to(memory_format=torch.channels_last)
        pictures = tensor(arrays["made"]["value"]).permute(0, 3, 1, 2).float() / 127.5 - 1  # channels last in memory
        self._pictures, self._given = pictures, one_hot(arrays["given"]["class"]["value"])
        self._own = [list(player.parameters()) for player in (self._discriminator, self._generator)]
        self._every = [*self._own[0], *self._own[1]]
        self._slow = [leaf.detach().clone() for leaf in self._every]
        self._optimisers = [torch.optim.Adam(own, lr=1e-5, betas=(0.0, 0.99), fused=True) for own in self._own]

    def critic_loss(self, real, fake, given):
        """Of reals and fakes in one pass; both penalties by one gradient."""
        both = torch.cat([real, fake]).requires_grad_()
        outputs = self._discriminator(both, torch.cat([given, given]))
        (gradient,) = torch.autograd.grad(outputs.sum(), both, create_graph=True)
        squares = gradient.square().sum(dim=(1, 2, 3)).view(2, -1).sum(dim=0)
        real_output, fake_output = outputs.chunk(2)
        return (F.softplus(fake_output - real_output) + self._gamma / 2 * squares).mean()

    def maker_loss(self, real, fake, given):
        with torch.no_grad():
            real_output = self._discriminator(real, given)
        return F.softplus(real_output - self._discriminator(fake, given)).mean()

    def step(self) -> None:
        for turn, loss in enumerate((self.critic_loss, self.maker_loss)):
            rows = torch.randint(len(self._pictures), (self._batch,))
            given, latent = self._given[rows], torch.randn(self._batch, self._latent)
            with torch.set_grad_enabled(turn == 1):
                fake = noisy(rounded(self._generator(latent, given)))
            value = loss(noisy(self._pictures[rows]), fake, given)
            for leaf, gradient in zip(self._own[turn], torch.autograd.grad(value, self._own[turn]), strict=True):
                leaf.grad = gradient
            self._optimisers[turn].step()
        with torch.no_grad():
            torch._foreach_lerp_(self._slow, self._every, 1.0 - 0.5 ** (self._batch / 50_000))

    def first(self, fixed: Any) -> dict:
        """What is compared, and one step."""
        real, given, latent = tensor(fixed.real.transpose(0, 3, 1, 2)), one_hot(fixed.classes), tensor(fixed.latent)
        fake, results = rounded(self._generator(latent, given)), {}
        losses = {"discriminator": self.critic_loss(real, fake.detach(), given)}
        losses["generator"] = self.maker_loss(real, fake, given)
        for (player, value), own in zip(losses.items(), self._own, strict=True):
            norm = torch.nn.utils.get_total_norm(torch.autograd.grad(value, own))
            results |= {f"{player} loss": float(value.detach()), f"{player} gradient norm": float(norm)}
        self.step()
        return results
