"""Layers in PyTorch whose weights are copied from ours."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import numpy as np
import torch
from torch import nn


def tensor(array: Any) -> torch.Tensor:
    """A copy."""
    return torch.from_numpy(np.array(array))


class Linear(nn.Linear):
    """A Dense layer's copy."""

    def __init__(self, params: Any):
        super().__init__(*params["kernel"].shape, bias="bias" in params)
        self.weight.data = tensor(params["kernel"].T).contiguous()
        if "bias" in params:
            self.bias.data = tensor(params["bias"])


class RMSNorm(nn.RMSNorm):
    """A copy of Flax's."""

    def __init__(self, params: Any):
        super().__init__(len(params["scale"]), eps=1e-6)
        self.weight.data = tensor(params["scale"])


def embedding(params: Any) -> nn.Embedding:
    """A table's copy."""
    return nn.Embedding.from_pretrained(tensor(params["embedding"]), freeze=False)
