"""The U-Net that EDM trains on CIFAR-10, for accelerators: 128 channels, 4 blocks a level, attention at 16x16.

EDM (arXiv 2206.00364, its conditional DDPM++ of table 7), without the paper's non-leaking augmentation.

    jaxgen train --config configs/diffusion/ddpm_unet.py --workdir runs/ddpm_unet

Expect 1.79, as its authors tell (Fréchet distance, 35 evaluations): 200 million pictures took them two days on eight
V100. Not run here, neither on two cores nor on an accelerator.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Every, Experiment
from jaxgen.families.diffusion.picture_samplers import Heun
from jaxgen.families.diffusion.task import Diffusion
from jaxgen.families.diffusion.training_noise import LogNormal
from jaxgen.families.diffusion.unet import UNet
from jaxgen.nn.precision import Precision
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Constant


def experiment() -> Experiment:
    network = UNet(width=128, widths=(2, 2, 2), blocks=4, attention=(1,), dropout=0.13, precision=Precision.BFLOAT16)
    return Experiment(
        task=Diffusion(
            network=network,
            sigma_data=0.5,
            sigma_min=0.002,
            sigma_max=80.0,
            noise=LogNormal(mean=-1.2),
            sampler=Heun(steps=18),
        ),
        data=Pictures(name="cifar10", batch_size=512, flip=True),
        optimisers={"denoising": AdamW(learning_rate=Constant(peak=1e-3, warmup=19_500), clip=1.0)},
        averages={"slow": EMA(half_life=500_000)},
        steps=390_000,
        steps_per_call=20,
        every=Every(log=500, evaluate=20_000, sample=20_000, checkpoint=10_000),
    )
