"""A generator and a discriminator on CIFAR-10, given the class: what an hour of one core makes of R3GAN's game.

Relativistic loss, both penalties (arXiv 2501.05441), DiffAugment (arXiv 2006.10738), dense stages at 4x4, 8x8 and 16x16
for squares of 2x2 pixels. A network of the paper's size (768 channels in each of four stages) is not for a CPU.

    jaxgen train --config configs/gan/cifar10.py --workdir runs/gan_cifar10
    jaxgen evaluate --workdir runs/gan_cifar10

Expect, after 4,500 steps in 73 minutes of one of two cores of an AMD EPYC beside other work (0.23 s a step, 17 minutes,
on two idle cores of a faster one): a Frechet distance of 66 in cifar10-cnn-5e20 to 2,000 test pictures kept as JPEG,
44 % recognised, recall 0.35; colours and outlines, rarely a whole thing (docs/gan.md). The long training, of the
paper's 20 million pictures, is `--set steps=312_500`: about 20 hours at 0.23 s; not run.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Evaluated, Every, Experiment
from jaxgen.families.gan.diff_augment import DiffAugment
from jaxgen.families.gan.network import Discriminator, Generator
from jaxgen.families.gan.task import Gan
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    adam = AdamW(learning_rate=Cosine(peak=5e-4, warmup=200, floor=0.1), b1=0.0, b2=0.99)
    stages = {"channels": (128, 128, 48), "stage_blocks": 1, "patch": 2, "expansion": 1}
    return Experiment(
        task=Gan(
            generator=Generator(width=256, blocks=1, latent=64, **stages),
            discriminator=Discriminator(width=256, blocks=1, **stages),
            gamma=0.2,  # the knob to tune: try factors of 2 and 4
            augment=DiffAugment(),
        ),
        data=Pictures(name="cifar10", batch_size=64, flip=True),
        optimisers={"discriminator": adam, "generator": adam},
        averages={"slow": EMA(half_life=50_000)},
        steps=4_500,
        steps_per_call=20,
        every=Every(log=100, evaluate=4_500, sample=1_500, checkpoint=500),
        evaluate=Evaluated(examples=2_000, samples=500),  # for the warning of a collapse
    )
