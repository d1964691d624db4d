"""The GAN's game: the discriminator's turn, then the generator's, each with real pictures of its own."""
# SPDX-License-Identifier: Apache-2.0

from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from jaxgen.core.layout import DENSE_BLOCKS, Rule
from jaxgen.core.masks import Matching
from jaxgen.core.mean import Mean
from jaxgen.core.task import Aux, Turn
from jaxgen.errors import UserError
from jaxgen.families.gan.adversarial import (
    Loss,
    dequantised,
    discriminator_nats,
    generator_nats,
    penalised,
    rounded,
)
from jaxgen.families.gan.calibration import OutputSums
from jaxgen.families.gan.network import Discriminator, Generator, resolutions
from jaxgen.ops.levels import to_levels, to_unit
from jaxgen.ops.rows import integers, normal
from jaxgen.types import Batch, Extra, Key, Params, Spec, Variables


@dataclass(frozen=True)
class Gan:
    """Two players, both gradient penalties, no tricks beside (R3GAN, arXiv 2501.05441). Conditional where labels are.

    `gamma` is the knob to tune: it grows with the picture's size (try factors of 2 and 4), and too small a one lets D
    learn the training set by heart.
    """

    generator: Generator = Generator()
    discriminator: Discriminator = Discriminator()
    loss: Loss = Loss.RELATIVISTIC
    gamma: float = 0.6  # weight of R1 and of R2
    spec: Spec | None = None  # from the data

    def __post_init__(self):
        if self.gamma < 0:
            raise UserError(f"gamma is {self.gamma}; a gradient penalty's weight is 0 or more")

    def sized(self, spec: Spec) -> "Gan":
        if spec.image is None:
            raise UserError("a Gan makes pictures and this data set has none; choose data with pictures")
        for network in (self.generator, self.discriminator):
            resolutions(spec.image, len(network.channels))
        generator = self.generator.clone(image=spec.image, classes=spec.classes)
        discriminator = self.discriminator.clone(classes=spec.classes)
        return replace(self, generator=generator, discriminator=discriminator, spec=spec)

    def init(self, key: Key) -> Variables:
        generator_key, discriminator_key = jax.random.split(key)
        label = jnp.zeros(1, jnp.int32) if self.spec.classes else None
        latent, picture = jnp.zeros((1, self.generator.latent)), jnp.zeros((1, *self.spec.image))
        params = {
            "generator": self.generator.init(generator_key, latent, label)["params"],
            "discriminator": self.discriminator.init(discriminator_key, picture, label)["params"],
        }
        return Variables(params, Extra(shared=OutputSums.at_first()))

    def rows(self, batch_size: int) -> None:
        return None

    def layout(self) -> tuple[Rule, ...]:
        return DENSE_BLOCKS

    def turns(self) -> tuple[Turn, ...]:
        return (
            Turn("discriminator", self.discriminator_loss, Matching("^discriminator/")),
            Turn("generator", self.generator_loss, Matching("^generator/")),
        )

    def absorb(self, shared: OutputSums, statistics: OutputSums) -> OutputSums:
        return shared.absorb(statistics)

    def discriminator_loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        """Nats and penalties of [B] pairs; R2 needs the gradient to the fakes' pixels, and none goes on to G."""
        real, fake = self._pair(variables.params, batch, key)
        real_output, r1 = penalised(lambda picture: self.judge(variables.params, picture, batch), real)
        fake_output, r2 = penalised(lambda picture: self.judge(variables.params, picture, batch), fake)
        nats = discriminator_nats(self.loss, real_output, fake_output)
        weight = batch.get("weight", jnp.ones_like(nats))
        calibration = variables.extra.shared
        metrics = {
            "r1": Mean.of(r1, weight),
            "r2": Mean.of(r2, weight),
            "margin": Mean.of(real_output - fake_output, weight),
            "p_real": Mean.of(calibration.probability(real_output), weight),
            "p_fake": Mean.of(calibration.probability(fake_output), weight),
        }
        statistics = OutputSums.of(real_output, fake_output, weight)
        return Mean.of(nats + self.gamma / 2 * (r1 + r2), weight), Aux(metrics, statistics)

    def generator_loss(self, variables: Variables, batch: Batch, key: Key) -> tuple[Mean, Aux]:
        """Nats of [B] pairs; D's outputs on the reals are constants here."""
        real, fake = self._pair(variables.params, batch, key)
        real_output = self.judge(variables.params, real, batch)
        fake_output = self.judge(variables.params, fake, batch)
        nats, weight = generator_nats(self.loss, real_output, fake_output), batch.get("weight")
        return Mean.of(nats, weight), Aux({"margin": Mean.of(real_output - fake_output, weight)})

    def judge(self, params: Params, picture: jax.Array, batch: Batch) -> jax.Array:
        """[B] outputs of D on pictures [B, H, W, C] in [-1, 1] under the batch's classes."""
        return self.discriminator.apply({"params": params["discriminator"]}, picture, batch.get("label"))

    def generate(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        """[B, H, W, C] of G for the batch's rows and classes, not yet rounded to levels."""
        latent = normal(key, batch["row"], (self.generator.latent,))
        return self.generator.apply({"params": params["generator"]}, latent, batch.get("label"))

    def _pair(self, params: Params, batch: Batch, key: Key) -> tuple[jax.Array, jax.Array]:
        """The batch's pictures and as many fakes of the same classes, as D sees them: levels in [-1, 1] and noise."""
        latent_key, real_key, fake_key = jax.random.split(key, 3)
        levels, row = self.spec.levels, batch["row"]
        real = to_unit(batch["image"], levels)
        fake = rounded(self.generate(params, batch, latent_key), levels)
        return dequantised(real, levels, real_key, row), dequantised(fake, levels, fake_key, row)

    def sample(self, variables: Variables, count: int, given: Batch, key: Key) -> Batch:
        """`count` pictures of the labels given, or of every class in turn."""
        batch = {"row": jnp.arange(count)}
        if self.spec.classes:
            batch["label"] = jnp.asarray(given.get("label", batch["row"] % self.spec.classes), jnp.int32)
        image = to_levels(self.generate(variables.params, batch, key), self.spec.levels)
        return {name: array for name, array in batch.items() if name == "label"} | {"image": image}

    def draw(self, variables: Variables, given: Batch, key: Key) -> Batch:
        """{"image" [B, H, W, C] float levels, "label"} for given["row"] [B]; without labels, of classes drawn evenly.

        The levels of `sample` under the same key; rounding is left out of their gradient.
        """
        levels, known = self.spec.levels, {name: array for name, array in given.items() if name == "label"}
        if self.spec.classes and not known:
            known["label"] = integers(jax.random.fold_in(key, 1), given["row"], (), self.spec.classes)
        picture = rounded(self.generate(variables.params, {"row": given["row"], **known}, key), levels)
        return {"image": (picture + 1) * ((levels - 1) / 2), **known}

    def probability(self, variables: Variables, batch: Batch) -> jax.Array:
        """[B] in (0, 1): how likely each picture is real, were half of all pictures fakes (see calibration.py)."""
        output = self.judge(variables.params, to_unit(batch["image"], self.spec.levels), batch)
        return variables.extra.shared.probability(output)

    def evaluate(self, variables: Variables, batch: Batch, key: Key) -> tuple[dict[str, Mean], None]:
        fake = to_levels(self.generate(variables.params, batch, key), self.spec.levels)
        sums = {}
        for kind, image in (("real", batch["image"]), ("fake", fake)):
            output = self.judge(variables.params, to_unit(image, self.spec.levels), batch)
            probability = variables.extra.shared.probability(output)
            right = probability > 0.5 if kind == "real" else probability < 0.5
            for name, values in (("discriminator_output", output), ("p", probability), ("right", right)):
                sums[f"{name}_{kind}"] = Mean.of(values, batch["weight"])
        return sums, None

    def finish(self, sums: Mapping[str, Mean]) -> dict[str, float]:
        """Means over reals and fakes apart, and the share that D tells rightly of both (0.5: it cannot)."""
        shown = {name: mean.value for name, mean in sums.items() if not name.startswith("right")}
        return shown | {"discriminator_accuracy": (sums["right_real"] + sums["right_fake"]).value}
