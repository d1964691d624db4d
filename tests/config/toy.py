"""A small family for the tests of config, loaded as `jaxgen.families.toy` so that the allow-list knows its classes."""
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import dataclasses
import enum
import os
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.atomic_write import write_whole  # noqa: F401  (a foreign function for the adversarial documents to ask for)
from jaxgen.errors import UserError

# What a module imports is not its own: the adversarial documents ask for these by this module's name.
remove, system, Dense, Partitioned, Precision = os.remove, os.system, nn.Dense, nn.Partitioned, jax.lax.Precision


class Cell(enum.Enum):
    LSTM = "long short-term memory"
    GRU = "gated"


class Norm(enum.IntEnum):
    NONE = 0
    LAYER = 1


@dataclasses.dataclass(frozen=True)
class Adam:
    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    decay: float | None = None


@dataclasses.dataclass(frozen=True)
class Sgd:
    rate: float
    nesterov: bool = False


@dataclasses.dataclass(frozen=True)
class Constant:
    pass


Alias = Adam


class Network(nn.Module):
    width: int = 64
    heads: int = 4
    cell: Cell = Cell.LSTM
    norm: Norm = Norm.LAYER
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    dtype: Any = jnp.float32
    param_dtype: nn.dtypes.Dtype = jnp.float32
    accumulate: np.dtype | None = None
    widths: tuple[int, ...] = (64, 64)
    kernel: int | Sequence[int] = 3
    head: nn.Module | None = None
    scale: nn.LayerNorm | nn.RMSNorm | None = None
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros

    def __post_init__(self):
        if self.width % self.heads:
            raise ValueError("heads must divide width")
        super().__post_init__()


@dataclasses.dataclass(frozen=True)
class Task:
    network: nn.Module
    weight: float = 1.0
    schedule: Adam | Sgd | Constant = Constant()
    notes: dict[str, str] = dataclasses.field(default_factory=dict)
    anything: Any = None

    def __post_init__(self):
        if isinstance(self.weight, float) and self.weight < 0:
            raise UserError("weight must not be negative")


@dataclasses.dataclass(frozen=True)
class Experiment:
    task: Task
    optimisers: dict[str, Adam | Sgd]
    steps: int = 1000
    seeds: tuple[int, int] = (0, 1)
    hooks: tuple[Adam, ...] = ()
    average: Adam | None = None
    name: str = "toy"
    title: str | None = None
    derived: int = dataclasses.field(init=False, default=7)


@dataclasses.dataclass(frozen=True)
class _Private:
    pass


@dataclasses.dataclass(frozen=True)
class Outer:
    @dataclasses.dataclass(frozen=True)
    class Inner:
        pass


class Plain:
    """No dataclass: nothing that a document may build."""


def double(x):
    return 2 * x


def _hidden(x):
    return x


@jax.jit
def triple(x):
    return 3 * x


half = lambda x: x / 2  # noqa: E731
