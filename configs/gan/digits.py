"""A generator and a discriminator on handwritten digits: relativistic loss, both gradient penalties, no tricks beside.

R3GAN (arXiv 2501.05441), with a trunk of dense residual blocks: at 8x8 it learns most in the time.

    jaxgen train --config configs/gan/digits.py --workdir runs/gan

Expect 99.7 % of the samples recognised, a forest that tells them from real digits 63 % of the time, and Fréchet
distances of 0.17 in pixels and 4.9 in digits-cnn-a81e, after 23 s of training on one of two cores of an AMD EPYC with
AVX-512; `jaxgen evaluate --workdir runs/gan` tells.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Every, Experiment
from jaxgen.families.gan.network import Discriminator, Generator
from jaxgen.families.gan.task import Gan
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.training.parallel import Parallel
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    adam = AdamW(learning_rate=Cosine(peak=1e-3, warmup=50, floor=0.1), b1=0.0, b2=0.99)
    return Experiment(
        task=Gan(
            generator=Generator(width=128, blocks=2, channels=()),
            discriminator=Discriminator(width=128, blocks=2, channels=()),
            gamma=0.6,  # the knob to tune
        ),
        data=Pictures(name="digits", batch_size=64),
        optimisers={"discriminator": adam, "generator": adam},
        averages={"slow": EMA(half_life=20_000)},
        steps=9000,
        steps_per_call=50,
        every=Every(log=200, evaluate=3000, sample=4500, checkpoint=3000),
        parallel=Parallel(data=1),  # so small a step takes 2.3 times as long when two devices must meet in it
    )
