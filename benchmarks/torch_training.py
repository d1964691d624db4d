"""An experiment's training steps in PyTorch: the same batches, optimiser, schedule and average as ours."""
# SPDX-License-Identifier: Apache-2.0

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn

from jaxgen.ops.permutation import epoch_positions
from jaxgen.running.assembly import Assembly
from jaxgen.timing.timed_run import COMPARED
from jaxgen.training.groups import DecayOn
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import rate_of

BATCHES = 1000  # whose row numbers are made before the clock runs


class Steps:
    """The training steps of an assembly's experiment, which has resident examples and AdamW.

    `network` gives of a batch's arrays, rows of `examples`, the sum of their nats and how many tokens these are of. In
    bfloat16 it runs under autocast, and parameters and optimiser are float32, as ours are.
    """

    def __init__(
        self,
        assembly: Assembly,
        network: nn.Module,
        examples: tuple[torch.Tensor, ...],
        compiled: bool,
        precision: str = "float32",
    ):
        half = precision == "bfloat16"
        self._cast = (lambda: torch.autocast("cpu", torch.bfloat16)) if half else contextlib.nullcontext
        self._network = torch.compile(network) if compiled else network
        self._examples, self._number = examples, 0
        self._params = [leaf for leaf in network.parameters() if leaf.requires_grad]
        self._slow = [leaf.detach().clone() for leaf in self._params]
        self._averages = tuple(assembly.experiment.averages.values())
        (adam,) = assembly.experiment.optimisers.values()
        self._optimiser, self._clip = _optimiser(adam, network), adam.clip
        self._rates = _rates(adam, assembly.experiment.steps)
        self._rows = _rows(assembly, len(examples[0]))

    def step(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The sum of nats, the tokens that it is of, and the norm of their mean's gradient before it is clipped."""
        now = self._number % BATCHES
        rows = self._rows[now]
        with self._cast():
            nats, count = self._network(*(array[rows] for array in self._examples))
        (nats / count).backward()
        norm = nn.utils.clip_grad_norm_(self._params, self._clip)
        for group in self._optimiser.param_groups:
            group["lr"] = self._rates[now]
        self._optimiser.step()
        self._optimiser.zero_grad()
        self._number += 1
        self._average(len(rows))
        return nats.detach(), count, norm

    def _average(self, size: int) -> None:
        for average in self._averages:
            half_life = min(average.half_life, average.ramp * self._number * size)
            with torch.no_grad():
                torch._foreach_lerp_(self._slow, self._params, 1.0 - 0.5 ** (size / half_life))

    def results(self) -> dict[str, float]:
        """As `Training.results`."""
        (nats, count, norm), *later = (self.step() for _ in range(1 + COMPARED))
        totals = [sum(float(one[place]) for one in later) for place in (0, 1)]
        return {
            "loss in the first step": float(nats) / float(count),
            "gradient_norm in the first step": float(norm),
            f"loss in the {COMPARED} steps after it": totals[0] / totals[1],
        }


def _optimiser(adam: AdamW, network: nn.Module) -> torch.optim.AdamW:
    """Decay acts on all that moves, or on matrices and no table alone, as the experiment has it."""
    tables = {id(one.weight) for one in network.modules() if isinstance(one, nn.Embedding)}
    groups: dict[float, list[nn.Parameter]] = {}
    for leaf in (leaf for leaf in network.parameters() if leaf.requires_grad):
        decays = adam.decay_on is DecayOn.ALL or (leaf.ndim > 1 and id(leaf) not in tables)
        groups.setdefault(adam.weight_decay if decays else 0.0, []).append(leaf)
    found = [{"params": leaves, "weight_decay": decay} for decay, leaves in groups.items()]
    return torch.optim.AdamW(found, lr=0.0, betas=(adam.b1, adam.b2), eps=adam.eps, fused=True)


def _rates(adam: AdamW, updates: int) -> list[float]:
    """Of each of BATCHES steps."""
    rate = rate_of(adam.learning_rate, updates)
    return np.asarray(rate(jnp.arange(BATCHES))).tolist() if callable(rate) else [rate] * BATCHES


def _rows(assembly: Assembly, size: int) -> torch.Tensor:
    """[BATCHES, B] which examples each batch holds."""
    batch, key = assembly.experiment.data.batch_size, assembly.init(assembly.key).source
    number = jnp.arange(BATCHES)
    rows = jax.vmap(lambda n: epoch_positions(key, n, jnp.arange(batch), batch, size))(number)
    return torch.from_numpy(np.array(rows)).long()
