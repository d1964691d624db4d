"""The RNN's training step written plainly in PyTorch: the same network, batches, optimiser, schedule and average."""
# SPDX-License-Identifier: Apache-2.0

import jax
import jax.numpy as jnp
import numpy as np
import torch
from pytorch import contestant
from torch import nn
from training import begun

from jaxgen.ops.permutation import epoch_positions
from jaxgen.running.assembly import Assembly
from jaxgen.timing.contest import Contestant
from jaxgen.timing.timed_run import COMPARED

BATCHES = 1000  # whose row numbers are made before the clock runs


class Network(nn.Module):
    """`RecurrentNetwork` with an LSTM layer, a hidden layer before the logits and no dropout; its weights copied."""

    def __init__(self, network, params):
        super().__init__()
        self.token_shifts, self.start = network.token_shifts, network.vocabulary
        tables = [params[f"token_{back}"] for back in network.token_shifts]
        self.tokens = nn.ModuleList([_embedding(table) for table in tables])
        self.label = _embedding({"embedding": params["condition"]["kernel"]})  # a class's row of the one-hot product
        self.position = _embedding(params["position"])
        layer = params["layer_0"]
        self.lstm = nn.LSTM(network.embedding, network.width, batch_first=True)
        copies = (("weight_ih_l0", "kernel"), ("weight_hh_l0", "recurrent"), ("bias_ih_l0", "bias"))
        for own, other in copies:
            getattr(self.lstm, own).data = _tensor(layer[other].T)
        self.lstm.bias_hh_l0.data.zero_()
        self.lstm.bias_hh_l0.requires_grad_(False)  # PyTorch has two biases, one of them too many
        self.hidden, self.head = _linear(params["hidden"]), _linear(params["head"])

    def forward(self, tokens, label):
        """The mean of -log p, nats, of `tokens` [B, T] under `label` [B]."""
        length, furthest = tokens.shape[1], max(self.token_shifts)
        past = nn.functional.pad(tokens, (furthest, 0), value=self.start)
        shown = self.label(label)[:, None] + self.position.weight
        for back, table in zip(self.token_shifts, self.tokens, strict=True):
            shown = shown + table(past[:, furthest - back : furthest - back + length])
        states, _ = self.lstm(shown)
        hidden = torch.relu(self.hidden(torch.cat([states, shown], dim=-1)))
        return nn.functional.cross_entropy(self.head(hidden).flatten(0, 1), tokens.flatten())


class Steps:
    """The training steps of an assembly's experiment."""

    def __init__(self, assembly: Assembly, compiled: bool):
        network = Network(assembly.task.network, begun(assembly).params)
        self._loss = torch.compile(network) if compiled else network
        self._params = [leaf for leaf in network.parameters() if leaf.requires_grad]
        self._slow = [leaf.detach().clone() for leaf in self._params]
        self._experiment = assembly.experiment
        adam = self._adam = assembly.experiment.optimisers["likelihood"]
        options = {"betas": (adam.b1, adam.b2), "eps": adam.eps, "weight_decay": adam.weight_decay}
        self._optimiser = torch.optim.AdamW(self._params, lr=0.0, fused=True, **options)
        self._rates = np.asarray(adam.learning_rate.build(assembly.experiment.steps)(jnp.arange(BATCHES))).tolist()
        arrays = assembly.source.arrays
        pictures, labels = arrays["made"]["value"], arrays["given"]["class"]["value"]
        self._tokens = torch.from_numpy(np.array(pictures)).long().flatten(1)
        self._labels = torch.from_numpy(np.array(labels)).long()
        self._rows, self._number = _rows(assembly, len(self._tokens)), 0

    def step(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss and the gradient's norm before it is clipped."""
        now = self._number % BATCHES
        rows = self._rows[now]
        loss = self._loss(self._tokens[rows], self._labels[rows])
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._params, self._adam.clip)
        self._optimiser.param_groups[0]["lr"] = self._rates[now]
        self._optimiser.step()
        self._optimiser.zero_grad()
        self._number += 1
        size, (average,) = len(rows), self._experiment.averages.values()
        half_life = min(average.half_life, average.ramp * self._number * size)
        with torch.no_grad():
            torch._foreach_lerp_(self._slow, self._params, 1.0 - 0.5 ** (size / half_life))
        return loss.detach(), norm

    def results(self) -> dict[str, float]:
        """As `Training.results`."""
        (first, norm), *later = (self.step() for _ in range(1 + COMPARED))
        return {
            "loss in the first step": float(first),
            "gradient_norm in the first step": float(norm),
            f"loss in the {COMPARED} steps after it": float(np.mean([float(loss) for loss, _ in later])),
        }


def contestants(assembly: Assembly, steps: int) -> list[Contestant]:
    """PyTorch run as it is written, on one core and on all, and compiled; the fastest of them is its best."""
    cores = torch.get_num_threads()
    ways = dict.fromkeys([(1, False), (cores, False), (cores, True)])
    return [_contestant(assembly, steps, threads, compiled) for threads, compiled in ways]


def _contestant(assembly: Assembly, steps: int, threads: int, compiled: bool) -> Contestant:
    def make():
        training = Steps(assembly, compiled)
        return training.step, training.results

    where = "1 thread" if threads == 1 else f"{threads} threads"
    name = f"PyTorch {torch.__version__}, {where}, {'compiled' if compiled else 'eager'}"
    return contestant(name, make, steps, threads, compiled)


def _rows(assembly: Assembly, size: int) -> torch.Tensor:
    """[BATCHES, B] which examples each batch holds."""
    batch, key = assembly.experiment.data.batch_size, assembly.init(assembly.key).source
    number = jnp.arange(BATCHES)
    rows = jax.vmap(lambda n: epoch_positions(key, n, jnp.arange(batch), batch, size))(number)
    return torch.from_numpy(np.array(rows)).long()


def _tensor(array) -> torch.Tensor:
    return torch.from_numpy(np.array(array))


def _embedding(params) -> nn.Embedding:
    return nn.Embedding.from_pretrained(_tensor(params["embedding"]), freeze=False)


def _linear(params) -> nn.Linear:
    linear = nn.Linear(*params["kernel"].shape)
    linear.weight.data, linear.bias.data = _tensor(params["kernel"].T), _tensor(params["bias"])
    return linear
