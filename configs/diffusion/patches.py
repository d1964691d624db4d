"""A small U-Net whose every pixel depends on those near it alone: a prior for pictures of any size, to restore them.

DDPM++'s blocks (arXiv 2011.13456) under EDM's loss (arXiv 2206.00364), each pixel normalised on its own, no
attention. Trained on CIFAR-10 pictures, that is on what fits into 32x32 pixels. A prior for photographs would be
trained on patches of 128x128 pixels out of a million of them (`--set data.name=FOLDER`), with four times the width, for
days on an accelerator.

    jaxgen train --config configs/diffusion/patches.py --workdir runs/patches
    jaxgen restore --workdir runs/patches --degradation denoise PHOTO.png --out FIXED.png

Expect what docs/restoration.md shows, after 45 minutes on two cores of an AMD EPYC with AVX-512 that other programs
shared (62 to 78 pictures/s). The set is CIFAR-10 (JPEG): its pixels went through JPEG once.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Evaluated, Every, Experiment
from jaxgen.families.diffusion.picture_samplers import Heun
from jaxgen.families.diffusion.task import Diffusion
from jaxgen.families.diffusion.training_noise import LogNormal
from jaxgen.families.diffusion.unet import Norm, UNet
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    return Experiment(
        task=Diffusion(
            network=UNet(width=48, widths=(1, 2, 2), blocks=2, patch=2, norm=Norm.PIXEL),
            sigma_data=0.5,
            sigma_min=0.01,
            sigma_max=80.0,
            noise=LogNormal(mean=-1.2),
            condition_dropout=0.9,  # what is restored is of no known class
            sampler=Heun(steps=18),
        ),
        data=Pictures(name="cifar10", batch_size=64, flip=True),
        optimisers={"denoising": AdamW(learning_rate=Cosine(peak=2e-3, warmup=200), b2=0.99, clip=1.0)},
        averages={"slow": EMA(half_life=20_000)},
        steps=2_800,
        steps_per_call=20,
        every=Every(log=100, evaluate=2_800, sample=2_800, checkpoint=400),
        evaluate=Evaluated(examples=256),
    )
