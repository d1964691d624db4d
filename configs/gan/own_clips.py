"""A generator and a discriminator of clips on a folder of animations of your own (GIF, WebP, PNG), 16 frames of 32x32.

Content and motion apart (MoCoGAN, arXiv 1707.04993), the critics of gan/moving_digits (DVD-GAN, arXiv 1907.06571) and
R3GAN's game (arXiv 2501.05441), DiffAugment (arXiv 2006.10738) on every other clip; where the folder has class
folders, given the class. It is called `clips`, or named by --set data.name=FOLDER; `docs/gan.md` says more.

    jaxgen train --config configs/gan/own_clips.py --set data.name=FOLDER --workdir runs/own_clips
    jaxgen sample --workdir runs/own_clips --out clips.gif

Expect nothing that is told here: not run, neither what it reaches nor its time on two cores was measured.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.clip_folder import Clips
from jaxgen.experiment import Evaluated, Every, Experiment
from jaxgen.families.gan.clip_network import ClipDiscriminator, ClipGenerator
from jaxgen.families.gan.diff_augment import DiffAugment
from jaxgen.families.gan.network import Discriminator, Generator
from jaxgen.families.gan.task import Gan
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    adam = AdamW(learning_rate=Cosine(peak=4e-4, warmup=200, floor=0.1), b1=0.0, b2=0.99, clip=1.0)
    stages = {"stage_blocks": 1, "expansion": 1}
    return Experiment(
        task=Gan(
            generator=ClipGenerator(
                frame=Generator(width=256, blocks=2, channels=(128, 64), patch=4, latent=64, **stages), motion=32
            ),
            discriminator=ClipDiscriminator(
                spatial=Discriminator(width=128, blocks=1, channels=(64, 32), patch=4, **stages),
                temporal=Discriminator(width=256, blocks=1, channels=(128, 128), patch=2, **stages),
            ),
            gamma=30.0,  # the knob to tune: try factors of 2 and 4
            augment=DiffAugment(),
        ),
        data=Clips(name="clips", batch_size=16, frames=16, size=32),
        optimisers={"discriminator": adam, "generator": adam},
        averages={"slow": EMA(half_life=20_000)},
        steps=10_000,
        steps_per_call=10,
        every=Every(log=100, evaluate=5_000, sample=1_000, checkpoint=500),
        evaluate=Evaluated(examples=2_000),
    )
