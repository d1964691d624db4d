"""Pictures of emoji, of no kind in particular: the network of `emoji_prompt.py` without a prompt.

DiT (arXiv 2212.09748) under EDM (arXiv 2206.00364), on OpenMoji's drawings at 32x32 pixels (extra `emoji`).

    jaxgen train --config configs/diffusion/emoji.py --workdir runs/emoji
    jaxgen sample --workdir runs/emoji --out samples.png

Expect no figure yet: it was not run, on two cores or elsewhere.
"""
# SPDX-License-Identifier: Apache-2.0

from jaxgen.data.pictures import Pictures
from jaxgen.experiment import Every, Experiment
from jaxgen.families.diffusion.network import DiffusionTransformer
from jaxgen.families.diffusion.task import Diffusion
from jaxgen.families.diffusion.training_noise import LogNormal
from jaxgen.training.averages import EMA
from jaxgen.training.optimisers import AdamW
from jaxgen.training.schedules import Cosine


def experiment() -> Experiment:
    return Experiment(
        task=Diffusion(
            network=DiffusionTransformer(width=192, blocks=6, heads=6, patch=4),
            sigma_data=0.9,
            sigma_min=0.01,
            sigma_max=80.0,  # the white around a drawing is seen through noise of 20
            noise=LogNormal(mean=-0.4, std=1.4),
        ),
        data=Pictures(name="emoji", batch_size=64),
        optimisers={"denoising": AdamW(learning_rate=Cosine(peak=1.5e-3, warmup=200), b2=0.99, clip=1.0)},
        averages={"slow": EMA(half_life=20_000)},
        steps=4000,
        steps_per_call=10,
        every=Every(log=50, evaluate=4000, sample=1000, checkpoint=500),
    )
