"""A U-Net on CIFAR-10, given the class: EDM's loss, 35 evaluations a sample, small enough for a laptop.

DDPM++'s blocks (arXiv 2011.13456) under EDM (arXiv 2206.00364), attention on the coarsest grid, class guidance (arXiv
2207.12598). `--set data.name=SET` takes any set of TFDS, or a folder, whose pictures' sides are multiples of 8.

    jaxgen train --config configs/diffusion/cifar10.py --workdir runs/cifar10
    jaxgen evaluate --workdir runs/cifar10

Expect no figure yet: it was not run, on two cores or elsewhere.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Evaluated, Every, Experiment
from jaxgen.families.diffusion.picture_samplers import Heun
from jaxgen.families.diffusion.task import Diffusion
from jaxgen.families.diffusion.training_noise import LogNormal
from jaxgen.families.diffusion.unet import UNet
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    return Experiment(
        task=Diffusion(
            network=UNet(width=48, widths=(1, 2, 2), blocks=2, attention=(1, 2), heads=2, patch=2, dropout=0.05),
            sigma_data=0.5,
            sigma_min=0.01,
            sigma_max=80.0,
            noise=LogNormal(mean=-1.2),
            sampler=Heun(steps=18),
        ),
        data=Pictures(name="cifar10", batch_size=64, flip=True),
        optimisers={"denoising": AdamW(learning_rate=Cosine(peak=2e-3, warmup=200), b2=0.99, clip=1.0)},
        averages={"slow": EMA(half_life=50_000)},
        steps=10_000,
        steps_per_call=20,
        every=Every(log=100, evaluate=10_000, sample=5_000, checkpoint=1_000),
        evaluate=Evaluated(examples=256),
    )
