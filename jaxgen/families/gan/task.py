"""The GAN's game: the discriminator's turn, then the generator's, each with real pictures of its own."""
# SPDX-License-Identifier: Apache-2.0

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.core.layout import DENSE_BLOCKS, WHOLE, Rule
from jaxgen.core.masks import Matching
from jaxgen.core.mean import Mean
from jaxgen.core.task import Aux, Turn, knobs_of
from jaxgen.errors import UserError
from jaxgen.families.gan.adversarial import (
    Loss,
    Penalty,
    dequantised,
    discriminator_nats,
    generator_nats,
    judged,
    rounded,
)
from jaxgen.families.gan.calibration import OutputSums
from jaxgen.families.gan.clip_network import ClipDiscriminator, ClipGenerator
from jaxgen.families.gan.collapse import warning_of
from jaxgen.families.gan.diff_augment import DiffAugment
from jaxgen.families.gan.inversion import inverted
from jaxgen.families.gan.layered_clips import LayeredClipGenerator
from jaxgen.families.gan.network import Discriminator, Generator
from jaxgen.nn.conditions import check_conditions, check_given, condition_of, gives_sentence, with_drawn
from jaxgen.ops.levels import to_levels, to_unit
from jaxgen.ops.rows import normal, repeated
from jaxgen.types import Batch, Clip, Extra, Image, Key, Params, Spec, Variables

_BETWEEN, _AUGMENT = 3, 4  # folded into a turn's key: the places between reals and fakes; how both are changed
_STARTS = 8  # of the search for a picture's latent, of which the best end is taken
_FRESH = 16  # samples that a picture is compared with


@dataclass(frozen=True)
class LatentSampler:
    """How latents are drawn: normal numbers scaled by `truncation`; below 1 samples are less various, and safer."""

    truncation: float = 1.0

    def __post_init__(self):
        if not 0 <= self.truncation < math.inf:
            raise UserError(f"sampler.truncation is {self.truncation}; give 0 or more")

    def knobs(self) -> dict[str, float]:
        return {"truncation": self.truncation}


@dataclass(frozen=True)
class Gan:
    """Two players, one of them held by gradient penalties (R3GAN, arXiv 2501.05441), under what is given.

    They make pictures [B, H, W, C], or with the networks of clips (clip_network.py) clips [B, T, H, W, C]; what is said
    of pictures holds for both.

    Other games are a `loss` and a `penalty` (adversarial.py): with Loss.WASSERSTEIN and Penalty.INTERPOLATES, a `gamma`
    of 20 and 5 `critic_turns` are those of arXiv 1704.00028.

    `gamma` is the setting to tune: it grows with the picture's size (try factors of 2 and 4), and with too small a one
    D overfits the training set.
    """

    generator: Generator | ClipGenerator | LayeredClipGenerator = Generator()
    discriminator: Discriminator | ClipDiscriminator = Discriminator()
    loss: Loss = Loss.RELATIVISTIC
    penalty: Penalty = Penalty.REAL_AND_FAKE
    gamma: float = 0.6  # twice the weight of each penalty
    critic_turns: int = 1  # D's turns to one of G, each with reals of its own
    augment: DiffAugment | None = None  # of what D sees in training
    sampler: LatentSampler = LatentSampler()
    spec: Spec | None = None  # from the data

    def __post_init__(self):
        if not 0 <= self.gamma < math.inf:
            raise UserError(f"gamma is {self.gamma}; a gradient penalty's weight is 0 or more")
        if self.critic_turns < 1:
            raise UserError(f"critic_turns is {self.critic_turns}; give at least 1")

    def sized(self, spec: Spec) -> "Gan":
        if not isinstance(spec.made, Image | Clip):
            raise UserError("a Gan makes pictures or clips and this data set has none; choose data with them")
        check_conditions(spec, "Gan", prompts=True)
        clips = isinstance(spec.made, Clip)
        for network in (self.generator, self.discriminator):
            if isinstance(network, ClipGenerator | LayeredClipGenerator | ClipDiscriminator) != clips:
                kinds = "ClipGenerator and ClipDiscriminator" if clips else "Generator and Discriminator"
                raise UserError(
                    f"a {type(network).__name__} is not for {'clips' if clips else 'pictures'}, which these data have; "
                    f"set task.generator and task.discriminator to {kinds}"
                )
        players = (network.sized(spec.made.shape) for network in (self.generator, self.discriminator))
        return replace(self, **dict(zip(("generator", "discriminator"), players, strict=True)), spec=spec)

    def init(self, key: Key) -> Variables:
        generator_key, discriminator_key = jax.random.split(key)
        condition = condition_of(self.spec, {"row": jnp.zeros(1, jnp.int32)})
        latent, picture = (
            jnp.zeros((1, *shape), jnp.float32) for shape in ((self.generator.latent,), self.spec.made.shape)
        )
        params = {
            "generator": self.generator.init(generator_key, latent, condition)["params"],
            "discriminator": self.discriminator.init(discriminator_key, picture, condition)["params"],
        }
        ramped = self.augment is not None and self.augment.ramp > 0
        return Variables(params, Extra(shared=OutputSums.at_first(counted=ramped)))

    def rows(self, batch_size: int) -> None:
        return None

    def layout(self) -> tuple[Rule, ...]:
        return (*DENSE_BLOCKS, Rule(r"text/first$|background$", WHOLE))

    @property
    def needs_given(self) -> bool:
        """Whether something is given that cannot be drawn: a sentence."""
        return gives_sentence(self.spec)

    def turns(self) -> tuple[Turn, ...]:
        return (
            Turn("discriminator", self.discriminator_loss, Matching("^discriminator/"), self.critic_turns),
            Turn("generator", self.generator_loss, Matching("^generator/")),
        )

    def absorb(self, shared: OutputSums, statistics: OutputSums) -> OutputSums:
        return shared.absorb(statistics)

    def discriminator_loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        """Nats and penalties of [B] pairs; R2 needs the gradient to the fakes' pixels, and none goes on to G."""
        real, fake = self._pair(variables.params, batch, key)
        judge = functools.partial(self._judge_changed, variables, batch, key)
        between = jax.random.fold_in(key, _BETWEEN)
        real_output, fake_output, penalties = judged(self.penalty, judge, real, fake, between, batch["row"])
        nats = discriminator_nats(self.loss, real_output, fake_output)
        weight = batch.get("weight", jnp.ones_like(nats))
        calibration = variables.extra.shared
        metrics = {name: Mean.of(values, weight) for name, values in penalties.items()} | {
            "margin": Mean.of(real_output - fake_output, weight),
            "p_real": Mean.of(calibration.probability(real_output), weight),
            "p_fake": Mean.of(calibration.probability(fake_output), weight),
        }
        statistics = OutputSums.of(real_output, fake_output, weight)
        return Mean.of(nats + self.gamma / 2 * sum(penalties.values()), weight), Aux(metrics, statistics)

    def generator_loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        """Nats of [B] pairs; D's outputs on the reals are constants here."""
        real, fake = self._pair(variables.params, batch, key)
        real_output = self._judge_changed(variables, batch, key, real)
        fake_output = self._judge_changed(variables, batch, key, fake)
        nats, weight = generator_nats(self.loss, real_output, fake_output), batch.get("weight")
        return Mean.of(nats, weight), Aux({"margin": Mean.of(real_output - fake_output, weight)})

    def judge(self, params: Params, picture: jax.Array, batch: Batch) -> jax.Array:
        """[B] outputs of D on pictures [B, H, W, C] in [-1, 1] under what is given."""
        condition = condition_of(self.spec, batch)
        return self.discriminator.apply({"params": params["discriminator"]}, picture, condition)

    def _judge_changed(self, variables: Variables, batch: Batch, key: Key, picture: jax.Array) -> jax.Array:
        """[B] outputs of D on pictures as training shows them: a real and the fake of its row are changed alike."""
        if self.augment is not None:
            seen = variables.extra.shared.seen
            picture = self.augment(picture, jax.random.fold_in(key, _AUGMENT), batch["row"], seen)
        return self.judge(variables.params, picture, batch)

    def generate(self, params: Params, batch: Batch, key: Key, truncation: jax.Array | float = 1.0) -> jax.Array:
        """[B, H, W, C] of G for the batch's rows under what is given, not yet rounded to levels."""
        (noise,) = self.draw_noise(batch["row"], key)
        return self._mapped(params, batch, truncation * noise)

    def _mapped(self, params: Params, batch: Batch, latent: jax.Array) -> jax.Array:
        return self.generator.apply({"params": params["generator"]}, latent, condition_of(self.spec, batch))

    def draw_noise(self, row: jax.Array, key: Key) -> tuple[jax.Array, ...]:
        return (normal(key, row, (self.generator.latent,)),)

    def decode(self, variables: Variables, request: Batch, noise: tuple[jax.Array, ...]) -> Batch:
        request = with_drawn(self.spec, request, jax.random.key(0))
        latent = knobs_of(self.sampler, request)["truncation"] * noise[0]
        picture = to_levels(self._mapped(variables.params, request, latent), self.levels)
        return {"given": request["given"], "made": {"value": picture}}

    def infer(self, variables: Variables, batch: Batch, key: Key) -> tuple[jax.Array, ...]:
        """The latent of the nearest picture of the generator, by gradient descent (inversion.py)."""
        return (self._inverted(variables.params, with_drawn(self.spec, batch, jax.random.key(0)), key, _STARTS),)

    def complete(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """Pictures of the generator near to those of the request, each from one start of its own (inversion.py)."""
        check_given(self.spec, request, 0.0)
        begun, latent = request["made"], self._inverted(variables.params, request, key, 1)
        picture = to_levels(self._mapped(variables.params, request, latent), self.levels)
        if "known" in begun:
            picture = jnp.where(begun["known"][..., None], begun["value"], picture)
        return {"given": dict(request.get("given", {})), "made": {"value": picture}}

    def _inverted(self, params: Params, batch: Batch, key: Key, starts: int) -> jax.Array:
        condition, begun = condition_of(self.spec, batch), batch["made"]

        def made(latent: jax.Array) -> jax.Array:
            return self.generator.apply({"params": params["generator"]}, latent, repeated(condition, starts))

        target = to_unit(begun["value"], self.levels)
        return inverted(made, target, begun.get("known"), starts, (self.generator.latent,), key, batch["row"])

    def _pair(self, params: Params, batch: Batch, key: Key) -> tuple[jax.Array, jax.Array]:
        """The batch's pictures and as many fakes of the same classes, as D sees them: levels in [-1, 1] and noise."""
        latent_key, real_key, fake_key = jax.random.split(key, 3)
        levels, row = self.levels, batch["row"]
        real = to_unit(batch["made"]["value"], levels)
        fake = rounded(self.generate(params, batch, latent_key), levels)
        return dequantised(real, levels, real_key, row), dequantised(fake, levels, fake_key, row)

    @property
    def levels(self) -> int:
        return self.spec.made.levels

    def sample(self, variables: Variables, request: Batch, key: Key) -> Batch:
        request, generated = self._generated(variables, request, key)
        return {"given": request["given"], "made": {"value": to_levels(generated, self.levels)}}

    def draw(self, variables: Variables, request: Batch, key: Key) -> Batch:
        """Pictures [B, H, W, C] of float levels for request["row"] [B]; a class that is not given is drawn evenly.

        The levels of `sample` under the same key; rounding is left out of their gradient.
        """
        request, generated = self._generated(variables, request, key)
        picture = rounded(generated, self.levels)
        return {"given": request["given"], "made": {"value": (picture + 1) * ((self.levels - 1) / 2)}}

    def _generated(self, variables: Variables, request: Batch, key: Key) -> tuple[Batch, jax.Array]:
        """The request with what it left to be drawn, and G's pictures for it."""
        request = with_drawn(self.spec, request, jax.random.fold_in(key, 1))
        return request, self.generate(variables.params, request, key, knobs_of(self.sampler, request)["truncation"])

    def probability(self, variables: Variables, batch: Batch) -> jax.Array:
        """[B] in (0, 1): how likely each picture is real, were half of all pictures fakes (see calibration.py)."""
        return variables.extra.shared.probability(self.outputs(variables, batch))

    def outputs(self, variables: Variables, batch: Batch) -> jax.Array:
        """[B] of D on pictures in levels.

        A relativistic D compares pictures of one class (or prompt) alone: its outputs for two of them may lie any
        number apart, which says nothing of the pictures. `fresh_outputs` takes that away.
        """
        return self.judge(variables.params, to_unit(batch["made"]["value"], self.levels), batch)

    def fresh_outputs(self, variables: Variables, request: Batch, key: Key) -> jax.Array:
        """[B] means of D's outputs over fresh samples for what is given, an independent estimate for each row."""

        def one(number: jax.Array) -> jax.Array:
            fake = to_levels(self.generate(variables.params, request, jax.random.fold_in(key, number)), self.levels)
            return self.outputs(variables, {**request, "made": {"value": fake}})

        return jax.lax.map(one, jnp.arange(_FRESH)).mean(axis=0)

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], None]:
        fake = to_levels(self.generate(variables.params, batch, key), self.levels)
        sums = {}
        for kind, image in (("real", batch["made"]["value"]), ("fake", fake)):
            output = self.judge(variables.params, to_unit(image, self.levels), batch)
            probability = variables.extra.shared.probability(output)
            right = probability > 0.5 if kind == "real" else probability < 0.5
            for name, values in (("discriminator_output", output), ("p", probability), ("right", right)):
                sums[f"{name}_{kind}"] = Mean.of(values, batch["weight"])
        return sums, None

    def warning(self, figures: Mapping[str, Any]) -> str | None:
        return warning_of(figures)

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        """Means over reals and fakes apart, how far they lie apart, and the share that D tells rightly of both.

        A `margin` of held-out reals far below the discriminator's on the training set: it overfits.
        """
        shown = {name: mean.value for name, mean in sums.items() if not name.startswith("right")}
        shown["margin"] = shown["discriminator_output_real"] - shown["discriminator_output_fake"]
        return shown | {"discriminator_accuracy": (sums["right_real"] + sums["right_fake"]).value}
