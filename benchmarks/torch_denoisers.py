"""The diffusion transformer and the U-Net in PyTorch under EDM's preconditioning, their weights copied from ours."""
# SPDX-License-Identifier: Apache-2.0

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch_layers import Linear, tensor

from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.families.diffusion.task import Diffusion
from jaxgen.families.diffusion.unet import UNet
from jaxgen.nn.precision import Precision

_FREQUENCIES = 16


def one_hot(classes: np.ndarray) -> torch.Tensor:
    """[N, 11]: one of ten classes, not hidden."""
    return F.one_hot(tensor(classes).long(), 11).float()


class Conv(nn.Conv2d):
    """A 3x3 convolution's copy, channels last in memory as oneDNN wants them."""

    def __init__(self, params):
        super().__init__(*params["kernel"].shape[2:], 3, padding=1)
        weight = tensor(params["kernel"].transpose(3, 2, 0, 1))
        self.weight.data = weight.contiguous(memory_format=torch.channels_last)
        self.bias.data = tensor(params["bias"])


class GroupNorm(nn.GroupNorm):
    """A norm over groups, copied."""

    def __init__(self, params):
        features = len(params["scale"])
        super().__init__(math.gcd(features, max(1, min(32, features // 4))), features, eps=1e-6)
        self.weight.data, self.bias.data = tensor(params["scale"]), tensor(params["bias"])


class Noise(nn.Module):
    """Of c_noise [B] and a class's one-hot vector with its flag [B, classes + 1], what the blocks are told."""

    def __init__(self, params):
        super().__init__()
        self.noise_in, self.noise_out = Linear(params["noise_in"]), Linear(params["noise_out"])
        self.condition = Linear(params["condition"])
        self.register_buffer("rates", 64.0 ** (torch.arange(_FREQUENCIES) / (_FREQUENCIES - 1)))

    def forward(self, c_noise, given):
        angle = c_noise[:, None] * self.rates
        told = self.noise_in(torch.cat([angle.sin(), angle.cos()], dim=1))
        return F.silu(self.noise_out(F.silu(told)) + self.condition(given))


class Attention(nn.Module):
    """Self-attention over [B, T, D]."""

    def __init__(self, params, heads: int):
        super().__init__()
        self.heads, self.inside, self.out = heads, Linear(params["query_key_value"]), Linear(params["out"])

    def forward(self, x):
        size, length, width = x.shape
        q, k, v = self.inside(x).view(size, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).reshape(size, length, width))


class TransformerBlock(nn.Module):
    """A block of the diffusion transformer."""

    def __init__(self, params, heads: int):
        super().__init__()
        self.modulation = Linear(params["modulation"])
        self.attention = Attention(params["attention"], heads)
        self.mlp_in, self.mlp_out = Linear(params["mlp"]["in"]), Linear(params["mlp"]["out"])

    def forward(self, x, condition):
        shift, scale, gate, shift_2, scale_2, gate_2 = self.modulation(condition)[:, None].chunk(6, dim=-1)
        x = x + gate * self.attention(normed(x) * (1 + scale) + shift)
        inside = F.gelu(self.mlp_in(normed(x) * (1 + scale_2) + shift_2), approximate="tanh")
        return x + gate_2 * self.mlp_out(inside)


def normed(x):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


class Transformer(nn.Module):
    """`DiffusionTransformer` with one output a channel; pictures are [B, C, H, W]."""

    def __init__(self, network: DiffusionTransformer, params):
        super().__init__()
        self.patch, self.noise, self.within = network.patch, Noise(params), Linear(params["from_patch"])
        self.position = nn.Parameter(tensor(params["position"]))
        names = [f"block_{number}" for number in range(network.blocks)]
        self.blocks = nn.ModuleList(TransformerBlock(params[name], network.heads) for name in names)
        self.modulation, self.out = Linear(params["final"]["modulation"]), Linear(params["final"]["out"])

    def forward(self, x, c_noise, given):
        (size, channels, height, width), p = x.shape, self.patch
        cut = x.view(size, channels, height // p, p, width // p, p).permute(0, 2, 4, 3, 5, 1)
        condition = self.noise(c_noise, given)
        tokens = self.within(cut.reshape(size, -1, p * p * channels)) + self.position
        for block in self.blocks:
            tokens = block(tokens, condition)
        shift, scale = self.modulation(condition)[:, None].chunk(2, dim=-1)
        out = self.out(normed(tokens) * (1 + scale) + shift)
        out = out.view(size, height // p, width // p, p, p, channels).permute(0, 5, 1, 3, 2, 4)
        return out.reshape(size, channels, height, width)


class ResidualBlock(nn.Module):
    """A block of the U-Net."""

    def __init__(self, params, heads: int, scale: float):
        super().__init__()
        self.scale, self.norm_in, self.norm_out = scale, GroupNorm(params["norm_in"]), GroupNorm(params["norm_out"])
        self.conv_in, self.conv_out = Conv(params["conv_in"]), Conv(params["conv_out"])
        self.modulation = Linear(params["modulation"])
        self.skip = Linear(params["skip"]) if "skip" in params else None
        self.attention = Attention(params["attention"], heads) if heads else None
        self.norm_attention = GroupNorm(params["norm_attention"]) if heads else None

    def forward(self, x, condition):
        h = self.conv_in(self._resized(F.silu(self.norm_in(x))))
        shift, gain = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)
        h = self.conv_out(F.silu(self.norm_out(h) * (1 + gain) + shift))
        skip = self._resized(x)
        if self.skip is not None:
            skip = self.skip(skip.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        h = (skip + h) * math.sqrt(0.5)
        if self.attention is None:
            return h
        tokens = self.norm_attention(h).flatten(2).transpose(1, 2)
        return (h + self.attention(tokens).transpose(1, 2).view(h.shape)) * math.sqrt(0.5)

    def _resized(self, x):
        if self.scale == 2:
            return F.interpolate(x, scale_factor=2, mode="nearest")
        return F.avg_pool2d(x, 2) if self.scale == 0.5 else x


class Unet(nn.Module):
    """`UNet` of patch 1 with norms over groups and one output a channel; pictures are [B, C, H, W]."""

    def __init__(self, network: UNet, params):
        super().__init__()
        self.levels, self.per_level = len(network.widths), network.blocks
        self.noise, self.first, self.last = Noise(params), Conv(params["in"]), Conv(params["out"])
        self.norm = GroupNorm(params["norm"])
        self.blocks = nn.ModuleDict()
        for name in (name for name in params if name.startswith(("down_", "up_", "middle_"))):
            heads = network.heads if "attention" in params[name] else 0
            level_changes = {"down": 0.5, "up": 2}.get(name.split("_")[0], 1) if name.count("_") == 1 else 1
            scale = 1 if name.startswith("middle") else level_changes
            self.blocks[name] = ResidualBlock(params[name], heads, scale)

    def forward(self, x, c_noise, given):
        condition = self.noise(c_noise, given)
        h = self.first(x.contiguous(memory_format=torch.channels_last))
        skips = [h]
        for level in range(self.levels):
            names = [f"down_{level}"] * (level > 0) + [f"down_{level}_{n}" for n in range(self.per_level)]
            for name in names:
                h = self.blocks[name](h, condition)
                skips.append(h)
        for name in ("middle_0", "middle_1"):
            h = self.blocks[name](h, condition)
        for level in reversed(range(self.levels)):
            for number in range(self.per_level + 1):
                h = self.blocks[f"up_{level}_{number}"](torch.cat([h, skips.pop()], dim=1), condition)
            if level:
                h = self.blocks[f"up_{level}"](h, condition)
        return self.last(F.silu(self.norm(h)))


class Denoiser(nn.Module):
    """D(x, σ) under EDM's preconditioning (table 1, arXiv 2206.00364); of bfloat16 the network runs under autocast."""

    def __init__(self, task: Diffusion, params):
        super().__init__()
        self.half = task.network.precision is Precision.BFLOAT16
        kind = Unet if isinstance(task.network, UNet) else Transformer
        self.network, self.sigma_data = kind(task.network, params), task.sigma_data

    def forward(self, x, σ, given):
        total = σ**2 + self.sigma_data**2
        c_in, c_skip, c_out = total.rsqrt(), self.sigma_data**2 / total, σ * self.sigma_data * total.rsqrt()
        spread = (slice(None), None, None, None)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            predicted = self.network(c_in[spread] * x, σ.log() / 4, given).float()
        return c_skip[spread] * x + c_out[spread] * predicted


def heun(denoise, x, sigmas: list[float], given):
    """Algorithm 1 of arXiv 2206.00364 along `sigmas`, which end above 0: 2 N - 1 evaluations."""
    ones = torch.ones(len(x))
    for σ, σ_next in zip(sigmas, [*sigmas[1:], 0.0], strict=True):
        slope = (x - denoise(x, σ * ones, given)) / σ
        moved = x + (σ_next - σ) * slope
        if σ_next:
            slope = (slope + (moved - denoise(moved, σ_next * ones, given)) / σ_next) / 2
            moved = x + (σ_next - σ) * slope
        x = moved
    return x


class Training:
    """Steps of EDM's training on pictures [N, C, H, W] in [-1, 1]: AdamW, clipping and the exponential average."""

    def __init__(self, model: Denoiser, pictures: torch.Tensor, given: torch.Tensor, task: Diffusion, optimiser, ema):
        self._model, self._task, self._adam, self._ema = model, task, optimiser, ema
        self._pictures, self._given = pictures, given
        self._params = list(model.parameters())
        self._slow = [leaf.detach().clone() for leaf in self._params]
        options = {"betas": (optimiser.b1, optimiser.b2), "eps": optimiser.eps, "weight_decay": 0.0}
        self._optimiser = torch.optim.AdamW(self._params, lr=1e-5, fused=True, **options)

    def loss(self, x, σ, noise, given):
        """The mean of λ(σ) |x - D|² (eq. 8)."""
        noisy = x + σ[:, None, None, None] * noise
        error = ((x - self._model(noisy, σ, given)) ** 2).mean(dim=(1, 2, 3))
        return ((σ**2 + self._task.sigma_data**2) / (σ * self._task.sigma_data) ** 2 * error).mean()

    def step(self, size: int) -> None:
        rows = torch.randint(len(self._pictures), (size,))
        x, given = self._pictures[rows], self._given[rows]
        σ = (self._task.noise.mean + self._task.noise.std * torch.randn(size)).exp()
        self.loss(x, σ, torch.randn_like(x), given).backward()
        nn.utils.clip_grad_norm_(self._params, self._adam.clip)
        self._optimiser.step()
        self._optimiser.zero_grad()
        with torch.no_grad():
            torch._foreach_lerp_(self._slow, self._params, 1.0 - 0.5 ** (size / self._ema.half_life))
