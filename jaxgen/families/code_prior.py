"""The task of a learned prior over another run's codes: pictures through a frozen VQ-VAE, their codes one by one.

It belongs to no family: the codes come from a part (core/part.py) whose task is Discrete, and either autoregressive
family brings the network that learns them (arXiv 1711.00937, section 3.3).
"""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from jaxgen.core.mean import Mean
from jaxgen.core.part import Part, Run
from jaxgen.core.task import Aux, Discrete, Trajectory
from jaxgen.errors import UserError
from jaxgen.families.language_model import LanguageModel, Network
from jaxgen.families.one_network import OneNetwork
from jaxgen.families.token_samplers import TokenSampler
from jaxgen.nn.conditions import check_conditions
from jaxgen.types import Batch, Image, Key, Spec, Variables


@dataclass(frozen=True)
class CodePrior(OneNetwork):
    """Maximum likelihood of the codes that the run `pictures` gives to pictures, in raster order, under what is given.

    Codes are a LanguageModel's picture of one channel whose levels they are: its `network`, `sampler` and
    `condition_dropout`. A sample is the mean picture of codes drawn by the sampler. A picture's likelihood is bounded
    by that of its own codes: log p(picture) >= log p(codes | given) + log p(picture | codes).
    """

    network: Network
    pictures: Run | Part | None = None
    sampler: TokenSampler = TokenSampler()
    condition_dropout: float = 0.0
    spec: Spec | None = None  # from the data
    of_codes: Spec | None = None  # what is given, and the grid of codes; from the data and `pictures`

    bound = "evidence bound"

    def sized(self, spec: Spec) -> "CodePrior":
        part = self.pictures
        if not isinstance(part, Part):
            raise UserError("task.pictures is none; set task.pictures.path=RUN to a run of vae/vq")
        if not isinstance(part.task, Discrete):
            raise UserError(f"{part.field} is a {type(part.task).__name__}, which has no codes; name a run of vae/vq")
        if part.spec.made != spec.made:
            raise UserError(
                f"{part.field} was trained on {part.spec.made} and this data set has {spec.made}; give both the same "
                "data"
            )
        check_conditions(spec, "CodePrior")
        of_codes = Spec(Image(*part.task.grid, 1, part.task.codes), spec.given)
        own = LanguageModel(self.network, self.sampler, self.condition_dropout).sized(of_codes)
        return replace(self, network=own.network, spec=spec, of_codes=of_codes)

    @property
    def model(self) -> LanguageModel:
        """The prior itself."""
        shape = self.of_codes.made.shape
        return LanguageModel(self.network, self.sampler, self.condition_dropout, self.of_codes, shape)

    def init(self, key: Key) -> Variables:
        return self.model.init(key)

    def encoded(self, variables: Variables, batch: Batch) -> Batch:
        """The batch with the codes [B, h, w, 1] in the place of its pictures."""
        codes = self.pictures.task.encode(variables.parts[self.pictures.name], batch)
        return {**batch, "made": {"value": codes[..., None]}}

    def loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        """The mean over codes of -log p, nats."""
        return self.model.loss(variables, self.encoded(variables, batch), key)

    def _nats(self, variables: Variables, batch: Batch, key: Key) -> tuple[jax.Array, jax.Array]:
        """-log p(codes | given) and -log p(picture | codes), [B] nats each."""
        coded, part = self.encoded(variables, batch), self.pictures
        rate = -self.model.log_prob(variables, coded, key)
        return rate, part.task.code_nats(variables.parts[part.name], batch, coded["made"]["value"][..., 0])

    def log_prob(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """[B] nats: the evidence bound, by each picture's own codes."""
        rate, distortion = self._nats(variables, batch, key)
        return -rate - distortion

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], None]:
        rate, distortion = self._nats(variables, batch, key)
        weight = batch["weight"]
        return {"kl_nats": Mean.of(rate, weight), "distortion_nats": Mean.of(distortion, weight)}, None

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        """What a code costs, and the bound in bits per dimension and nats: the codes' nats are its rate."""
        rate, distortion = sums["kl_nats"].value, sums["distortion_nats"].value
        return {
            "nats_per_code": rate / self.of_codes.made.elements,
            "bits_per_dim": (rate + distortion) / (self.spec.made.elements * math.log(2)),
            "nats_per_example": rate + distortion,
            "distortion_nats_per_example": distortion,
            "kl_nats_per_example": rate,
        }

    def reconstruct(self, variables: Variables, batch: Batch, key: Key) -> jax.Array:
        """[B, H, W, C] float levels: the mean picture of each picture's codes."""
        part = self.pictures
        return part.task.decode(variables.parts[part.name], self.encoded(variables, batch)["made"]["value"][..., 0])

    def sample(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """Pictures [B, H, W, C]; see `rollout`."""
        return self.rollout(variables, request, key).example

    def check_policy(self) -> None:
        self.model.check_policy()

    def rollout(self, variables: Variables, request: Batch, key: Key) -> Trajectory:
        """An episode for each of request["row"] [B]: an action a code, its example their mean picture."""
        if "made" in request:
            raise UserError("a CodePrior goes on from no picture; leave \"made\" out of the request")
        drawn, part = self.model.rollout(variables, request, key), self.pictures
        mean = part.task.decode(variables.parts[part.name], drawn.example["made"]["value"][..., 0])
        value = jnp.round(mean).astype(self.spec.made.arrays()["value"][1])
        return drawn.replace(example={**drawn.example, "made": {"value": value}})

    def score(self, variables: Variables, trajectory: Trajectory) -> jax.Array:
        """[B, h w] nats of the codes drawn, in one parallel pass."""
        return self.model.score(variables, trajectory)
